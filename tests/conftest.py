"""Fixtures for all tests: a world with a log, workers and a client."""

from __future__ import annotations

from collections.abc import Generator, Iterator
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


@pytest.fixture
def world(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A log of this test's own, with workers to start and a client to speak to them."""
    # how long threads sleep where nothing wakes them: it decides how soon a test is over
    monkeypatch.setattr("kstate.runtime.worker.IDLE_S", 0.05)
    monkeypatch.setattr("kstate.runtime.worker.RETRY_S", 0.02)
    monkeypatch.setattr("kstate.replies.WAIT_S", 0.02)
    monkeypatch.setattr("kstate.query.scan.WAIT_S", 0.02)
    monkeypatch.setattr("kstate.query.tail.WAIT_S", 0.02)
    made = World(url, tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in the test's directory, to which the commands of a page are typed."""
    made = Shell(tmp_path)
    try:
        yield made
    finally:
        made.close()
