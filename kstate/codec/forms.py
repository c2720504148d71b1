"""One type of today's code, ready to be written and read: shape, schema, encoder, decoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from kstate.codec.book import Book
from kstate.codec.decoders import Decoder, compile_decoder
from kstate.codec.derive import namespace_of, shape_of
from kstate.codec.encoders import compile_encoder
from kstate.codec.shapes import (
    Array,
    Day,
    Field,
    Record,
    Scaled,
    Shape,
    Stamp,
    Table,
    Union,
    Uuid,
    schema_of,
)
from kstate.codec.wire import Malformed
from kstate.codec.writers import MAGIC, Written, header, parse
from kstate.core.messages import RESERVED_NAMESPACE, Erase, Rebuild

HEADER_BYTES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A type of today's code.  ``encode`` gives a single-object encoding."""

    kind: str  # command, event, state or reply
    type_name: str
    shape: Shape
    schema: Any
    written: Written  # the schema, parsed
    header: bytes
    encode: Callable[[Any], bytes]

    def decoder(self, schema: Any) -> Decoder:
        """Reads what was written with ``schema`` as this type."""
        return compile_decoder(parse(schema), self.shape, self.type_name)


def form_of(
    annotation: Any,
    kind: str,
    processor: str,
    type_name: str,
    names: dict[str, type] | None = None,
) -> Form:
    """Derives a form; raises `NoAvroForm`."""
    return _form(shape_of(annotation, processor, None, names), kind, type_name, type_name)


def _form(shape: Shape, kind: str, type_name: str, title: str) -> Form:
    schema = schema_of(shape)
    head = header(schema)
    return Form(
        kind, type_name, shape, schema, parse(schema), head, compile_encoder(shape, title, head)
    )


@dataclass(frozen=True, slots=True, eq=False)
class ReplyForm:
    """A command's reply; ``form`` is None where the reply is exactly None and takes no bytes."""

    form: Form | None
    wrap: Callable[[Any], Any] | None  # see `reply_form`


def reply_form(
    annotation: Any, processor: str, command: type, names: dict[str, type] | None = None
) -> ReplyForm:
    """The form of a command's reply; raises `NoAvroForm`.

    A reply such as ``datetime`` has an unnamed schema, and its fingerprint is that of ``int``: it
    is carried in a record of one field, named after the command, so that no two are confused.
    """
    if annotation in (None, type(None)):
        return ReplyForm(None, None)
    names_of = (f"{command.__name__}.reply", f"the reply of {command.__name__}")
    shape = shape_of(annotation, processor, None, names)
    if not _has_bare_logical(shape):
        return ReplyForm(_form(shape, "reply", *names_of), None)
    wrapper = dataclasses.make_dataclass(
        f"{command.__name__}Reply", [("value", Any)], frozen=True, slots=True
    )
    full = f"{namespace_of(processor)}.{command.__name__}.Reply"
    carried = Record(wrapper, full, [Field("value", shape)])
    return ReplyForm(_form(carried, "reply", *names_of), wrapper)


@cache
def own_replies() -> dict[type, ReplyForm]:
    """The forms of the replies to reserved commands that are the same for all processors."""
    return {cls: reply_form(int, RESERVED_NAMESPACE, cls) for cls in (Erase, Rebuild)}


def _has_bare_logical(shape: Shape) -> bool:
    match shape:
        case Stamp() | Day() | Uuid() | Scaled():
            return True
        case Array(inner) | Table(inner):
            return _has_bare_logical(inner)
        case Union(branches):
            return any(map(_has_bare_logical, branches))
    return False


Read = Callable[[bytes, int], Any]
Through = Callable[[Written, "Form | None"], Read | None]
"""Another reader for data of a schema, given the type it would become; None: there is none."""


class Family:
    """The forms that may stand in one place, and the readers of all their versions.

    ``readers`` maps the ten bytes before a datum to the function that reads it; it starts with
    today's schemas and grows by what data was written with.
    """

    def __init__(
        self,
        what: str,
        forms: Iterable[Form],
        book: Book,
        unnamed: bool = False,
        through: Through | None = None,
    ) -> None:
        self._unnamed = unnamed  # there is one form: it reads whatever can be resolved
        self._through = through
        self.what = what
        self.readers: dict[bytes, Read] = {}
        self._book = book
        self._by_name: dict[str | None, Form] = {}
        for form in forms:
            self.readers[form.header] = self._reader(form.written, form)
            self._by_name[form.written.name()] = form
            shape = form.shape
            if not isinstance(shape, Record):
                continue
            for alias in shape.aliases:
                namespace = shape.name.rpartition(".")[0]
                full = alias if "." in alias else f"{namespace}.{alias}"
                self._by_name.setdefault(full, form)

    def reader(self, value: bytes | None) -> Read:
        """The reader of a value whose header is not in ``readers`` yet.

        Raises `Malformed`, or `UnknownSchema` when neither the code nor the book knows it.
        """
        if not value:
            raise Malformed(f"{self.what} has no value", "no-value")
        head = bytes(value[:HEADER_BYTES])
        if not MAGIC.startswith(head[:2]):
            raise Malformed(
                f"{self.what} is not in Avro's single-object encoding, which begins with C3 01",
                "not-avro",
            )
        if len(head) < HEADER_BYTES:
            raise Malformed(f"{self.what} ends within its header", "truncated")
        known = self.readers.get(head)
        if known is None:
            known = self.readers[head] = self._resolve(head[2:])
        return known

    def _resolve(self, fingerprint: bytes) -> Read:
        entry = self._book.find(fingerprint)
        written = parse(entry.schema)
        name = written.name()
        form = self._by_name.get(name)
        if form is None and self._unnamed:
            (form,) = self._by_name.values()
        return self._reader(written, form)

    def _reader(self, written: Written, form: Form | None) -> Read:
        read = None if self._through is None else self._through(written, form)
        if read is not None:
            return read
        if form is None:
            raise Malformed(f"{written.name() or 'this'} is no type of {self.what}", "unknown-type")
        return form.decoder(written.schema).read
