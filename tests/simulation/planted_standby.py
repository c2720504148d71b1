"""Bugs of stores that are kept warm: see `planted`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from unittest.mock import patch

from planting import broken, change, plant, with_an_old_store

from kstate.runtime.snapshots import Snapshots
from kstate.runtime.standby import Standby
from kstate.store.port import PartitionStore


class _Forgetful(dict[bytes, str]):
    """Nothing stays in it."""

    def __setitem__(self, key: bytes, value: str) -> None:
        pass


def _otherwise(change_it: Callable[[Snapshots], None]) -> AbstractContextManager[object]:
    """Changes what standbys, and they alone, make of the snapshots of a partition."""
    real = Standby._enter_one

    def enter_one(self: Standby, owned: Collection[int]) -> bool:
        snapshots_of = self._snapshots_of

        def changed(number: int, store: PartitionStore) -> Snapshots:
            snapshots = snapshots_of(number, store)
            change_it(snapshots)
            return snapshots

        with patch.object(self, "_snapshots_of", changed):
            return real(self, owned)

    return broken(Standby, "_enter_one", enter_one)


@plant(
    "workers_never_failed: JournalError",
    where=lambda plan: plan.settings.upgrade and plan.settings.standby != "0",
)
def a_standby_says_that_it_lacks_nothing_where_it_passed_snapshots_over() -> Iterator[None]:
    with _otherwise(lambda snapshots: change(snapshots, passed_over=_Forgetful())):
        yield


@plant("the_journal_is_the_models", where=lambda plan: plan.settings.standby != "0")
def a_standby_takes_what_is_not_committed_yet_for_read() -> Iterator[None]:
    real = Standby._reached_end

    def reached_end(self: Standby, number: int, end: int) -> None:
        real(self, number, self._log.ends(self._topic)[number].end)

    with broken(Standby, "_reached_end", reached_end):
        yield


@plant(
    "local_stores_are_not_behind_what_they_say",
    "each_question_has_its_replies_once_and_in_order",
    where=lambda plan: plan.settings.standby != "0" and with_an_old_store(plan),
)
def a_standby_trusts_a_store_however_old_it_is() -> Iterator[None]:
    with _otherwise(lambda snapshots: change(snapshots, _tombstone_age_ms=10**15)):
        yield


@plant(
    "local_stores_are_not_behind_what_they_say",
    where=lambda plan: plan.settings.standby != "0",
)
def a_partition_that_is_followed_again_is_read_on_from_where_it_was_left() -> Iterator[None]:
    with broken(Standby, "_unfollow", lambda self, number: self._followed.pop(number, None)):
        yield
