"""Bugs in what removes events: see `planted`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from planting import broken, plant

from kstate.core.erasure import Erasure
from kstate.core.messages import Write
from kstate.core.removal import Removal
from kstate.runtime.dead_letters import DeadLetters
from kstate.runtime.snapshots import Snapshots
from kstate.runtime.worker import Worker


@plant("events_go_with_a_snapshot_that_covers_them")
def a_tombstone_before_its_snapshot_is_committed() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Sequence[Any], progress: Any) -> float:
        producer = self._log.producer()
        gone = [each for each in writes if each[0] == self._topics.journal and not each[3]]
        for tombstone in gone:
            producer.send(Write(*tombstone))
        rest = [write for write in writes if write not in gone]
        return real(self, member, rest, progress)

    with broken(Worker, "_commit", commit):
        yield


@plant("events_go_with_a_snapshot_that_covers_them")
def retention_removes_an_event_that_no_snapshot_covers() -> Iterator[None]:
    real = Removal.up_to

    def up_to(self: Removal, batch: Any, gone: Any, seq: int) -> Any:
        return real(self, batch, gone, seq + 2)

    with broken(Removal, "up_to", up_to):
        yield


@plant("what_was_erased_is_gone", "each_erasure_is_answered_when_the_last_tombstone_is_there")
def an_erasure_that_does_not_go_on() -> Iterator[None]:
    def send_on(self: Erasure, batch: Any, record: Any, envelope: Any, command: Any) -> None:
        self._done(batch, envelope, command.upto)

    with broken(Erasure, "_send_on", send_on):
        yield


@plant("what_was_erased_is_gone")
def an_erasure_that_leaves_the_dead_letters() -> Iterator[None]:
    with broken(DeadLetters, "of", lambda self, persist_id: ()):
        yield


@plant("workers_never_failed: JournalError", where=lambda plan: plan.settings.upgrade)
def new_folds_go_on_from_the_life_that_was_erased() -> Iterator[None]:
    with broken(Snapshots, "_base", lambda self, key, value, older: older):
        yield
