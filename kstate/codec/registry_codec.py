"""Codecs that write Confluent's wire format and read it beside single-object encoding.

Without a registry `AvroCodec` and `PlainMessages` stand alone, and nothing here runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from kstate.codec.avro import AvroCodec, Encode, is_json
from kstate.codec.book import Book
from kstate.codec.decoders import FAULTS, malformed
from kstate.codec.derive import NoAvroForm, namespace_of
from kstate.codec.encoders import compile_encoder
from kstate.codec.forms import Family, Form, Read, form_of
from kstate.codec.plain import PlainMessages
from kstate.codec.port import Messages
from kstate.codec.registry import Ids, Wanted, subject_of, unnamed
from kstate.codec.writers import CONFLUENT_BYTES, header, is_confluent, parse
from kstate.core.definition import Definition
from kstate.errors import (
    BadCommand,
    DecodeError,
    EncodeError,
    LogUnavailable,
    SchemaError,
    UnknownSchema,
)

PATIENCE_S = 30.0
"""For how long a worker waits for a registry that is away because of a command's unknown id."""

logger = logging.getLogger("kstate.worker")


class RegistryCodec(AvroCodec):
    """An `AvroCodec` whose commands, events, replies and states bear ids of a registry.

    A worker calls `register` before it takes a seat.  From then on it knows the ids of all that it
    writes and of all that its processor's schemas topic had, and asks the registry about foreign
    schemas alone.

    While the registry is away, an unknown id is dealt with as an unknown fingerprint is while the
    log is away: `LogUnavailable`, and the worker takes its seat anew until it can tell.  But
    others' commands must not wait for that without end: once the registry has been away for
    `PATIENCE_S`, a *command* of an unknown id is a bad one (``registry-away``), kept in the dead
    letters, from where it may be sent again.  Events and states are waited for, for nothing goes on
    without them.

    The snapshot's envelope stays in single-object encoding: it is kstate's own, and every kstate
    knows its schema.
    """

    def __init__(
        self,
        definition: Definition,
        ids: Ids,
        book: Book,
        refresh: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(definition, book, refresh)
        self.ids = ids
        self._namespace = namespace_of(definition.name)
        self._registered = False
        self._sent = {}  # until the ids are known
        self._of_ids: dict[Family, dict[bytes, Read]] = {
            family: {} for family in (self._commands, self._events, self._states)
        }

    def register(self) -> None:
        """Gets the ids of today's types, registered where they are not, and of older ones.

        To be called before the schemas topic is told of today's types: one that the registry
        refuses is then published nowhere.  The topic is told all the same afterwards, for it says
        what has ever been written, which the check at the start and those who know a processor by
        its name alone go by; ids mean something in one registry only and are not kept there.

        Raises `SchemaError` for a type that is refused, `LogUnavailable` while it is away.
        """
        forms = self._forms.all()
        heads = dict(zip(forms, self.ids.heads([self._wanted(f) for f in forms]), strict=True))
        ours = {entry.fingerprint for entry in self.schemas()}
        older = [e for e in self.book if e.fingerprint not in ours and e.kind != "snapshot"]
        self.ids.recall(older, self._namespace)
        self._write_with(lambda form: _encoder(form, heads[form]))
        self._registered = True

    def _wanted(self, form: Form) -> Wanted:
        subject = subject_of(form, self._namespace)
        return Wanted(subject, form.schema, form.kind, form.type_name)

    # -- writing -----------------------------------------------------------------------------

    def _sender(self, processor: str, command_class: type) -> Encode:
        """What encodes a command whose id is not known yet.

        In a worker this runs within a handler, which must not fail because the registry is away:
        until it answers, such a command goes out in single-object encoding, which every reader of
        kstate takes.  A client gets `LogUnavailable`.
        """
        key = (processor, command_class)
        try:
            encode = self._sent[key] = command_encoder(self.ids, processor, command_class)
        except LogUnavailable as error:
            if not self._registered:
                raise
            logger.warning(
                "%s: a %s goes to %s without a registry's id: %s",
                self.processor, command_class.__name__, processor, error,
            )  # fmt: skip
            return form_of(command_class, "command", processor, command_class.__name__).encode
        except SchemaError as error:
            raise EncodeError(str(error)) from error
        return encode

    # -- reading -----------------------------------------------------------------------------

    def decode_command(
        self, value: bytes | None, content_type: str | None, type_name: str | None
    ) -> Any:
        """See `AvroCodec.decode_command`; another code of `BadCommand` is registry-away."""
        if not is_confluent(value) or (content_type is not None and is_json(content_type)):
            return super().decode_command(value, content_type, type_name)
        try:
            return self._read(self._commands, value)  # type: ignore[arg-type]
        except FAULTS as error:
            fault = malformed(error)
            raise BadCommand(f"the command cannot be read: {fault}", fault.code) from error
        except UnknownSchema as error:
            raise BadCommand(str(error), "unknown-schema") from error
        except LogUnavailable as error:
            if self.ids.away_s < PATIENCE_S:
                raise
            raise BadCommand(f"the command's schema is not known: {error}", "registry-away") from (
                error
            )

    def decode_event(self, value: bytes | None) -> Any:
        """See `kstate.core.codec.Codec`."""
        if value and is_confluent(value):
            return self._told("the event", self._events, value)
        return super().decode_event(value)

    def decode_state(self, value: bytes | None) -> Any:
        """See `AvroCodec.decode_state`."""
        if value and is_confluent(value):
            return self._told("the state", self._states, value)
        return super().decode_state(value)

    def state_type(self, value: bytes) -> str | None:
        """See `kstate.core.codec.Codec`."""
        found = self._envelopes.state_type(value, self.ids.known)
        return found or super().state_type(value)

    def decode_reply(self, command_class: type, value: bytes | None) -> Any:
        """See `AvroCodec.decode_reply`."""
        return super().decode_reply(command_class, single(self.ids, value))

    def _told(self, what: str, family: Family, value: bytes) -> Any:
        try:
            return self._read(family, value)
        except FAULTS as error:
            raise DecodeError(f"{what} cannot be read: {malformed(error)}") from error

    def _read(self, family: Family, value: bytes) -> Any:
        readers = self._of_ids[family]
        head = value[:CONFLUENT_BYTES]
        read = readers.get(head)
        if read is None:
            read = readers[head] = self.ids.reader(family, value)
        return read(value, CONFLUENT_BYTES)


class RegistryMessages(PlainMessages):
    """`PlainMessages` with the ids of a registry."""

    def __init__(self, book: Book, ids: Ids, refresh: Callable[[], None] | None = None) -> None:
        super().__init__(book, refresh)
        self.ids = ids

    def encode_command(self, processor: str, command: Any) -> bytes:
        """See `kstate.codec.port.Messages`; raises `LogUnavailable` while an id cannot be had."""
        key = (processor, type(command))
        if key not in self._encoders:
            self._encoders[key] = command_encoder(self.ids, *key)
        return super().encode_command(processor, command)

    def decode_reply(self, command_class: type, value: bytes) -> Any:
        """See `kstate.codec.port.Messages`."""
        return super().decode_reply(command_class, single(self.ids, value) or b"")

    def decode_event(self, value: bytes | None) -> Any:
        """See `kstate.codec.port.Messages`."""
        return super().decode_event(single(self.ids, value))

    def decode_state(self, value: bytes) -> Any:
        """See `kstate.codec.port.Messages`."""
        return super().decode_state(single(self.ids, value) or b"")


def command_encoder(ids: Ids, processor: str, command_class: type) -> Encode:
    """What encodes commands of a class with the id of its schema.

    Raises `EncodeError` for a class without an Avro form, `SchemaError` for one that the registry
    refuses, `LogUnavailable` while it is away.
    """
    try:
        form = form_of(command_class, "command", processor, command_class.__name__)
    except NoAvroForm as error:
        raise EncodeError(str(error)) from error
    subject = subject_of(form, namespace_of(processor))
    return _encoder(form, ids.head(Wanted(subject, form.schema, "command", form.type_name)))


def single(ids: Ids, value: bytes | None) -> bytes | None:
    """A value in single-object encoding; raises `DecodeError` for an id that cannot be used."""
    try:
        return ids.single(value)
    except FAULTS as error:
        raise DecodeError(f"the value cannot be read: {malformed(error)}") from error


def command_head(messages: Messages, processor: str, type_name: str, schema: Any) -> bytes:
    """What stands before the datum of a command, as these messages write it.

    Raises as `command_encoder` does.
    """
    if not isinstance(messages, RegistryCodec | RegistryMessages):
        return header(schema)
    subject = parse(schema).name() or unnamed(type_name, namespace_of(processor))
    return messages.ids.head(Wanted(subject, schema, "command", type_name))


def single_of(messages: Messages, value: bytes) -> bytes:
    """A value in single-object encoding, if these messages can tell; raises as `single` does."""
    if not isinstance(messages, RegistryCodec | RegistryMessages):
        return value
    return single(messages.ids, value) or b""


def _encoder(form: Form, head: bytes) -> Encode:
    name = form.type_name
    title = f"the reply of {name.removesuffix('.reply')}" if form.kind == "reply" else name
    return compile_encoder(form.shape, title, head)
