"""A pytest plugin: ``-p kstate.testing.plugin`` gives the fixture `bootstrap`.

With pytest-xdist (``-n``) one broker serves all processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest

from kstate.testing.broker import VARIABLE, NoBroker, broker

_SHARED = pytest.StashKey[ExitStack]()
_MISSING = pytest.StashKey[str]()
_REASON = "kstate: no broker"
"""What a process is told under this name: why there is none to share."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Starts the broker that the processes share, before they begin."""
    shares = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if not shares or os.environ.get(VARIABLE) or config.option.collectonly:
        return
    stack = ExitStack()
    try:
        os.environ[VARIABLE] = stack.enter_context(broker())
    except NoBroker as error:
        config.stash[_MISSING] = str(error)  # each test that needs one says so
        return
    stack.callback(os.environ.pop, VARIABLE)
    config.stash[_SHARED] = stack


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a process of pytest-xdist that another try is in vain."""
    if _MISSING in node.config.stash:
        node.workerinput[_REASON] = node.config.stash[_MISSING]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends it."""
    stack = config.stash.get(_SHARED, None)
    if stack is not None:
        stack.close()


@pytest.fixture(scope="session")
def bootstrap(pytestconfig: pytest.Config) -> Iterator[str]:
    """``bootstrap.servers`` of a real Kafka, one for the whole run.

    Without one the tests that need it are skipped with the reason; in CI they fail.
    """
    missing = getattr(pytestconfig, "workerinput", {}).get(_REASON)
    if missing:
        without(missing)
    try:
        with broker() as servers:
            yield servers
    except NoBroker as error:
        without(error)


def without(error: Exception | str) -> NoReturn:
    """Skips a test that cannot have what it needs, with the reason; in CI (``CI`` is set) it fails,
    so that nothing is missed there."""
    if os.environ.get("CI"):
        pytest.fail(str(error))
    pytest.skip(str(error))
