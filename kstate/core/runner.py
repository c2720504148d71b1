"""Runs one command: from its record to the records it leaves in a batch, or to a refusal."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from kstate.core.batch import Batch, CommittedEvent, Fault
from kstate.core.context import Context, Machine, execute
from kstate.core.entity import Entity, snapshot_of
from kstate.core.envelope import Envelope
from kstate.core.erasure import Erasure
from kstate.core.letters import Letters
from kstate.core.messages import Erase, GetState, Recent, Record
from kstate.core.outgoing import CONFLICT, DUPLICATE, ERROR, OK, REJECTED, Outgoing
from kstate.core.removal import Gone, Removal
from kstate.errors import BadCommand, EncodeError, ProcessorStopped, RecordTooLarge, Rejected

NEVER = 2**63
"""More events than an entity will have."""
MIN_INT, MAX_INT = -(2**63), 2**63 - 1
PLAIN: dict[Any, type] = {None: type(None), type(None): type(None), bool: bool, int: int}
"""Replies that nobody asked for are checked by a look alone where they are one of these."""


class Failed(Exception):
    """Wraps what a user's code raised, to tell it from a fault of our own.

    A cause whose text raises is replaced by one that says so: it will be told and logged.  So is
    one that is no `Exception`: it would end every worker that comes to this command.
    """

    cause: Exception

    def __init__(self, cause: BaseException) -> None:
        name = type(cause).__name__
        try:
            text = str(cause)
        except BaseException:  # noqa: BLE001 - a user's text may raise anything
            text = f"a {name}, whose text raises"
            cause = RuntimeError(text)
        if isinstance(cause, SystemExit):
            text = "sys.exit was called"
        elif not isinstance(cause, Exception):
            text = f"{name} was raised: {text}" if text else f"{name} was raised"
        super().__init__(text)
        self.cause = cause if isinstance(cause, Exception) else RuntimeError(text)


class Runner:
    """Runs the commands of one partition against staged entities.

    Checks come in the order duplicate, expected seq, content, handler.
    """

    def __init__(
        self,
        machine: Machine,
        partition: int,
        outgoing: Outgoing,
        removal: Removal,
        letters: Letters,
    ) -> None:
        self.publish = False  # whether anyone subscribes to committed events
        self._removal = removal
        self._letters = letters
        self._machine = machine
        self._partition = partition
        self._outgoing = outgoing
        self._kept_bytes = machine.policy.kept_reply_bytes
        self._max_bytes = machine.max_value_bytes
        self._policy = machine.policy
        self._every = machine.definition.snapshot_every or NEVER
        self._encode_reply = machine.codec.encode_reply
        self._plain = {
            each: PLAIN[reply]
            for each, reply in machine.definition.replies.items()
            if isinstance(reply, Hashable) and reply in PLAIN
        }
        self._decode = machine.codec.decode_command

    def run(
        self, batch: Batch, record: Record, envelope: Envelope, staged: Entity, hashed: bytes
    ) -> None:
        """Runs a command, whose id has this hash; raises `BadCommand` or `Failed` with nothing of
        it staged."""
        if hashed in staged.recent:
            known = staged.recall(hashed, self._policy, batch.now)
            if known is not None:
                self._repeat(batch, envelope, known)
                return
        if envelope.expected is not None and envelope.expected_seq() != staged.seq:
            batch.counts.conflicts += 1
            self.answer(batch, envelope, CONFLICT, None, staged.seq)
            return
        try:
            command = self._decode(record.value, envelope.content_type, envelope.type_name)
        except Exception:
            raise
        except BaseException as error:  # of the command's own `__post_init__`
            raise Failed(error) from error
        kind = type(command)
        if kind is GetState:
            self._tell_state(batch, envelope, staged)
            return
        if kind is Erase:
            self._erase(batch, record, envelope, staged, hashed, command)
            return
        self._execute(batch, record, envelope, staged, hashed, command)

    def _execute(
        self,
        batch: Batch,
        record: Record,
        envelope: Envelope,
        staged: Entity,
        hashed: bytes,
        command: Any,
    ) -> None:
        context: Context[Any] = Context(
            self._machine,
            staged.persist_id,
            staged.state,
            staged.seq,
            batch.now,
            record,
            envelope,
        )
        route = None if envelope.reply_to is None else self._outgoing.route(envelope)
        value = kept = snapshot = None
        try:
            reply = execute(context, command)
            if route is not None:
                value = self._reply(command, reply)
                kept = value if len(value) <= self._kept_bytes else None
            elif type(reply) is not self._plain.get(type(command)) or (
                type(reply) is int and not MIN_INT <= reply <= MAX_INT
            ):
                self._reply(command, reply)  # whether anyone asks must not decide what happens
            recent = (context._seq, batch.now, kept)
            # before its first event an entity is what `init` makes of it: there is nothing to save
            if (context._save or context._deleted) and context._seq:
                snapshot = self._requested_snapshot(batch, context, staged, hashed, recent)
        except Rejected as no:
            batch.counts.rejected += 1
            code, reason = _words(no)
            self.answer(batch, envelope, REJECTED, None, staged.seq, code, reason)
            return
        except BaseException as error:
            # a signal's is raised in the main thread: what arrives here is the handler's own
            raise Failed(error) from error
        finally:
            context._open = False
        if context._events:
            self._stage(batch, record, envelope, staged, context, hashed, recent)
        if context._sent:
            batch.writes += self._outgoing.sent(context, envelope, batch.now)
            batch.counts.sent += len(context._sent)
        if context._effects:
            batch.effects += context._effects
        if snapshot is not None:
            self.put_snapshot(batch, record.key or b"", staged, *snapshot)
        if route is not None:
            batch.writes.append(
                self._outgoing.reply(
                    route, envelope, OK, value, staged.seq, batch.position, batch.now
                )
            )
            batch.counts.replies += 1
        elif envelope.reply_to is not None:
            batch.counts.replies_refused += 1

    def _reply(self, command: Any, reply: Any) -> bytes:
        """A reply, encoded; raises `EncodeError`."""
        value = self._encode_reply(type(command), reply)
        if len(value) > self._max_bytes:
            raise RecordTooLarge(
                f"the reply to {type(command).__name__}", len(value), self._max_bytes
            )
        return value

    def _stage(
        self,
        batch: Batch,
        record: Record,
        envelope: Envelope,
        staged: Entity,
        context: Context[Any],
        hashed: bytes,
        recent: Recent,
    ) -> None:
        """Makes a command's events part of the batch."""
        key = record.key or b""
        events = context._events
        source = b"%d:%d" % (record.partition, record.offset)
        make, writes = self._outgoing.event, batch.writes
        last = events[-1]
        size = 0
        for persisted in events:
            reply = recent[2] if persisted is last else None
            writes.append(make(key, persisted, envelope, source, reply, batch.now))
            size += len(persisted[2])
        batch.bytes += size
        batch.grown += size
        staged.size += size
        if not staged.seq:
            batch.created += 1
        staged.state = context._state
        staged.seq = context._seq
        staged.deleted = context._deleted
        staged.add(hashed, recent, self._policy)
        batch.moved[key] = None
        if staged.seq - staged.snapshot_seq >= self._every:
            batch.due[key] = None
        batch.source, batch.position = record.offset, source
        batch.counts.events += len(events)
        if self.publish:
            persist_id = staged.persist_id
            batch.events += [
                CommittedEvent(persist_id, seq, event, tags, batch.now)
                for seq, event, _, tags, _ in events
            ]

    # -- answers ---------------------------------------------------------------------------

    def _repeat(self, batch: Batch, envelope: Envelope, known: Recent) -> None:
        batch.counts.duplicates += 1
        seq, _, reply = known
        self.answer(batch, envelope, DUPLICATE if reply is None else OK, reply, seq)

    def _tell_state(self, batch: Batch, envelope: Envelope, staged: Entity) -> None:
        try:
            value = self._machine.codec.encode_state(staged.state)
            if len(value) > self._max_bytes:
                raise RecordTooLarge("the state", len(value), self._max_bytes)
        except EncodeError as error:
            self.answer(batch, envelope, ERROR, None, staged.seq, "state", str(error))
            return
        self.answer(batch, envelope, OK, value, staged.seq)

    def _erase(
        self,
        batch: Batch,
        record: Record,
        envelope: Envelope,
        staged: Entity,
        hashed: bytes,
        command: Erase,
    ) -> None:
        # not kept: a circle of the two would keep what looks for letters, and the log with it
        erasure = Erasure(self, self._machine, self._outgoing, self._removal, self._letters)
        letters = erasure.letters_of(record, command)
        try:
            erasure.run(batch, record, envelope, staged, hashed, command)
        except BaseException as error:  # ``init`` is the user's
            raise Failed(error) from error
        erasure.remove_letters(batch, record, command, letters)

    def answer(
        self,
        batch: Batch,
        envelope: Envelope,
        status: bytes,
        value: bytes | None,
        seq: int,
        code: str = "",
        error: str = "",
    ) -> None:
        """Makes a reply part of the batch, if one is asked for and may be written."""
        if envelope.reply_to is None:
            return
        route = self._outgoing.route(envelope)
        if route is None:
            batch.counts.replies_refused += 1
            return
        at, now = batch.position, batch.now
        reply = self._outgoing.reply
        batch.writes.append(reply(route, envelope, status, value, seq, at, now, code, error))
        batch.counts.replies += 1

    def fail(
        self,
        batch: Batch,
        record: Record,
        envelope: Envelope,
        seq: int,
        error: Exception,
    ) -> None:
        """Dead-letters a command whose handler raised ``error``, or stops the processor."""
        if self._machine.definition.on_error == "stop":
            raise ProcessorStopped(
                f"the command at {self._partition}:{record.offset} of {self._machine.name} failed "
                f'({type(error).__name__}: {error}) and on_error is "stop"; nothing after it ran'
            ) from error
        batch.counts.failed += 1
        reason = f"{type(error).__name__}: {error}"
        self._dead_letter(batch, record, envelope, seq, error, "failed", reason)

    def refuse(
        self, batch: Batch, record: Record, envelope: Envelope, seq: int, error: BadCommand
    ) -> None:
        """Dead-letters a record that is no command of this processor."""
        batch.counts.refused += 1
        self._dead_letter(batch, record, envelope, seq, error, error.code, str(error))

    def _dead_letter(
        self,
        batch: Batch,
        record: Record,
        envelope: Envelope,
        seq: int,
        error: Exception,
        code: str,
        reason: str,
    ) -> None:
        batch.letters.append(self._outgoing.dead_letter(record, error, batch.now))
        batch.counts.dead_letters += 1
        batch.faults.append(Fault("command", self._partition, record.offset, record.key, error))
        self.answer(batch, envelope, ERROR, None, seq, code, reason)

    # -- snapshots ---------------------------------------------------------------------------

    def _requested_snapshot(
        self, batch: Batch, context: Context[Any], staged: Entity, hashed: bytes, recent: Recent
    ) -> tuple[bytes, Gone]:
        """The snapshot that the command itself asks for, as of its last event, and what of its past
        is gone with it."""
        trial = Entity(staged.persist_id, context._state)
        trial.seq = context._seq
        trial.deleted = context._deleted or (staged.deleted and not context._events)
        trial.recent = dict(staged.recent)
        if context._events:
            trial.recent.pop(hashed, None)  # it may have left the window
            trial.recent[hashed] = recent
        gone = self._removal.behind(batch, staged.persist_id.encode(), trial.seq)
        return self.encode_snapshot(batch, trial, gone), gone

    def encode_snapshot(self, batch: Batch, subject: Entity, gone: Gone) -> bytes:
        """An entity's envelope, with ``gone`` of its past; raises `EncodeError`."""
        snapshot = snapshot_of(self._machine, subject, batch.floor, batch.now, *gone)
        value = self._machine.codec.encode_snapshot(snapshot)
        if len(value) > self._max_bytes:
            raise RecordTooLarge("the snapshot", len(value), self._max_bytes)
        return value

    def snapshot(self, batch: Batch, key: bytes, subject: Entity) -> None:
        """Snapshots an entity, and removes what may go behind it; raises `EncodeError`."""
        gone = self._removal.behind(batch, key, subject.seq)
        value = self.encode_snapshot(batch, subject, gone)
        self.put_snapshot(batch, key, subject, value, gone)

    def put_snapshot(
        self, batch: Batch, key: bytes, subject: Entity, value: bytes, gone: Gone
    ) -> None:
        """Makes a snapshot that was encoded part of the batch, and the removal it tells of."""
        if key in batch.overlay:
            batch.grown += len(value) - subject.size
            subject.size = len(value)
            subject.snapshot_seq = subject.seq
            batch.moved.pop(key, None)
            batch.due.pop(key, None)
        batch.covers[key] = subject.seq
        batch.snapshots[key] = value
        batch.counts.snapshots += 1
        batch.writes.append(self._outgoing.snapshot(key, value, batch.now))
        self._removal.remove(batch, key, gone)


def _words(no: Rejected) -> tuple[str, str]:
    """Code and reason as text: a user may have passed anything, or derived a class that does not
    call this one's ``__init__``."""
    try:
        return str(getattr(no, "code", "rejected")), str(getattr(no, "reason", no))
    except BaseException:  # noqa: BLE001 - a user's text may raise anything
        return "rejected", f"a {type(no).__name__}, whose text raises"
