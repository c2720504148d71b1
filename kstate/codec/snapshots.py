"""The snapshot envelope: a fixed Avro record around an encoded state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kstate.codec import wire
from kstate.codec.book import Book, Entry
from kstate.codec.decoders import FAULTS, compile_decoder, malformed
from kstate.codec.differences import type_text
from kstate.codec.forms import HEADER_BYTES, Read
from kstate.codec.scalars import GENERIC
from kstate.codec.wire import Malformed, length, read_long
from kstate.codec.writers import MAGIC, header, parse
from kstate.core.messages import Recent, Snapshot
from kstate.errors import DecodeError, EncodeError

FIRST_SCHEMA: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Snapshot",
    "namespace": "kstate",
    "fields": [
        {"name": "seq", "type": "long"},
        {"name": "version", "type": "int"},
        {"name": "journal_offset", "type": "long"},
        {"name": "at", "type": "long"},
        {"name": "deleted", "type": "boolean"},
        {"name": "state", "type": ["null", "bytes"]},
        {
            "name": "recent",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Recent",
                    "namespace": "kstate",
                    "fields": [
                        {
                            "name": "id",
                            "type": {
                                "type": "fixed",
                                "name": "CommandHash",
                                "namespace": "kstate",
                                "size": 16,
                            },
                        },
                        {"name": "seq", "type": "long"},
                        {"name": "at", "type": "long"},
                        {"name": "reply", "type": ["null", "bytes"]},
                    ],
                },
            },
        },
    ],
}
"""The envelope before events could be removed."""
SNAPSHOT_SCHEMA: Final[dict[str, Any]] = {
    **FIRST_SCHEMA,
    "fields": [
        *FIRST_SCHEMA["fields"],
        {"name": "removed", "type": "long", "default": 0},
        {"name": "erased", "type": "long", "default": 0},
    ],
}
_HEAD = header(SNAPSHOT_SCHEMA)
_HEADS = (_HEAD, header(FIRST_SCHEMA))
"""Of envelopes that begin with seq and version."""
_INT32 = 2**31
_RECENT_BYTES = 19
"""Of a recent command, at least: its hash, two numbers and a branch."""


def encode_envelope(snapshot: Snapshot, state: bytes | None) -> bytes:
    """A snapshot with its state already encoded; raises `EncodeError`."""
    version = _number(snapshot.version, "version")
    if not -_INT32 <= snapshot.version < _INT32:
        raise EncodeError("Snapshot.version is beyond 32 bits")
    if type(snapshot.deleted) is not bool:
        raise wire.wrong("Snapshot.deleted", "a bool", snapshot.deleted)
    parts = [
        _HEAD,
        _number(snapshot.seq, "seq"),
        version,
        _number(snapshot.journal_offset, "journal_offset"),
        _number(snapshot.at, "at"),
        b"\1" if snapshot.deleted else b"\0",
        _optional(state, "state"),
    ]
    if snapshot.recent:
        parts.append(length(len(snapshot.recent)))
        for hashed, (seq, at, reply) in snapshot.recent.items():
            if type(hashed) is not bytes or len(hashed) != 16:
                raise EncodeError("Snapshot.recent is keyed by hashes of 16 bytes")
            parts += (
                hashed,
                _number(seq, "recent[…].seq"),
                _number(at, "recent[…].at"),
                _optional(reply, "recent[…].reply"),
            )
    parts += (
        b"\0",
        _number(snapshot.removed, "removed"),
        _number(snapshot.erased, "erased"),
    )
    return b"".join(parts)


def _number(value: Any, field: str) -> bytes:
    if type(value) is not int:
        raise wire.wrong(f"Snapshot.{field}", "an int", value)
    return wire.SMALL.get(value) or wire.long(value, f"Snapshot.{field}")


def _optional(value: Any, field: str) -> bytes:
    if value is None:
        return b"\0"
    if type(value) is not bytes:
        raise wire.wrong(f"Snapshot.{field}", "bytes or None", value)
    return b"\2" + length(len(value)) + value


def _read_own(data: bytes) -> tuple[Snapshot, bytes | None]:
    """An envelope under one of the schemas above; raises one of `FAULTS`.

    Takes and refuses what a generated decoder would.  It is by hand for its window, which goes from
    the bytes to what an entity keeps: a takeover reads one of every entity.
    """
    seq, pos = read_long(data, HEADER_BYTES)
    version, pos = read_long(data, pos)
    journal_offset, pos = read_long(data, pos)
    at, pos = read_long(data, pos)
    deleted = data[pos]
    if deleted > 1:
        raise Malformed("a boolean is neither 0 nor 1")
    state, pos = _read_optional(data, pos + 1)
    recent, pos = _read_recent(data, pos)
    removed = erased = 0
    if data[:HEADER_BYTES] == _HEAD:
        removed, pos = read_long(data, pos)
        erased, pos = read_long(data, pos)
    if pos != len(data):
        raise Malformed("there are bytes after the datum", "trailing")
    deletion = deleted == 1
    return (
        Snapshot(seq, None, version, journal_offset, at, deletion, recent, removed, erased),
        state,
    )


def _read_recent(data: bytes, pos: int) -> tuple[dict[bytes, Recent], int]:
    recent: dict[bytes, Recent] = {}
    while True:
        count, pos = read_long(data, pos)
        if not count:
            return recent, pos
        count, pos = wire.block(data, pos, count, _RECENT_BYTES)
        for _ in range(count):
            end = pos + 16
            hashed = data[pos:end]
            event, pos = data[end], end + 1
            if event > 127:
                event, pos = wire.varint(data, pos, event)
            when, pos = data[pos], pos + 1
            if when > 127:
                when, pos = wire.varint(data, pos, when)
            if data[pos]:
                reply, pos = _read_optional(data, pos)
            else:
                reply, pos = None, pos + 1
            recent[hashed] = ((event >> 1) ^ -(event & 1), (when >> 1) ^ -(when & 1), reply)


def _read_optional(data: bytes, pos: int) -> tuple[bytes | None, int]:
    branch, pos = read_long(data, pos)
    if not branch:
        return None, pos
    if branch != 1:
        raise Malformed("the branch of a union does not exist")
    size, pos = read_long(data, pos)
    return wire.slice_at(data, pos, size)


class Envelopes:
    """Reads envelopes of this version and of others that the book knows."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._readers: dict[bytes, Read] = {}  # by header, of schemas that are not our own

    def decode(self, value: bytes | None) -> tuple[Snapshot, bytes | None]:
        """The envelope with ``state=None``, and the bytes of the state; raises `DecodeError`."""
        try:
            if not value:
                raise Malformed("it has no value")
            if value[:HEADER_BYTES] in _HEADS:
                return _read_own(value)
            fields = self._reader(value)(value, HEADER_BYTES)
            recent: dict[bytes, Recent] = {
                item["id"]: (item["seq"], item["at"], item["reply"]) for item in fields["recent"]
            }
            envelope = Snapshot(
                seq=fields["seq"], state=None, version=fields["version"],
                journal_offset=fields["journal_offset"], at=fields["at"],
                deleted=fields["deleted"], recent=recent,
                removed=fields.get("removed", 0), erased=fields.get("erased", 0),
            )  # fmt: skip
            encode_envelope(envelope, fields["state"])  # its types are what its schema says
            return envelope, fields["state"]
        except FAULTS as error:
            raise DecodeError(f"this is no snapshot: {malformed(error)}") from error
        except KeyError as error:
            raise DecodeError(f"this snapshot's schema has no field {error}") from error
        except (TypeError, AttributeError, EncodeError) as error:
            raise DecodeError(f"this snapshot's schema has other types: {error}") from error

    def version(self, value: bytes | None) -> int:
        """Only the version: the second field; raises `DecodeError`."""
        if value is None or value[:HEADER_BYTES] not in _HEADS:
            return self.decode(value)[0].version
        try:
            _, pos = read_long(value, HEADER_BYTES)
            return read_long(value, pos)[0]
        except FAULTS as error:
            raise DecodeError(f"this is no snapshot: {malformed(error)}") from error

    def state_type(self, value: bytes, known: Callable[[bytes], Entry | None]) -> str | None:
        """What the state in an envelope was written as; ``known`` gives the schema of its bytes."""
        try:
            state = self.decode(value)[1]
        except DecodeError:
            return None
        entry = None if state is None else known(state)
        if entry is None:
            return None
        written = parse(entry.schema)
        return type_text(written, written.schema)

    def _reader(self, value: bytes) -> Read:
        head = bytes(value[:HEADER_BYTES])
        known = self._readers.get(head)
        if known is not None:
            return known
        if head[:2] != MAGIC or len(head) < HEADER_BYTES:
            raise Malformed("it is not in Avro's single-object encoding")
        written = parse(self._book.find(head[2:]).schema)
        if written.name() != "kstate.Snapshot":
            raise Malformed(f"it holds a {written.name()}")
        read = compile_decoder(written, GENERIC, "Snapshot").read
        self._readers[head] = read
        return read
