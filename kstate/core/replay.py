"""Folding the journal: snapshot and events → state, with the checks that the rules hold.

Used by the recovery of a partition (`Replay`) and by queries of an entity's past (`fold_event`).
"""

from __future__ import annotations

from kstate.core.adapters import names_of
from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.envelope import hash_command_id
from kstate.core.messages import Deleted, Recent, Record
from kstate.core.runner import Failed
from kstate.core.shard import Shard
from kstate.core.topics import decode_persist_id, parse_event_key
from kstate.errors import BadPersistId, JournalError, KStateError


class FoldFailed(KStateError):
    """A fold or ``init`` raised while the journal was read."""


def fold_event(machine: Machine, entity: Entity, seq: int, value: bytes | None) -> None:
    """Folds the event with ``seq`` into the entity, whose next event it must be.

    Raises `JournalError` for a hole or a repeated seq, `DecodeError` for an unreadable event, and
    `FoldFailed` when the fold raises: an entity that cannot be rebuilt must not be served.
    """
    if seq != entity.seq + 1:
        kind = "is repeated" if seq <= entity.seq else f"follows {entity.seq}"
        raise JournalError(
            f"the journal of {entity.persist_id!r} is broken: seq {seq} {kind}, "
            f"expected {entity.seq + 1}"
        )
    event = machine.codec.decode_event(value)
    try:
        entity.state = machine.fold(entity.persist_id, entity.state, event)
    except KeyboardInterrupt:  # a query folds where the user sits
        raise
    except BaseException as error:
        raise FoldFailed(
            f"the fold of {names_of(event)} raised for {entity.persist_id!r} at seq {seq}: "
            f"{type(error).__name__}: {error}"
        ) from error
    entity.seq = seq
    entity.deleted = type(event) is Deleted
    entity.size += len(value or b"")


class Replay:
    """Brings a shard up to date from the records of its journal, before its first command.

    ``awaited`` has the persist ids whose newest snapshot was passed over, each with the reason: the
    journal must still have their events, from seq 1 or from the one after an older snapshot on.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._machine = shard.machine
        self._find = shard.entities.get
        self._folded = shard.folded
        self._window_ids = shard.machine.policy.window_ids
        self.newest_source = -1  # command offset of the newest event read
        self.awaited: dict[bytes, str] = {}

    def event(self, record: Record) -> None:
        """Folds one journal record, unless a snapshot covers it.

        Raises `JournalError` for a record that is no event and for broken seqs, and
        `UnreadableSnapshot`.
        """
        _, offset, event_key, value, headers, timestamp = record
        parsed = parse_event_key(event_key)
        if parsed is None:
            raise JournalError(
                f"the journal has a foreign record at {record.partition}:{offset}: "
                f"its key {event_key!r} is no persist id and seq"
            )
        if value is None:
            return  # a tombstone: the event was removed behind a snapshot
        key, seq = parsed
        entity = self._find(key) or self._enter(key, record)
        command_id = reply = None
        for name, content in headers:
            if name == "command-id":
                command_id = content
            elif name == "source":
                digits = (content or b"").rpartition(b":")[2]
                if digits.isdigit():
                    source = int(digits)
                    if source > self.newest_source:
                        self.newest_source = source
            elif name == "reply":
                reply = content
        if self.awaited:
            self._reach(key, entity, seq)
        if seq <= entity.snapshot_seq:
            return
        if not entity.seq:
            self._shard.entity_count += 1
        fold_event(self._machine, entity, seq, value)
        self._folded(key, offset, len(value))
        if command_id is not None:
            self._remember(entity, command_id, (seq, timestamp, reply))

    def _remember(self, entity: Entity, command_id: bytes, recent: Recent) -> None:
        window = entity.recent
        hashed = hash_command_id(command_id)
        if hashed in window:  # of a command's events the last one counts, also for the order
            del window[hashed]
        window[hashed] = recent
        if len(window) > self._window_ids:
            del window[next(iter(window))]

    def _reach(self, key: bytes, entity: Entity, seq: int) -> None:
        """Checks the oldest event left of an entity whose newest snapshot was passed over.

        Events are removed from the oldest on: if this one is left, all later ones are.
        """
        reason = self.awaited.get(key)
        if reason is None:
            return
        if seq > entity.seq + 1:
            raise _out_of_reach(entity.persist_id, reason, f"goes back to seq {seq} only")
        del self.awaited[key]

    def end(self) -> None:
        """To be called after the last record: raises `JournalError` for events that are gone."""
        if self.awaited:
            key, reason = next(iter(self.awaited.items()))
            persist_id = key.decode(errors="replace")
            raise _out_of_reach(persist_id, reason, "has none of its events any more")

    def _enter(self, key: bytes, record: Record) -> Entity:
        try:
            persist_id = decode_persist_id(key)
        except BadPersistId as error:
            raise JournalError(
                f"the journal has a foreign record at {record.partition}:{record.offset}: {error}"
            ) from None
        try:
            return self._shard.enter(key, persist_id)
        except Failed as failed:
            raise FoldFailed(
                f"init raised for {persist_id!r}: {type(failed.cause).__name__}: {failed}"
            ) from failed.cause


def _out_of_reach(persist_id: str, reason: str, what: str) -> JournalError:
    return JournalError(
        f"{persist_id!r} cannot be rebuilt: its snapshot {reason}, and the journal {what}; "
        "run code that can read the snapshot, or give the entity up with a tombstone for it"
    )
