"""Erasing an entity: its state at once, the events of its past by tombstones, batch by batch.

The first batch lets the state begin anew; its snapshot shrinks to the seq and what is gone, and the
window of command ids to the id that asked.  With it go the dead letters of the commands before that
one, of an entity without events, too.  Where there are more events than a batch has room for, it
sends another `Erase` to the same entity, in the same transaction, and so on: whatever crashes, the
next owner goes on.  The reply comes from the last one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from kstate.core.batch import Batch
from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.envelope import Envelope
from kstate.core.letters import Letters, failed_key
from kstate.core.messages import Erase, Record
from kstate.core.outgoing import OK, Outgoing
from kstate.core.removal import Removal
from kstate.errors import EncodeError

if TYPE_CHECKING:
    from kstate.core.runner import Runner


class Erasure:
    """Carries out `Erase` for the runner of one partition."""

    def __init__(
        self,
        runner: Runner,
        machine: Machine,
        outgoing: Outgoing,
        removal: Removal,
        letters: Letters,
    ) -> None:
        self._letters = letters
        self._runner = runner
        self._machine = machine
        self._outgoing = outgoing
        self._removal = removal

    def run(
        self,
        batch: Batch,
        record: Record,
        envelope: Envelope,
        staged: Entity,
        hashed: bytes,
        command: Erase,
    ) -> None:
        """Does what the batch has room for; raises as ``init`` does, with nothing staged."""
        if command.upto:
            self._go_on(batch, record, envelope, staged, command)
        elif staged.seq:
            self._begin(batch, record, envelope, staged, hashed)
        else:
            self._done(batch, envelope, 0)  # there is nothing of it

    def letters_of(self, record: Record, command: Erase) -> Collection[bytes]:
        """The keys of the dead letters that are to go with it; raises `LogUnavailable`."""
        return () if command.upto else self._letters(record.key or b"")

    def remove_letters(
        self, batch: Batch, record: Record, command: Erase, letters: Collection[bytes]
    ) -> None:
        """Takes back those of the batch, and makes tombstones for the others part of it."""
        if command.upto:
            return  # those since it began are not to be erased
        key = record.key or b""
        batch.letters = [
            each for each in batch.letters if failed_key(each.key, each.headers) != key
        ]
        tombstone = self._outgoing.no_dead_letter
        batch.writes += [tombstone(letter, batch.now) for letter in letters]

    def _begin(
        self, batch: Batch, record: Record, envelope: Envelope, staged: Entity, hashed: bytes
    ) -> None:
        key, seq = record.key or b"", staged.seq
        gone = self._removal.up_to(batch, self._removal.of(batch, key), seq)
        gone = gone._replace(erased=seq)
        done = gone.removed == seq
        reply = self._machine.codec.encode_reply(Erase, seq) if done and envelope.reply_to else None
        fresh = Entity(staged.persist_id, self._machine.init(staged.persist_id))
        fresh.seq = seq
        fresh.deleted = True
        # the id that asked stays: a repetition is not to erase what came since
        fresh.recent = {hashed: (seq, batch.now, reply)}
        value = self._runner.encode_snapshot(batch, fresh, gone)
        staged.state, staged.deleted, staged.recent = fresh.state, True, fresh.recent
        self._runner.put_snapshot(batch, key, staged, value, gone)
        batch.counts.erased += 1
        if done:
            self._done(batch, envelope, seq)
        else:
            asked = envelope.command_id.decode()
            self._send_on(batch, record, envelope, Erase(seq, asked))

    def _go_on(
        self, batch: Batch, record: Record, envelope: Envelope, staged: Entity, command: Erase
    ) -> None:
        key = record.key or b""
        before = self._removal.of(batch, key)
        upto = min(command.upto, before.erased)  # what came since is not to be erased
        gone = self._removal.up_to(batch, before, upto)
        if gone != before:
            try:
                value = self._runner.encode_snapshot(batch, staged, gone)
            except EncodeError:
                # a state that does not encode has no snapshot, and needs none for this: of what
                # was erased nothing is missed, and the tombstones may be written twice
                self._removal.remove(batch, key, gone)
            else:
                self._runner.put_snapshot(batch, key, staged, value, gone)
        if gone.removed < upto:
            self._send_on(batch, record, envelope, command)
            return
        if command.asked:
            envelope.command_id = command.asked.encode()
        self._done(batch, envelope, upto)

    def _send_on(self, batch: Batch, record: Record, envelope: Envelope, command: Erase) -> None:
        value = self._machine.codec.encode_command(self._machine.name, command)
        batch.writes.append(self._outgoing.to_itself(record, envelope, value, batch.now))

    def _done(self, batch: Batch, envelope: Envelope, seq: int) -> None:
        self._runner.answer(batch, envelope, OK, self._machine.codec.encode_reply(Erase, seq), seq)
