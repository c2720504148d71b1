"""Workers and clients that use a schema registry, and what they do while it is away."""

from __future__ import annotations

import pytest
from counter import Add, Added, Counter
from registry_tools import use_registry
from world import World, header

from kstate.codec import registry_codec
from kstate.codec.registry_client import RegistryClient
from kstate.core.partition import partition_for
from kstate.errors import LogUnavailable
from kstate.testing.registry_local import LocalRegistry


def first_bytes(world: World) -> set[bytes]:
    records = [*world.journal(Counter), *world.replies(Counter)]
    records += world.read(world.topics(Counter).commands)
    return {record.value[:1] for record in records if record.value}


def foreign_command(url: str) -> bytes:
    """A command in a schema that no kstate has seen."""
    schema = {
        "type": "record", "name": "Add", "namespace": "counter",
        "fields": [{"name": "amount", "type": "int"}],
    }  # fmt: skip
    with RegistryClient(url).session() as session:
        number = session.find("foreign.Add", schema)
        if number is None:
            number = session.register("foreign.Add", schema, "a command")
    return b"\0" + number.to_bytes(4, "big") + b"\x06"


def test_commands_events_and_replies_are_in_confluents_format(
    world: World, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, registry_url)
    world.run(Counter)
    assert world.call(Counter, "a", Add(2)) == 2
    assert first_bytes(world) == {b"\0"}
    assert world.events(Counter, "a") == [(1, Added(2))]


def test_a_topic_may_change_over(
    world: World, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter)
    assert world.call(Counter, "a", Add(2)) == 2
    world.stop()
    world.client.close()
    world._client = None
    use_registry(monkeypatch, registry_url)
    world.restart(without_store=True)
    assert world.call(Counter, "a", Add(3)) == 5
    assert first_bytes(world) == {b"\xc3", b"\0"}
    world.restart(without_store=True)
    assert world.call(Counter, "a", Add(1)) == 6


def test_the_schemas_topic_is_told_as_well(
    world: World, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, registry_url)
    world.run(Counter)
    told = world.read(world.topics(Counter).schemas)
    assert "Added" in {header(record, "type") for record in told if record.key != b"meta"}


def test_a_command_of_a_foreign_schema_is_run(
    world: World, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, registry_url)
    world.run(Counter)
    reply = world.ask(Counter, foreign_command(registry_url))
    assert header(reply, "status") == "ok"


def test_a_start_does_not_go_on_while_the_registry_is_away(
    world: World, own: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, own.url)
    own.stop()
    with pytest.raises(LogUnavailable, match=r"the schema registry at http://127.* not answer"):
        world.run(Counter)
    # nothing was published that the registry has not seen
    assert world.read(world.topics(Counter).schemas) == []


def test_a_running_worker_does_not_need_the_registry(
    world: World, own: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, own.url)
    world.run(Counter)
    assert world.call(Counter, "a", Add(2)) == 2
    own.stop()
    assert world.call(Counter, "a", Add(3)) == 5
    assert len(world.journal(Counter)) == 2


def test_a_worker_goes_on_with_the_same_ids_after_the_registry_was_restarted(
    world: World, own: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, own.url)
    world.run(Counter)
    assert world.call(Counter, "a", Add(2)) == 2
    own.stop()
    assert world.call(Counter, "a", Add(3)) == 5
    own.start()
    world.restart(without_store=True)
    assert world.call(Counter, "a", Add(1)) == 6
    heads = {record.value[:5] for record in world.journal(Counter) if record.value}
    assert len(heads) == 1


def test_a_command_of_an_unknown_schema_holds_up_its_partition_alone_until_the_registry_is_back(
    world: World,
    own: LocalRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # longer than the registry takes to start, however slow the machine is
    monkeypatch.setattr(registry_codec, "PATIENCE_S", 600.0)
    foreign = foreign_command(own.url)
    use_registry(monkeypatch, own.url)
    world.run(Counter, partitions=2)
    held = partition_for(b"a", 2)
    elsewhere = next(each for each in "bcdefgh" if partition_for(each.encode(), 2) != held)
    assert world.call(Counter, "a", Add(2)) == 2
    own.stop()
    world.produce(Counter, foreign)
    waits = f"counter: partition {held} waits: the schema registry at "
    world.until(lambda: any(line.startswith(waits) for line in caplog.messages), "it waits")
    assert [world.call(Counter, elsewhere, Add(1)) for _ in range(20)] == list(range(1, 21))
    own.start()
    assert world.call(Counter, "a", Add(1), timeout=110.0) == 6
    assert world.dead_letters(Counter) == []
    told = [line for line in caplog.messages if line.startswith(f"counter: partition {held} ")]
    assert told[1:] == [f"counter: partition {held} goes on"]


def test_a_registry_that_stays_away_costs_the_commands_of_unknown_schemas_alone(
    world: World, own: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_codec, "PATIENCE_S", 0.0)
    foreign = foreign_command(own.url)
    use_registry(monkeypatch, own.url)
    world.run(Counter)
    assert world.call(Counter, "a", Add(2)) == 2
    own.stop()
    reply = world.ask(Counter, foreign)
    assert (header(reply, "status"), header(reply, "code")) == ("error", "registry-away")
    assert world.call(Counter, "a", Add(3)) == 5
    assert [record.value for record in world.dead_letters(Counter)] == [foreign]
