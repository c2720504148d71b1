"""Whether what was stored can be read: by today's code, or by the schemas on the log alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from kstate.codec.port import Messages
from kstate.core.context import Machine
from kstate.core.messages import Snapshot
from kstate.errors import DecodeError, UnknownSchema
from kstate.verify.findings import Kind

AVRO = b"\xc3\x01"
"""What single-object encoding begins with; a schema's fingerprint follows."""
CONFLUENT = b"\0"
"""What Confluent's wire format begins with; a schema's id follows."""
AVRO_HEAD, CONFLUENT_HEAD = 10, 5
"""Bytes that name the schema, the mark included."""


class Fault(NamedTuple):
    """Why a value cannot be read."""

    kind: Kind
    reason: str


class Envelope(NamedTuple):
    """What matters of a snapshot."""

    seq: int
    usable: bool  # today's code would take it: it is not of another ``snapshot_version``
    removed: int  # the seq up to which events were removed, though they may be there
    erased: int  # the seq after which the state began anew, though older events may be there


@runtime_checkable
class _ReadsSnapshots(Protocol):
    def decode_snapshot(self, value: bytes) -> Snapshot: ...


class Values:
    """Reads values, and says of those that cannot be read why.

    With a machine its codec reads, adapters included; else the messages do.
    """

    def __init__(self, messages: Messages, machine: Machine | None) -> None:
        self._messages = messages
        self._machine = machine
        self._unknown: dict[bytes, Fault] = {}  # by what names the schema: each is looked up once
        codec = messages if machine is None else machine.codec
        self.decode_event: Callable[[bytes | None], Any] = codec.decode_event
        self._decode_snapshot: Callable[[bytes], Snapshot] | None = None
        if isinstance(messages, _ReadsSnapshots):
            self._decode_snapshot = messages.decode_snapshot

    def event(self, value: bytes) -> Fault | None:
        """What is wrong with an event; None when there is nothing."""
        if self._unknown:
            known = self._unknown.get(_head(value))
            if known is not None:
                return known
        try:
            self.decode_event(value)
        except DecodeError as error:
            return self.fault(value, error)
        return None

    def snapshot(self, value: bytes) -> Envelope | Fault:
        """A snapshot, or what is wrong with it."""
        known = self._unknown.get(_head(value))
        if known is not None:
            return known
        try:
            if self._machine is not None:
                return self._of_code(self._machine, value)
            return self._of_schemas(value)
        except DecodeError as error:
            return self.fault(value, error)

    def fault(self, value: bytes, error: DecodeError) -> Fault:
        """What kind of fault an error tells."""
        if isinstance(error, UnknownSchema):
            found = Fault("schema", str(error))
            if error.fingerprint in value[:AVRO_HEAD]:  # not one of a state in an envelope
                self._unknown[_head(value)] = found
            return found
        if value[:2] == AVRO or value[:1] == CONFLUENT:
            return Fault("unreadable", str(error))
        return Fault("foreign", str(error))

    def _of_code(self, machine: Machine, value: bytes) -> Envelope:
        expected = machine.definition.snapshot_version
        version = machine.codec.snapshot_version(value)
        try:
            snapshot = machine.codec.decode_snapshot(value)
        except DecodeError:
            if version == expected:
                raise
            snapshot = machine.codec.decode_envelope(value)
        # a deleted entity has no state that other folds would have made otherwise
        usable = version == expected or snapshot.deleted
        return _envelope(snapshot, usable)

    def _of_schemas(self, value: bytes) -> Envelope:
        if self._decode_snapshot is not None:
            return _envelope(self._decode_snapshot(value), True)
        fields = self._messages.decode_state(value)
        if not isinstance(fields, Mapping) or not {"seq", "state"} <= fields.keys():
            raise DecodeError("the value is no snapshot's envelope")
        if fields["state"] is not None:
            self._messages.decode_state(fields["state"])
        removed, erased = (int(fields.get(name, 0)) for name in ("removed", "erased"))
        return Envelope(int(fields["seq"]), True, removed, erased)


def _envelope(snapshot: Snapshot, usable: bool) -> Envelope:
    return Envelope(snapshot.seq, usable, snapshot.removed, snapshot.erased)


def _head(value: bytes) -> bytes:
    return value[:AVRO_HEAD] if value[:2] == AVRO else value[:CONFLUENT_HEAD]
