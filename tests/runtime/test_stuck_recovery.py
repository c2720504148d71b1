"""A state that does not encode, and workers that take it over."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from world import World

from kstate import Command, Context, Processor, command, event


@dataclass(frozen=True)
class Power:
    """Two to the power of the events: a long before the 63rd."""

    value: int = 1


@dataclass(frozen=True)
class Double(Command[int]):
    times: int = 1


@dataclass(frozen=True)
class Doubled:
    pass


class Powers(Processor[Power]):
    name = "powers"
    snapshot_every = 10

    def init(self, persist_id: str) -> Power:
        return Power()

    @command
    def double(self, ctx: Context[Power], cmd: Double) -> int:
        for _ in range(cmd.times):
            ctx.persist(Doubled())
        return ctx.seq

    @event
    def doubled(self, state: Power, event: Doubled) -> Power:
        return Power(2 * state.value)


def told(caplog: pytest.LogCaptureFixture) -> int:
    return sum("no snapshot of b'large'" in message for message in caplog.messages)


@pytest.mark.parametrize("without_store", [False, True])
def test_it_is_rebuilt_by_the_next_worker_with_more_entities_than_memory_takes(
    world: World, caplog: pytest.LogCaptureFixture, without_store: bool
) -> None:
    world.run(Powers, partitions=1, max_entities=2)
    assert world.call(Powers, "large", Double(70)) == 70
    for number in range(6):
        world.call(Powers, f"id-{number}", Double())
    assert told(caplog) == 1
    caplog.clear()
    world.restart(without_store=without_store)
    assert world.call(Powers, "large", Double()) == 71
    assert [world.call(Powers, f"id-{number}", Double()) for number in range(6)] == [2] * 6
    assert [seq for seq, _ in world.events(Powers, "large")] == list(range(1, 72))


def test_a_recovery_that_cannot_snapshot_it_tells_so_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Powers, partitions=1)
    world.call(Powers, "large", Double(70))
    for number in range(6):
        world.call(Powers, f"id-{number}", Double())
    world.stop()
    caplog.clear()
    monkeypatch.setattr("kstate.runtime.recovery.CHUNK", 2)
    world.run(Powers, partitions=1, max_entities=2)
    assert world.call(Powers, "id-0", Double()) == 2
    assert told(caplog) == 1
    assert world.call(Powers, "large", Double()) == 71
