"""Folding a partition's journal with the processor's code, to hold snapshots against it."""

from __future__ import annotations

from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.replay import fold_event
from kstate.core.topics import decode_persist_id
from kstate.errors import ConfigError, DecodeError, EncodeError, KStateError, LogUnavailable
from kstate.verify.findings import Finding, Place
from kstate.verify.seqs import Seqs
from kstate.verify.snapshots import Held, Snapshots
from kstate.verify.values import Fault, Values


class Folds:
    """The states of one partition as the journal makes them.

    An entity is folded from its first event on, from where it was erased on or, where the events
    are not there any more, from its snapshot on.  One whose fold failed is folded no further.
    """

    def __init__(self, machine: Machine, place: Place, snapshots: Snapshots) -> None:
        self.compared = 0
        self.different: dict[bytes, Finding] = {}
        """Snapshots that differ from what the events up to theirs make; a finding each."""
        self._machine = machine
        self._place = place  # of the snapshots
        self._held = snapshots.held
        self._erased: dict[bytes, int] = {}  # key → the seq after which its fold began

    def enter(self, key: bytes, seqs: Seqs) -> Fault | None:
        """Begins with what ``init`` makes of a persist id; says so when it raises."""
        persist_id = decode_persist_id(key)
        try:
            seqs.entity = Entity(persist_id, self._machine.init(persist_id))
        except Exception as error:  # noqa: BLE001 - it is the user's code, and its failure is told
            return Fault("fold", f"init raised {type(error).__name__}: {error}")
        held = self._held.get(key)
        if held is not None and held.erased:
            seqs.entity.seq = self._erased[key] = held.erased
        return None

    def holds(self, key: bytes) -> bool:
        """Whether what a fold told still counts: not when the entity was erased meanwhile."""
        held = self._held.get(key)
        return (0 if held is None else held.erased) == self._erased.get(key, 0)

    def event(self, key: bytes, seqs: Seqs, seq: int, value: bytes, values: Values) -> Fault | None:
        """Folds an event if it is the next one, else only reads it; what is wrong with it."""
        entity: Entity | None = seqs.entity
        if entity is None:
            return values.event(value)
        held = self._held.get(key)
        if seq != entity.seq + 1 and not self._resume(entity, held, seq):
            return values.event(value)
        try:
            fold_event(self._machine, entity, seq, value)
        except DecodeError as error:
            seqs.entity = None
            return values.fault(value, error)
        except (ConfigError, LogUnavailable):
            raise  # the schema registry does not tell: that says nothing of the event
        except KStateError as error:
            seqs.entity = None
            return Fault("fold", str(error))
        if held is not None and held.value is not None and seq >= held.usable_seq:
            if seq == held.usable_seq:
                self._compare(key, entity, held)
            held.value = None  # it is of no more use
        return None

    def _resume(self, entity: Entity, held: Held | None, seq: int) -> bool:
        """Goes on from the snapshot just before, whose events are not all there; False without."""
        if held is None or held.value is None or seq != held.usable_seq + 1:
            return False
        snapshot = self._machine.codec.decode_snapshot(held.value)
        begun = Entity.restore(self._machine, entity.persist_id, snapshot, 0)
        entity.seq, entity.state, entity.deleted = begun.seq, begun.state, begun.deleted
        return True

    def _compare(self, key: bytes, entity: Entity, held: Held) -> None:
        assert held.value is not None
        snapshot = self._machine.codec.decode_snapshot(held.value)
        kept = Entity.restore(self._machine, entity.persist_id, snapshot, 0)
        self.compared += 1
        if kept.deleted == entity.deleted and self._same(kept, entity):
            return
        self.different[key] = self._place.finding(
            "snapshot",
            held.usable_offset,
            f"the snapshot at seq {entity.seq} is not what the events up to there make with this "
            "code: if the folds were changed, raise snapshot_version, and workers rebuild all "
            "states from their events; if not, do so, too, and look for folds that are not pure",
            key,
            entity.seq,
        )

    def _same(self, kept: Entity, folded: Entity) -> bool:
        if kept.state == folded.state:
            return True
        encode = self._machine.codec.encode_state
        try:  # what is not equal to itself, like a NaN, has the same bytes
            return encode(kept.state) == encode(folded.state)
        except EncodeError:
            return False
