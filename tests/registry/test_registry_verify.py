"""What a verification says of records whose ids the registry does not know."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from counter import Add, Counter
from registry_tools import codec
from world import World

import kstate
from kstate.cli.main import kstate as program
from kstate.codec.book import Book
from kstate.codec.port import Messages
from kstate.codec.registry import Ids
from kstate.codec.registry_client import RegistryClient
from kstate.codec.registry_codec import RegistryMessages
from kstate.errors import LogUnavailable
from kstate.verify.findings import Kind
from kstate.verify.values import Values

UNKNOWN = b"\0\x7f\xff\xff\xff\2"
KIND: Kind = "schema"


@pytest.fixture(params=["by its class", "by its name"])
def values(request: pytest.FixtureRequest, registry_url: str) -> Values:
    """Reads a journal with the processor's code, and without it."""
    messages: Messages = codec(Counter, registry_url)
    if request.param == "by its name":
        book = Book()
        messages = RegistryMessages(book, Ids(RegistryClient(registry_url), book))
    return Values(messages, None)


def test_an_event_of_an_unknown_id_is_a_finding(values: Values) -> None:
    for _ in range(2):
        fault = values.event(UNKNOWN)
        assert fault is not None
        assert fault.kind == KIND
        assert fault.reason.startswith("the schema with id 2147483647 cannot be had: ")


@pytest.mark.parametrize("target", ["counter", "counter:Counter"])
def test_a_registry_that_is_away_is_no_damage(world: World, registry_url: str, target: str) -> None:
    world.run(Counter, schema_registry=registry_url)
    with kstate.connect(world.url, prefix=world.prefix, schema_registry=registry_url) as client:
        client.call(Counter, "a", Add(2), timeout=20.0)
    environment = {
        "KSTATE_LOG": world.url,
        "KSTATE_PREFIX": world.prefix,
        "KSTATE_SCHEMA_REGISTRY": "http://127.0.0.1:9",
    }
    done = CliRunner().invoke(program, ["verify", target], env=environment)
    assert done.exit_code == LogUnavailable.exit_code, done.output
    assert done.stderr.startswith("kstate: the schema registry at http://127.0.0.1:9 does not ")
