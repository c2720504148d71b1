"""A pytest plugin: ``-p kstate.testing.plugin`` gives the fixture `bootstrap`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from kstate.testing.broker import NoBroker, broker


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """``bootstrap.servers`` of a real Kafka, one for the whole run.

    Without one the tests that need it are skipped with the reason; in CI (``CI`` is set) they fail.
    """
    try:
        with broker() as servers:
            yield servers
    except NoBroker as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
