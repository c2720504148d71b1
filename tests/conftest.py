"""Fixtures for all tests: a world with a log, workers and a client."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "kstate.testing.log_contract",
    "kstate.testing.log_contract_answers",
    "kstate.testing.log_contract_away",
    "kstate.testing.log_contract_members",
    "kstate.testing.log_contract_open",
    "kstate.testing.log_contract_records",
    "kstate.testing.log_contract_senders",
    "kstate.testing.log_world",
    "kstate.testing.store_contract",
    "faults",
    "pages",
    "world",
)

from pages import Shell  # noqa: E402
from world import LOGS, World  # noqa: E402 - after its asserts are known to be rewritten

# who runs this in the background of a script has SIGINT ignored, and so would what tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# brokers and registries live for minutes here: to compile their code well costs more than it saves
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

SERVERS = {"chaos", "crash", "registry"}
"""Folders whose tests start brokers and registries of their own, and wait for them."""
SPREAD = 0.6
"""The part of the other files among which those begin: what is left evens out the processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, and those with servers of their own one at a time among them.

    Side by side their Java machines take minutes to start: `make test` hands files out in this
    order.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    waiting = deque(name for name in files if SERVERS.intersection(Path(name).parts))
    others = sorted(files.keys() - waiting, key=lambda name: (-len(files[name]), name))
    apart = SPREAD * len(others) / max(1, len(waiting))
    order: list[str] = []
    begun = 0.0
    for number, name in enumerate(others):
        if waiting and number >= begun:
            order.append(waiting.popleft())
            begun += apart
        order.append(name)
    items[:] = [item for name in (*order, *waiting) for item in files[name]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Texts with lone surrogates, which some tests log, cannot pass from process to process."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(params=sorted(LOGS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log that may be used by this test."""
    made: str = LOGS[request.param](request, tmp_path)
    return made


def _in_haste(patch: pytest.MonkeyPatch) -> None:
    """How long threads sleep where nothing wakes them: it decides how soon a test is over."""
    patch.setattr("kstate.runtime.worker.IDLE_S", 0.05)
    patch.setattr("kstate.runtime.worker.RETRY_S", 0.02)
    patch.setattr("kstate.replies.WAIT_S", 0.02)
    patch.setattr("kstate.query.scan.WAIT_S", 0.02)
    patch.setattr("kstate.query.tail.WAIT_S", 0.02)


@pytest.fixture
def world(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A log of this test's own, with workers to start and a client to speak to them."""
    _in_haste(monkeypatch)
    with closing(World(url, tmp_path)) as made:
        yield made


@pytest.fixture(scope="module", params=sorted(LOGS))
def shared_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A log for all tests of a module that change nothing: what they read is put there once."""
    directory = tmp_path_factory.mktemp("world")
    url = LOGS[request.param](request, directory)
    with pytest.MonkeyPatch.context() as patch:
        _in_haste(patch)
        with closing(World(url, directory)) as made:
            yield made


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in the test's directory, to which the commands of a page are typed."""
    made = Shell(tmp_path)
    try:
        yield made
    finally:
        made.close()
