"""Events as Avro object container files, one for each schema that they bear.

A file's records are ``kstate.StoredEvent``: what stands in the key and the headers, then the event
in the schema it was written with, whose bytes go into the file as they are (Avro specification,
"Object Container Files": a record is the concatenation of its fields).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from kstate.codec.book import Book, Entry
from kstate.codec.forms import HEADER_BYTES
from kstate.codec.wire import length, zigzag
from kstate.codec.writers import MAGIC
from kstate.core.messages import RESERVED_NAMESPACE
from kstate.errors import DecodeError

BLOCK_BYTES = 64_000
SYNC_BYTES = 16


class Described(NamedTuple):
    """What stands beside an event in its record."""

    persist_id: str
    seq: int
    type: str
    tags: Sequence[str]
    at_ms: int  # since the epoch, UTC
    command_id: str
    partition: int
    offset: int


def file_schema(event: Any) -> dict[str, Any]:
    """The schema of a file whose events are written with this schema."""
    texts = {"type": "array", "items": "string"}
    time = {"type": "long", "logicalType": "timestamp-millis"}
    fields: list[tuple[str, Any]] = [
        ("persist_id", "string"),
        ("seq", "long"),
        ("type", "string"),
        ("tags", texts),
        ("at", time),
        ("command_id", "string"),
        ("partition", "int"),
        ("offset", "long"),
        ("event", event),
    ]
    return {
        "type": "record",
        "name": "StoredEvent",
        "namespace": RESERVED_NAMESPACE,
        "fields": [{"name": name, "type": each} for name, each in fields],
    }


class EventFiles:
    """Writes events into files of a directory; close it, or use ``with``."""

    def __init__(self, directory: Path, book: Book) -> None:
        self._directory = directory
        self._book = book
        self._files: dict[bytes, _File] = {}

    def write(self, described: Described, value: bytes | None) -> None:
        """Adds an event, its value as the journal has it.

        Raises `DecodeError` for a value in another encoding than Avro's single-object encoding,
        `UnknownSchema`, and `OSError`.
        """
        if not value or value[:2] != MAGIC or len(value) < HEADER_BYTES:
            raise DecodeError(
                f"{described.persist_id}@{described.seq} is not in Avro's single-object encoding: "
                "its schema is not at hand here"
            )
        fingerprint = value[2:HEADER_BYTES]
        file = self._files.get(fingerprint)
        if file is None:
            file = self._files[fingerprint] = _File(self._directory, self._book.find(fingerprint))
        file.write(described, value[HEADER_BYTES:])

    @property
    def paths(self) -> list[Path]:
        """The files written so far."""
        return sorted(each.path for each in self._files.values())

    def close(self) -> None:
        """Completes the files."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> EventFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _File:
    """One container file, open."""

    def __init__(self, directory: Path, entry: Entry) -> None:
        name = entry.type_name.rpartition(".")[2]
        self.path = directory / f"{name}-{entry.fingerprint.hex()}.avro"
        self._sync = os.urandom(SYNC_BYTES)
        self._block = bytearray()
        self._count = 0
        schema = json.dumps(file_schema(entry.schema)).encode()
        meta = {b"avro.schema": schema, b"avro.codec": b"deflate"}
        header = b"".join(_bytes(each) for pair in meta.items() for each in pair)
        self._file: BinaryIO = self.path.open("xb")
        self._file.write(b"Obj\x01" + length(len(meta)) + header + length(0) + self._sync)

    def write(self, described: Described, body: bytes) -> None:
        tags = [_bytes(tag.encode()) for tag in described.tags]
        self._block += b"".join(
            (
                _bytes(described.persist_id.encode()),
                zigzag(described.seq),
                _bytes(described.type.encode()),
                *((length(len(tags)), *tags) if tags else ()),
                length(0),
                zigzag(described.at_ms),
                _bytes(described.command_id.encode()),
                zigzag(described.partition),
                zigzag(described.offset),
                body,
            )
        )
        self._count += 1
        if len(self._block) >= BLOCK_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if not self._count:
            return
        packer = zlib.compressobj(wbits=-15)  # raw, as Avro's deflate is
        packed = packer.compress(bytes(self._block)) + packer.flush()
        self._file.write(zigzag(self._count) + _bytes(packed) + self._sync)
        self._block.clear()
        self._count = 0


def _bytes(value: bytes) -> bytes:
    return length(len(value)) + value
