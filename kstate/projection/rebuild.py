"""A rebuild: the tables are filled anew beside the live ones, which go on, and then swapped.

The last stretch is read inside the swap's transaction: it holds the locks of all live offsets, so
that the live ones stand still, and the shadow comes to where they are.  Rows never go back in time.
What a rebuild has done is kept when it is interrupted; the next one goes on from there.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping

from kstate.errors import ProjectionError, ProjectionStopped
from kstate.projection import ledger
from kstate.projection.applying import Applier, Work
from kstate.projection.following import Journal
from kstate.projection.ledger import Facts, Hold
from kstate.projection.preparing import check_journal, make_tables
from kstate.projection.runner import Runner
from kstate.projection.shadow import Shadow
from kstate.projection.site import Site

NEAR = 1_000
"""So few records may be left for the swap's transaction, in which the live tables stand still."""
CHUNK = 1_000
POLL_S = 0.2

logger = logging.getLogger("kstate.projection")


class Rebuild:
    """One rebuild; several processes may run it, and share the partitions."""

    def __init__(self, site: Site, watch: Callable[[int], object] | None = None) -> None:
        self._site = site
        self._watch = watch
        self._journal, self._shadow = self._begin()
        self._targets = {p: ends.end for p, ends in site.log.ends(self._journal.topic).items()}
        self._database = self._shadow.open()
        self._runner = Runner(
            site.projection,
            self._database,
            site.log,
            site.reading,
            lambda: site.join(f"{site.group}.rebuild"),
            self._ready,
            name=self._shadow.name,
            batch_records=site.batch_records,
            finished=self._filled,
            watch=watch,
        )
        self._reached = False

    def stop(self) -> None:
        """Interrupts it; safe in a signal handler."""
        self._runner.stop()

    def run(self) -> bool:
        """Fills and swaps; False when it was interrupted: the next rebuild goes on from there.

        Raises `ProjectionStopped` for an event that fails, `ProjectionError` when another process
        ended this rebuild.
        """
        try:
            self._runner.run()
            if not self._reached:
                return False
            self._swap()
        finally:
            self._database.close()
        if self._site.database.sqlite:
            self._shadow.remove_file()
        return True

    # -- filling -----------------------------------------------------------------------------

    def _begin(self) -> tuple[Journal, Shadow]:
        """Makes the shadow, or finds that of a rebuild which was interrupted."""
        site = self._site
        journal = site.journal()
        with site.database.transaction() as connection:
            found = make_tables(connection, site.database, site.projection, journal)
            check_journal(found, site.database, site.projection, journal)
            ledger.facts(connection, site.name, lock=True)
            before = None if found.rebuild is None else self._shadow_of(found.rebuild)
            if before is not None and before.exists(connection):
                if self._is_of_today(before):
                    logger.info("%s: a rebuild that was interrupted goes on", site.name)
                    return journal, before
                before.drop(connection)
            shadow = self._shadow_of(uuid.uuid4().hex[:12])
            shadow.make(connection, journal)
            ledger.note(connection, site.name, rebuild=shadow.identity)
        return journal, shadow

    def _shadow_of(self, identity: str) -> Shadow:
        return Shadow(self._site.database, self._site.projection, identity)

    def _is_of_today(self, shadow: Shadow) -> bool:
        database = shadow.open()
        try:
            with database.reading() as connection:
                found = ledger.facts(connection, shadow.name)
        finally:
            database.close()
        return found is not None and found.version == self._site.projection.version

    def _ready(self) -> tuple[Journal, Facts]:
        journal = self._site.journal()
        with self._site.database.reading() as connection:
            live = ledger.facts(connection, self._site.name)
        if live is None or live.rebuild != self._shadow.identity:
            raise ProjectionError(
                f"the rebuild of {self._site.name} was ended by another process: see "
                "kstate projection status"
            )
        with self._database.reading() as connection:
            found = ledger.facts(connection, self._shadow.name)
        if found is None:
            raise ProjectionError(f"the rebuild of {self._site.name} has lost its tables: rebuild")
        check_journal(found, self._site.database, self._site.projection, journal)
        return journal, found

    def _filled(self) -> bool:
        with self._database.reading() as connection:
            offsets = ledger.offsets(connection, self._shadow.name)
        if any(offsets.get(p, 0) < target for p, target in self._targets.items()):
            return False
        ends = self._site.log.ends(self._journal.topic)
        left = sum(each.end - offsets.get(p, 0) for p, each in ends.items() if each.end)
        self._reached = left <= NEAR
        return self._reached

    # -- swapping ----------------------------------------------------------------------------

    def _swap(self) -> None:
        site, name = self._site, self._site.name
        with site.database.transaction() as connection:
            found = ledger.facts(connection, name, lock=True)
            if found is None or found.rebuild != self._shadow.identity:
                return  # another process, that shared the work, was sooner
            old = ledger.lock_all(connection, name)
            filled = self._claim_all(old)
            self._last_stretch(filled, {p: hold.offset for p, hold in old.items()})
            with self._database.reading() as inside:
                skipped = ledger.skipped(inside, self._shadow.name)
            self._database.close()
            self._shadow.swap(connection, filled, skipped, old)
        site.database.close()  # SQLite's has the shadow attached

    def _claim_all(self, old: Mapping[int, Hold]) -> dict[int, Hold]:
        """Takes every partition of the shadow: nobody else fills it any more."""
        with self._database.transaction() as connection:
            return {
                each: ledger.claim(connection, self._shadow.name, each, "swap")
                for each in sorted({*old, *self._targets})
            }

    def _last_stretch(self, holds: dict[int, Hold], targets: Mapping[int, int]) -> None:
        """Brings the shadow to where the live tables are."""
        applier = Applier(self._database, self._site.projection, self._shadow.name)
        reader = self._site.log.reader()
        try:
            while left := {p: holds[p].offset for p, t in targets.items() if holds[p].offset < t}:
                reader.assign(self._journal.topic, left)
                work: dict[int, Work] = {}
                while not work:
                    chunk = reader.poll(CHUNK, POLL_S)
                    for partition in left:
                        records = [r for r in chunk.records if r.partition == partition]
                        end = chunk.ends.get(partition, 0)
                        if records or end > holds[partition].offset:
                            taken = [self._site.reading.take(record) for record in records]
                            last = records[-1].offset + 1 if records else 0
                            work[partition] = Work(taken, max(last, end))
                for partition, done in applier.apply(holds, work).items():
                    if done.failure is not None:
                        raise ProjectionStopped(
                            f"the rebuild of {self._site.name} stopped at {self._journal.topic}:"
                            f"{partition} at {done.offset}: {done.failure}"
                        ) from done.failure.cause
                if self._watch is not None:
                    self._watch(sum(len(each.taken) for each in work.values()))
        finally:
            reader.close()
