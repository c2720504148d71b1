"""What `kstate.log.port` promises of transactions that were left open, and of who ends them."""

from __future__ import annotations

import uuid
from typing import NamedTuple

import pytest

from kstate.errors import LogUnavailable
from kstate.log.port import Committed
from kstate.testing.log_hooks import LogHooks
from kstate.testing.log_world import Seat, World, write

BEFORE = Committed(7, "before")


class _Left(NamedTuple):
    """What a worker that was killed has left."""

    group: str
    commands: str
    journal: str
    gone: str  # its instance


class OpenPromises(LogHooks):
    """Stable progress, stable ends, orphans."""

    def _left(self, world: World) -> _Left:
        """A worker committed and left, and the next one was killed in the middle."""
        left = _Left(world.group(), world.topic(), world.topic(), _name())
        first = world.owner(left.group, left.commands, _name())
        first.member.commit([write(left.journal, 0, b"before")], {0: BEFORE})
        first.member.close()
        assert world.values(left.journal) == [b"before"]
        self.leave_open(world.log, left.group, left.commands, left.gone, left.journal)
        return left

    def _heir(self, world: World, left: _Left) -> Seat:
        return world.owner(left.group, left.commands, _name())

    def test_progress_is_not_told_to_a_member_while_a_transaction_is_open_that_may_change_it(
        self, world: World
    ) -> None:
        heir = self._heir(world, self._left(world))
        if self.transactions_outlive_processes:
            with pytest.raises(LogUnavailable):
                heir.member.committed(0)
        else:
            assert heir.member.committed(0) == BEFORE

    def test_the_progress_is_told_when_the_orphans_transaction_was_ended(
        self, world: World
    ) -> None:
        left = self._left(world)
        heir = self._heir(world, left)
        assert world.another_log().end_orphan(left.group, left.gone)

        def told() -> bool:
            try:
                return heir.member.committed(0) == BEFORE
            except LogUnavailable:
                return False

        world.until(told, "the progress was stable")
        heir.member.commit([], {0: Committed(8, "after")})
        assert heir.member.committed(0) == Committed(8, "after")

    def test_onlookers_are_told_the_progress_meanwhile(self, world: World) -> None:
        left = self._left(world)
        onlooker = world.another_log()
        world.until(
            lambda: onlooker.progress(left.group, left.commands) == {0: BEFORE},
            "the progress was told",
        )

    def test_a_reader_sees_nothing_from_the_first_open_transaction_on(self, world: World) -> None:
        left = self._left(world)
        world.produce([write(left.journal, 0, b"behind")])
        ends = world.log.ends(left.journal)[0]
        reader = world.reader()
        reader.assign(left.journal, {0: 0})
        records, last = world.drain(reader, {0: ends.stable})
        if self.transactions_outlive_processes:
            assert ends.stable < ends.end
            assert [record.value for record in records] == [b"before"]
            assert last.ends == {0: ends.stable}
            assert not reader.poll(10, 0.2).records
        else:
            assert ends.stable == ends.end
            assert [record.value for record in records] == [b"before", b"behind"]

    def test_readers_go_on_behind_a_transaction_that_was_ended_and_never_see_it(
        self, world: World
    ) -> None:
        left = self._left(world)
        world.produce([write(left.journal, 0, b"behind")])
        reader = world.reader()
        reader.assign(left.journal, {0: 0})
        reader.poll(10, 0.2)
        world.until(lambda: world.log.end_orphan(left.group, left.gone), "it was no member")

        def stable() -> bool:
            ends = world.log.ends(left.journal)[0]
            return ends.stable == ends.end

        world.until(stable, "the end was stable")
        reader.assign(left.journal, {0: 0})
        records, _ = world.drain(reader, {0: world.log.ends(left.journal)[0].end})
        assert [record.value for record in records] == [b"before", b"behind"]

    def test_the_transaction_of_a_member_is_left_alone(self, world: World) -> None:
        group, commands, journal, alive = world.group(), world.topic(), world.topic(), _name()
        seat = world.owner(group, commands, alive)
        seat.member.write_ahead([write(journal, 0, b"ahead")])
        assert not world.another_log().end_orphan(group, alive)
        seat.member.commit([write(journal, 0, b"rest")], {0: Committed(1, "m")})
        assert seat.member.committed(0) == Committed(1, "m")
        assert world.values(journal) == [b"ahead", b"rest"]

    def test_a_member_that_left_is_an_orphan_like_one_that_never_was(self, world: World) -> None:
        group, commands, name = world.group(), world.topic(), _name()
        assert world.log.end_orphan(group, name)
        seat = world.owner(group, commands, name)
        seat.member.commit([], {0: BEFORE})
        seat.member.close()
        world.until(lambda: world.log.end_orphan(group, name), "it was no member any more")
        assert world.log.progress(group, commands) == {0: BEFORE}


def _name() -> str:
    """An instance that was never seen: on a cluster that others use, too, nobody has its name."""
    return f"i-{uuid.uuid4().hex}"
