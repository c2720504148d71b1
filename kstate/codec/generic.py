"""Reading data without the code that wrote it: for a command line that has only the schemas."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from kstate.codec.avro import NEEDS_REGISTRY
from kstate.codec.book import Book
from kstate.codec.decoders import FAULTS, compile_decoder, malformed
from kstate.codec.forms import HEADER_BYTES, Read
from kstate.codec.scalars import GENERIC
from kstate.codec.wire import Malformed
from kstate.codec.writers import CONFLUENT_BYTES, MAGIC, is_confluent, parse
from kstate.errors import DecodeError

_readers: WeakKeyDictionary[Book, dict[bytes, tuple[str | None, Read]]] = WeakKeyDictionary()


def decode_datum(value: bytes | None, book: Book) -> tuple[str | None, Any]:
    """The full name of a value's type (None if it has none) and its datum as plain Python.

    Records are dicts, enums their symbols, and of a union of several records each is
    ``{"Name": {…}}``; logical types are applied.  Raises `DecodeError` (`UnknownSchema`).
    """
    try:
        if not value:
            raise Malformed("it has no value")
        if value[:2] != MAGIC or len(value) < HEADER_BYTES:
            confluent = is_confluent(value) and len(value) >= CONFLUENT_BYTES
            raise Malformed(
                NEEDS_REGISTRY if confluent else "it is not in Avro's single-object encoding"
            )
        name, read = _reader(bytes(value[2:HEADER_BYTES]), book)
        return name, read(value, HEADER_BYTES)
    except FAULTS as error:
        raise DecodeError(f"the value cannot be read: {malformed(error)}") from error


def _reader(fingerprint: bytes, book: Book) -> tuple[str | None, Read]:
    known = _readers.setdefault(book, {})
    found = known.get(fingerprint)
    if found is None:
        entry = book.find(fingerprint)
        written = parse(entry.schema)
        read = compile_decoder(written, GENERIC, entry.type_name).read
        found = known[fingerprint] = (written.name(), read)
    return found
