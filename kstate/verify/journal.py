"""The records of one journal partition, held against the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kstate.core.messages import Headers, Record
from kstate.core.partition import partition_for
from kstate.core.topics import decode_persist_id, parse_event_key
from kstate.errors import BadPersistId
from kstate.verify.findings import Finding, Place
from kstate.verify.folds import Folds
from kstate.verify.seqs import Holes, Missing, Seqs, Tombstones, merged, shown
from kstate.verify.snapshots import UNKNOWN_SEQ, Lonely, Snapshots, told_of
from kstate.verify.values import Fault, Values

WRITER = "find out which program wrote it, and take its right to do so away"
RESTORE = "restore the journal from a backup"
WITHOUT = "restore the journal without it (a tombstone would be as foreign)"


class Uncovered(NamedTuple):
    """Events below the low-water mark that no snapshot covers."""

    offset: int  # of the first one
    seq: int  # of the first one
    last: int = 0  # seq of the last one, where there are several


class Journal:
    """What stands in one partition of the journal.

    ``low_water`` is the offset below which snapshots cover every event: a takeover begins there.
    Of each persist id a few numbers are kept, and its fold where there are ``folds``.
    """

    def __init__(
        self,
        place: Place,
        partitions: int,
        values: Values,
        snapshots: Snapshots,
        low_water: int,
        folds: Folds | None,
    ) -> None:
        self.seqs: dict[bytes, Seqs] = {}
        self.events = 0
        self._place = place
        self._partitions = partitions
        self._values = values
        self._snapshots = snapshots
        self._low_water = low_water
        self._folds = folds
        self._source = -1  # offset of the command that wrote the newest event
        self._holes: dict[bytes, Holes] = {}
        self._tombstones: dict[bytes, Tombstones] = {}
        self._failed: dict[bytes, Finding] = {}  # folds that raised
        self._uncovered: dict[bytes, Uncovered] = {}
        self._lonely: list[Lonely] = []  # snapshots without events, as of the end

    def take(self, records: Sequence[Record]) -> Iterator[Finding]:
        """Checks records in their order; this runs once per event and is written for speed."""
        find, parse = self.seqs.get, parse_event_key
        check, folds, low_water = self._values.event, self._folds, self._low_water
        events, newest = 0, self._source
        for record in records:
            _, offset, event_key, value, headers, _ = record
            parsed = parse(event_key)
            if parsed is None:
                yield self._no_event(record)
                continue
            key, seq = parsed
            if value is None:
                self._removed(key, seq, offset)
                continue
            seqs = find(key)
            if seqs is None:
                yield from self._enter(key, record)
                seqs = find(key)
                if seqs is None:
                    continue
            events += 1
            if seq == seqs.last + 1:
                seqs.last, seqs.offset = seq, offset
            elif not seqs.misplaced:
                yield from self._out_of_line(key, seqs, seq, offset)
            if offset < low_water and seq > seqs.covered:
                first = self._uncovered.get(key)
                self._uncovered[key] = first._replace(last=seq) if first else Uncovered(offset, seq)
            # where workers put it: a look at the other headers is for records of others
            text = headers[2][1] if len(headers) > 2 and headers[2][0] == "source" else None
            source = _offset_of(text or _source(headers))
            if 0 <= source < newest:
                yield self._older_command(key, seq, offset, source, newest)
                newest = source
            elif source > newest:
                newest = source
            fault = folds.event(key, seqs, seq, value, self._values) if folds else check(value)
            if fault is None:
                continue
            finding = self._fault(fault, key, seq, offset)
            if fault.kind == "fold":
                self._failed[key] = finding
            else:
                yield finding
        self.events += events
        self._source = newest

    # -- record by record --------------------------------------------------------------------

    def _no_event(self, record: Record) -> Finding:
        return self._place.finding(
            "foreign",
            record.offset,
            f"the record's key {_short(record.key)} is no persist id and seq: workers refuse to "
            f"take the partition over until snapshots cover all events before it; {WRITER}, and "
            f"{WITHOUT}",
        )

    def _enter(self, key: bytes, record: Record) -> Iterator[Finding]:
        """The first event of a persist id."""
        try:
            decode_persist_id(key)
        except BadPersistId as error:
            yield self._place.finding(
                "foreign",
                record.offset,
                f"the record's key {_short(record.key)} has no persist id: {error}; {WRITER}, and "
                f"{WITHOUT}",
            )
            return
        held = self._snapshots.held.get(key)
        seqs = self.seqs[key] = Seqs(0 if held is None else held.seq)
        owner = partition_for(key, self._partitions)
        if owner != self._place.partition:
            seqs.misplaced = True
            seqs.covered = UNKNOWN_SEQ  # nothing else is expected of it here
            yield self._place.finding(
                "partition",
                record.offset,
                f"the key belongs to partition {owner}: there the worker of the persist id does "
                f"not see what stands here; {WRITER}, and if the topic was given more partitions, "
                "restore it with as many as it had",
                key,
                self._seq_of(record),
            )
        elif self._folds is not None:
            fault = self._folds.enter(key, seqs)
            if fault is not None:
                self._failed[key] = self._fault(fault, key, self._seq_of(record), record.offset)

    def _seq_of(self, record: Record) -> int:
        parsed = parse_event_key(record.key)
        return 0 if parsed is None else parsed[1]

    def _removed(self, key: bytes, seq: int, offset: int) -> None:
        """A tombstone."""
        found = self._tombstones.get(key)
        if found is None:
            found = self._tombstones[key] = Tombstones()
        found.add(seq, offset)

    def _out_of_line(self, key: bytes, seqs: Seqs, seq: int, offset: int) -> Iterator[Finding]:
        """An event that is not the next one."""
        if seq > seqs.last:
            holes = self._holes.get(key)
            if holes is None:
                holes = self._holes[key] = Holes()
            holes.open(seqs.last + 1, seq - 1, offset)
            seqs.last, seqs.offset = seq, offset
            return
        passed_by = self._holes.get(key)
        if passed_by is not None and passed_by.fill(seq):
            yield self._place.finding(
                "order",
                offset,
                f"the event stands behind a later one, {seqs.last} at offset {seqs.offset}: "
                "workers refuse to take the partition over while they meet it; two programs wrote "
                f"for one persist id: {WRITER}, and {RESTORE}",
                key,
                seq,
            )
            return
        yield self._place.finding(
            "duplicate",
            offset,
            f"the seq was there already; the newest is {seqs.last} at offset {seqs.offset}: "
            "workers refuse to take the partition over while they meet it, and compaction will "
            f"keep this event and drop the first; {WRITER}, and {RESTORE}",
            key,
            seq,
        )

    def _older_command(self, key: bytes, seq: int, offset: int, source: int, newer: int) -> Finding:
        return self._place.finding(
            "source",
            offset,
            f"the event came of the command at {source}, the one before it in this partition of "
            f"{newer}: two workers wrote here at one time, or the commands were created anew; "
            f"{WRITER}",
            key,
            seq,
        )

    def _fault(self, fault: Fault, key: bytes, seq: int, offset: int) -> Finding:
        cures = {
            "schema": "publish the schema again: start the version of the code that wrote the "
            "event, which publishes its own",
            "foreign": f"{WRITER}, and {RESTORE}",
            "unreadable": f"{RESTORE}, or run code that reads it",
            "fold": "mend the code: workers refuse to take the partition over with it",
        }
        return self._place.finding(
            fault.kind, offset, f"{fault.reason}; {cures[fault.kind]}", key, seq
        )

    # -- at the end --------------------------------------------------------------------------

    def tombstones(self, records: Sequence[Record]) -> Iterator[Finding]:
        """Takes tombstones alone: of records behind the end, for what they excuse."""
        for record in records:
            parsed = parse_event_key(record.key)
            if parsed is not None and record.value is None:
                self._removed(*parsed, record.offset)
        yield from ()

    def end(self, low_water: int, whole: bool, snapshots_whole: bool) -> Iterator[Finding]:
        """What can be told after the last record alone.

        ``low_water`` is the mark as it is by now.  Not ``whole``: the journal, or the snapshots,
        go on behind a transaction that hangs or an import that is not at its end, and what may
        stand there is not missed.
        """
        for key in self._holes.keys() | self._tombstones.keys():
            seqs = self.seqs.get(key)
            if seqs is not None and not seqs.misplaced:
                yield from self._missing(key, seqs, snapshots_whole)
        if snapshots_whole:
            yield from self._below_the_mark(low_water)
        if whole:
            yield from self._beyond_the_end()
            yield from self._without_events()
        if self._folds is not None:
            for told in (self._failed, self._folds.different):
                yield from (found for key, found in told.items() if self._folds.holds(key))

    def suspicious(self) -> bool:
        """Whether `end` has something to tell that a look at newer records might excuse.

        To be asked first of all after the last record: newer snapshots have newer events.
        """
        self._lonely = self._snapshots.lonely(self.seqs)
        return any(True for _ in self.end(self._low_water, True, True))

    def _missing(self, key: bytes, seqs: Seqs, snapshots_whole: bool) -> Iterator[Finding]:
        holes, tombstones = self._holes.get(key), self._tombstones.get(key)
        spans = [*(holes.spans() if holes else ()), *(tombstones.spans() if tombstones else ())]
        last = max(seqs.last, tombstones.last() if tombstones else 0)
        covering, gone = self._snapshots.covering(key), self._snapshots.gone(key)
        told = self._snapshots.told(key)
        for span in merged(spans):
            if span.first > 1:
                if span.last > gone:
                    yield self._in_the_middle(key, span, covering)
            elif span.last >= last and not told:
                return  # nothing is left of it
            elif not snapshots_whole:
                continue
            elif span.last > covering and span.last < last:
                yield self._without_beginning(key, span, covering)
            elif span.last > gone and told:
                yield self._untold(key, span, gone)

    def _without_beginning(self, key: bytes, span: Missing, covering: int) -> Finding:
        stands = f"the newest snapshot is at seq {covering}" if covering else "there is no snapshot"
        return self._place.finding(
            "gap",
            span.offset,
            f"{shown(span.first, span.last)} missing, and no snapshot stands for what is missing: "
            f"{stands}; the state cannot be told any more: {RESTORE}",
            key,
            span.last + 1,
        )

    def _untold(self, key: bytes, span: Missing, gone: int) -> Finding:
        """What is missing at the beginning, though retention and erasure did not remove it."""
        first, seq = max(span.first, gone + 1), self._snapshots.held[key].seq
        removed = ": removed by a tombstone" if span.removed else ""
        return self._place.finding(
            "tombstone" if span.removed else "gap",
            span.offset,
            f"{shown(first, span.last)} missing{removed}; the snapshot at seq {seq}, with which "
            f"workers go on, {told_of(gone)}: neither retention nor an erasure was it, and the "
            f"history cannot be folded any more: {RESTORE}",
            key,
            first if span.removed else span.last + 1,
        )

    def _in_the_middle(self, key: bytes, span: Missing, covering: int) -> Finding:
        after = (
            f"a snapshot at seq {covering} stands for what is missing, so that workers go on; "
            f"the history cannot be folded any more: {RESTORE}"
            if covering >= span.last
            else f"workers refuse to take the partition over: {RESTORE}"
        )
        what = f"{shown(span.first, span.last)} missing"
        if not span.removed:
            return self._place.finding("gap", span.offset, f"{what}; {after}", key, span.last + 1)
        return self._place.finding(
            "tombstone",
            span.offset,
            f"{what}: removed by a tombstone, while older ones are there; {after}",
            key,
            span.first,
        )

    def _below_the_mark(self, low_water: int) -> Iterator[Finding]:
        for key, (offset, seq, last) in self._uncovered.items():
            last = max(seq, last)  # the oldest go first, and snapshots cover all before them
            held, removed = self._snapshots.held.get(key), self._tombstones.get(key)
            covered = held is not None and held.seq >= last
            if offset >= low_water or covered or (removed is not None and last in removed):
                continue
            yield self._place.finding(
                "low-water",
                offset,
                f"no snapshot covers the event, but the low-water mark is {low_water}, past it: a "
                "worker that takes the partition over does not read it; have the running worker "
                "snapshot the entity, and do not stop it before",
                key,
                seq,
            )

    def _beyond_the_end(self) -> Iterator[Finding]:
        for key, seqs in self.seqs.items():
            if seqs.last >= seqs.covered or seqs.misplaced or seqs.covered == UNKNOWN_SEQ:
                continue
            removed = self._tombstones.get(key)
            if removed is not None and removed.last() >= seqs.covered:
                continue
            if self._snapshots.gone(key) >= seqs.covered:
                continue
            yield self._place.finding(
                "snapshot",
                seqs.offset,
                f"the newest event is {seqs.last}, but the newest snapshot is at seq "
                f"{seqs.covered}: events at the end were lost; {RESTORE}",
                key,
                seqs.last,
            )

    def _without_events(self) -> Iterator[Finding]:
        """What is lost of persist ids that the journal does not have any more."""
        for each in self._lonely:
            held = self._snapshots.held.get(each.key)
            if held is not None and held.gone < each.seq:
                yield self._snapshots.lost(each)


def _offset_of(source: bytes | None) -> int:
    """The offset in a ``source`` header, ``partition:offset``; -1 for anything else."""
    digits = (source or b"").rpartition(b":")[2]
    return int(digits) if digits.isdigit() else -1


def _source(headers: Headers) -> bytes | None:
    return next((value for name, value in headers if name == "source"), None)


def _short(key: bytes | None) -> str:
    return "is absent, which" if key is None else repr(key[:60])
