"""A pytest plugin: ``-p kstate.testing.plugin`` gives the fixture `bootstrap`.

With pytest-xdist (``-n``) one broker serves all processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest

from kstate.testing.broker import VARIABLE, NoBroker, broker

_SHARED = pytest.StashKey[ExitStack]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Starts the broker that the processes share, before they begin."""
    shares = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if not shares or os.environ.get(VARIABLE) or config.option.collectonly:
        return
    stack = ExitStack()
    try:
        os.environ[VARIABLE] = stack.enter_context(broker())
    except NoBroker:
        return  # each test that needs one says so
    stack.callback(os.environ.pop, VARIABLE)
    config.stash[_SHARED] = stack


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends it."""
    stack = config.stash.get(_SHARED, None)
    if stack is not None:
        stack.close()


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """``bootstrap.servers`` of a real Kafka, one for the whole run.

    Without one the tests that need it are skipped with the reason; in CI they fail.
    """
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
