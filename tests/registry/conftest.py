"""A real schema registry; without one these tests are skipped with the reason, in CI they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_gate import USER, Authority, Gate, gate

from kstate.testing.plugin import without
from kstate.testing.registry_local import LocalRegistry, NoRegistry, local_registry, registry


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """The URL of a schema registry, one for the whole run."""
    try:
        with registry() as url:
            yield url
    except NoRegistry as error:
        without(error)


@pytest.fixture(scope="session")
def _own() -> Iterator[LocalRegistry]:
    try:
        with local_registry() as local:
            yield local
    except NoRegistry as error:
        without(error)


@pytest.fixture
def own(_own: LocalRegistry) -> Iterator[LocalRegistry]:
    """A registry that a test may end and start again; it runs before each test."""
    yield _own
    if not _own.running:
        _own.start()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The embedded log, whatever else other tests run on."""
    return f"sqlite:{tmp_path}/log.db?sync=normal"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the certificates of registries and of their clients."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def trusted(authority: Authority) -> dict[str, str]:
    """The property with which a client trusts the authority."""
    return {"ssl.ca.location": str(authority.file)}


@pytest.fixture
def guarded(registry_url: str, authority: Authority) -> Iterator[Gate]:
    """The registry behind TLS and `USER`."""
    with gate(registry_url, authority.issue("registry"), user=USER) as made:
        yield made
