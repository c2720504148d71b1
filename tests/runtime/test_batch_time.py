"""A batch closes by time: whoever waits for its first command waits no longer than that."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from counter import Add, Count, Counter
from runtime_tools import caught_up
from world import World

from kstate import Context, command, wiring
from kstate.log.embedded_member import EmbeddedMember
from kstate.runtime.worker import Worker


class Ticks:
    """A clock that only commands move on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("batch_ms", "sizes"),
    [(1, [1, 1, 1, 1, 1]), (99, [1, 1, 1, 1, 1]), (150, [2, 2, 1]), (399, [4, 1]), (1000, [5])],
)
def test_a_batch_closes_by_time(
    world: World, monkeypatch: pytest.MonkeyPatch, batch_ms: int, sizes: list[int]
) -> None:
    ticks = Ticks()

    class Slow(Counter):
        """A command takes a tenth of a second."""

        @command
        def add(self, ctx: Context[Count], cmd: Add) -> int:
            ticks.now += 0.1
            return super().add(ctx, cmd)

    world.run(Counter, partitions=1)
    world.stop()
    for _ in range(5):
        world.cast(Counter, "id-0", Add(1))
    real, found = EmbeddedMember.commit, []

    def commit(self: EmbeddedMember, writes: Any, progress: Any) -> Any:
        found.append(sum(topic == world.topics(Counter).journal for topic, *_ in writes))
        return real(self, writes, progress)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    monkeypatch.setattr(wiring, "Worker", partial(Worker, monotonic=ticks))
    world.run(Slow, partitions=1, batch_ms=batch_ms)
    world.until(lambda: caught_up(world), "all was processed")
    assert [size for size in found if size] == sizes
