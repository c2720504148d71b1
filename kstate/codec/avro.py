"""The Avro codec: single-object encoding, schemas derived from dataclasses.

A value is ``C3 01``, the 8 bytes of its schema's fingerprint and the datum (Avro specification,
"Single-object encoding").  Data of today's schema is read by a function made for it; data of
another known schema by one that resolves the two; data of an unknown one makes the book look
again, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from kstate.codec.adapted import Adapted, Chain
from kstate.codec.book import Book, Entry
from kstate.codec.decoders import FAULTS, malformed
from kstate.codec.derive import NoAvroForm
from kstate.codec.forms import (
    HEADER_BYTES,
    Family,
    Form,
    Read,
    ReplyForm,
    form_of,
    own_replies,
    reply_form,
)
from kstate.codec.hints import NoReplyType, reply_annotation
from kstate.codec.jsonform import encode_json
from kstate.codec.snapshots import SNAPSHOT_SCHEMA, Envelopes, encode_envelope
from kstate.codec.texts import parse_json
from kstate.codec.wire import Malformed
from kstate.codec.writers import CONFLUENT_BYTES, is_confluent
from kstate.core.adapters import Tagged
from kstate.core.definition import Definition
from kstate.core.messages import (
    RESERVED_COMMANDS,
    RESERVED_EVENTS,
    RESERVED_NAMESPACE,
    GetState,
    Snapshot,
)
from kstate.errors import BadCommand, DecodeError, DefinitionError, EncodeError, UnknownSchema

Encode = Callable[[Any], bytes]

NEEDS_REGISTRY = (
    "the value is in Confluent's wire format; set schema_registry (KSTATE_SCHEMA_REGISTRY) to the "
    "registry that has its schema"
)


class AvroCodec:
    """Implements `kstate.core.codec.Codec` for one processor.

    ``book`` gets today's schemas and serves those of older data; ``refresh`` makes it look again
    for an unknown one (see `Book`).  Raises `DefinitionError` for types without an Avro form and
    `SchemaError` when the book knows one of the schemas with another meaning.
    """

    def __init__(
        self,
        definition: Definition,
        book: Book | None = None,
        refresh: Callable[[], None] | None = None,
    ) -> None:
        self.book = Book() if book is None else book
        if refresh is not None:
            self.book.refresh = refresh
        self.processor = definition.name
        self._forms = forms = _Forms(definition)
        state = forms.state
        self._entries = [
            self.book.add(form.schema, form.kind, form.type_name) for form in forms.all()
        ]
        self._entries.append(self.book.add(SNAPSHOT_SCHEMA, "snapshot", "Snapshot"))
        self._write_with(lambda form: form.encode)
        self.journal_only = frozenset(form.type_name for form in forms.stored.values())
        name = definition.name
        self._commands = Family(f"{name}'s commands", forms.commands.values(), self.book)
        self.definition = definition
        events, what = forms.events.values(), f"{name}'s events"
        self.adapted_events = Adapted(what, Chain.of_events(definition.adapters), events, True)
        self._events = Family(what, events, self.book, through=self.adapted_events.reader)
        chain, what = Chain.of_states(definition.snapshot_adapters), f"{name}'s state"
        self.adapted_states = Adapted(what, chain, [state], False)
        self._states = Family(what, [state], self.book, through=self.adapted_states.reader)
        self._replies: dict[type, Callable[[bytes | None], Any]] = {}
        self._envelopes = Envelopes(self.book)
        self._command_readers = self._commands.readers
        self._event_readers = self._events.readers

    def _write_with(self, encoder: Callable[[Form], Encode]) -> None:
        """Sets what encodes today's types."""
        forms = self._forms
        events, state = forms.events | forms.stored, encoder(forms.state)
        self._encode_event = {cls: encoder(form) for cls, form in events.items()}
        self._encode_state = state
        self._encode_replies = {
            cls: _reply_encoder(reply, cls, encoder) for cls, reply in forms.replies.items()
        }
        # a number has no schema that a registry would have to know
        own = {cls: _reply_encoder(form, cls, _single) for cls, form in own_replies().items()}
        self._encode_replies |= own | {GetState: state}
        self._sent: dict[tuple[str, type], Encode] = {
            (self.processor, cls): encoder(form) for cls, form in forms.commands.items()
        }

    # -- commands ----------------------------------------------------------------------------

    def decode_command(
        self, value: bytes | None, content_type: str | None, type_name: str | None
    ) -> Any:
        """See `kstate.core.codec.Codec`.

        The codes of `BadCommand`: no-value, not-avro, truncated, trailing, malformed, too-deep,
        unknown-schema, unknown-type, unresolved (an old schema that today's type cannot take),
        invalid-value (the command's ``__post_init__`` raised), bad-json, and too-large,
        schema-limit and ambiguous (see `kstate.codec.limits`).
        """
        try:
            if content_type is not None and is_json(content_type):
                return self._json_command(value, type_name)
            read = self._command_readers.get(value[:HEADER_BYTES]) if value else None
            if read is None or value is None:
                read = reader_of(self._commands, value)
            return read(value, HEADER_BYTES)  # type: ignore[arg-type]
        except FAULTS as error:
            fault = malformed(error)
            raise BadCommand(f"the command cannot be read: {fault}", fault.code) from error
        except UnknownSchema as error:
            raise BadCommand(str(error), "unknown-schema") from error

    def _json_command(self, value: bytes | None, type_name: str | None) -> Any:
        if not value:
            raise BadCommand("the command has no value", "no-value")
        form = self._forms.named.get(type_name or "")
        if form is None:
            known = ", ".join(sorted(f.type_name for f in self._forms.commands.values()))
            raise BadCommand(
                f"the header type is {(type_name or '')[:80]!r}; the commands of {self.processor} "
                f"are {known}",
                "unknown-type",
            )
        body = encode_json(form.written, parse_json(value))
        return self._command_readers[form.header](form.header + body, HEADER_BYTES)

    def encode_command(self, processor: str, command: Any) -> bytes:
        """See `kstate.core.codec.Codec`."""
        encode = self._sent.get((processor, type(command)))
        if encode is None:
            encode = self._sender(processor, type(command))
        return encode(command)

    def _sender(self, processor: str, command_class: type) -> Encode:
        """What encodes commands of a class met for the first time; it is kept."""
        encode = self._sent[(processor, command_class)] = command_encoder(processor, command_class)
        return encode

    # -- events ------------------------------------------------------------------------------

    def encode_event(self, event: Any) -> bytes:
        """See `kstate.core.codec.Codec`."""
        encode = self._encode_event.get(type(event))
        if encode is None:
            if type(event) is Tagged:
                raise EncodeError(
                    "tagged(…) cannot be persisted: persist the event itself, and let an "
                    "EventAdapter in adapters give it its tags"
                )
            raise EncodeError(f"{type(event).__qualname__} is no event of {self.processor}")
        return encode(event)

    def decode_event(self, value: bytes | None) -> Any:
        """See `kstate.core.codec.Codec`."""
        try:
            read = self._event_readers.get(value[:HEADER_BYTES]) if value else None
            if read is None or value is None:
                read = reader_of(self._events, value)
            return read(value, HEADER_BYTES)  # type: ignore[arg-type]
        except FAULTS as error:
            _unreadable("the event", error)

    def event_type(self, event_class: type) -> bytes:
        """See `kstate.core.codec.Codec`."""
        if event_class in RESERVED_EVENTS:
            return f"{RESERVED_NAMESPACE}.{event_class.__name__}".encode()
        return event_class.__name__.encode()

    # -- replies and state -------------------------------------------------------------------

    def encode_reply(self, command_class: type, reply: Any) -> bytes:
        """See `kstate.core.codec.Codec`; the reply to `GetState` is the state."""
        encode = self._encode_replies.get(command_class)
        if encode is None:
            raise EncodeError(f"{command_class.__qualname__} is no command of {self.processor}")
        return encode(reply)

    def decode_reply(self, command_class: type, value: bytes | None) -> Any:
        """The inverse of `encode_reply`; raises `DecodeError`."""
        if command_class is GetState:
            return self.decode_state(value)
        decode = self._replies.get(command_class)
        if decode is None:
            form = self._forms.replies.get(command_class) or own_replies().get(command_class)
            if form is None:
                raise DecodeError(f"{command_class.__qualname__} is no command of {self.processor}")
            decode = self._replies[command_class] = _reply_decoder(form, command_class, self.book)
        return decode(value)

    def encode_state(self, state: Any) -> bytes:
        """See `kstate.core.codec.Codec`."""
        return self._encode_state(state)

    def decode_state(self, value: bytes | None) -> Any:
        """The inverse of `encode_state`; raises `DecodeError`."""
        return _decoded(self._states, "the state", value)

    # -- snapshots ---------------------------------------------------------------------------

    def encode_snapshot(self, snapshot: Snapshot) -> bytes:
        """See `kstate.core.codec.Codec`."""
        state = None if snapshot.deleted else self._encode_state(snapshot.state)
        return encode_envelope(snapshot, state)

    def decode_snapshot(self, value: bytes | None) -> Snapshot:
        """See `kstate.core.codec.Codec`."""
        envelope, state = self._envelopes.decode(value)
        if state is None:
            return envelope
        return Snapshot(
            envelope.seq, self.decode_state(state), envelope.version, envelope.journal_offset,
            envelope.at, envelope.deleted, envelope.recent, envelope.removed, envelope.erased,
        )  # fmt: skip

    def decode_envelope(self, value: bytes | None) -> Snapshot:
        """See `kstate.core.codec.Codec`."""
        return self._envelopes.decode(value)[0]

    def snapshot_version(self, value: bytes | None) -> int:
        """See `kstate.core.codec.Codec`."""
        return self._envelopes.version(value)

    def state_type(self, value: bytes) -> str | None:
        """See `kstate.core.codec.Codec`."""
        return self._envelopes.state_type(value, lambda state: self.book.get(state[2:HEADER_BYTES]))

    # -- schemas -----------------------------------------------------------------------------

    def schemas(self) -> list[Entry]:
        """The schemas of today's types, each once: to be published before they are used."""
        return list({entry.fingerprint: entry for entry in self._entries}.values())

    def forms(self) -> list[Form]:
        """Today's types of this processor, the reserved ones not among them."""
        return [form for form in self._forms.all() if not is_reserved(form)]


def is_json(content_type: str) -> bool:
    """Whether a content type announces JSON, whatever its parameters."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def is_reserved(form: Form) -> bool:
    """Whether the type is one of kstate's own."""
    name = form.written.name()
    return name is not None and name.startswith(f"{RESERVED_NAMESPACE}.")


class _Forms:
    """The forms of all types of a definition."""

    def __init__(self, definition: Definition) -> None:
        mistakes: list[str] = []
        names: dict[str, type] = {}

        def form(cls: type, kind: str, subject: str) -> Form | None:
            try:
                return form_of(cls, kind, definition.name, cls.__name__, names)
            except NoAvroForm as error:
                mistakes.extend(f"{subject} {reason}" for reason in error.reasons)
                return None

        def table(classes: Any, kind: str) -> dict[type, Form]:
            made = {cls: form(cls, kind, f"the {kind}") for cls in classes}
            return {cls: each for cls, each in made.items() if each is not None}

        self.commands = table((*definition.commands, *RESERVED_COMMANDS), "command")
        self.events = table((*definition.folds, *RESERVED_EVENTS), "event")
        written = (cls for adapter in definition.adapters for cls in adapter.writes)
        self.stored = table((cls for cls in written if cls not in self.events), "event")
        state = form(definition.state_type, "state", "the state")
        self.replies: dict[type, ReplyForm] = {}
        for cls, annotation in definition.replies.items():
            try:
                self.replies[cls] = reply_form(annotation, definition.name, cls, names)
            except NoAvroForm as error:
                mistakes += (f"the reply of {cls.__name__} {reason}" for reason in error.reasons)
        if mistakes or state is None:
            raise DefinitionError(definition.name, list(dict.fromkeys(mistakes)))
        self.state = state
        self.named = {str(f.written.name()): f for f in self.commands.values()}
        for each in self.commands.values():  # a user's GetState comes before kstate's own
            self.named.setdefault(each.type_name, each)

    def all(self) -> list[Form]:
        replies = [each.form for each in self.replies.values() if each.form is not None]
        events = [*self.events.values(), *self.stored.values()]
        return [*self.commands.values(), *events, self.state, *replies]


# -- for those who have messages but no processor --------------------------------------------------


def command_encoder(processor: str, command_class: type) -> Callable[[Any], bytes]:
    """A function that encodes commands of a class for a processor; raises `EncodeError`."""
    try:
        return form_of(command_class, "command", processor, command_class.__name__).encode
    except NoAvroForm as error:
        raise EncodeError(str(error)) from error


def reply_decoder(
    processor: str, command_class: type, book: Book | None = None, annotation: Any = ...
) -> Callable[[bytes | None], Any]:
    """A function that decodes the replies to a command class.

    ``annotation`` is the reply's type where the class does not say it: the state's for
    `GetState`.  Raises `DecodeError` now for a type without an Avro form, and later, from the
    function, for bytes that are no such reply.
    """
    try:
        reply = reply_annotation(command_class) if annotation is ... else annotation
        form = reply_form(reply, processor, command_class)
    except (NoAvroForm, NoReplyType) as error:
        raise DecodeError(str(error)) from error
    return _reply_decoder(form, command_class, Book() if book is None else book)


def reader_of(family: Family, value: bytes | None) -> Read:
    """`Family.reader`, which says of data in Confluent's wire format what it is."""
    if value and is_confluent(value) and len(value) >= CONFLUENT_BYTES:
        raise Malformed(NEEDS_REGISTRY, "not-avro")
    return family.reader(value)


def _single(form: Form) -> Encode:
    return form.encode


def _reply_encoder(
    form: ReplyForm, command_class: type, encoder: Callable[[Form], Encode]
) -> Encode:
    """What encodes the replies to a command class; it raises `EncodeError`."""
    if form.form is None:

        def nothing(reply: None) -> bytes:
            if reply is not None:
                raise EncodeError(f"the reply of {command_class.__name__} is to be None")
            return b""

        return nothing
    encode, wrap = encoder(form.form), form.wrap
    return encode if wrap is None else lambda reply: encode(wrap(reply))


def _reply_decoder(
    form: ReplyForm, command_class: type, book: Book
) -> Callable[[bytes | None], Any]:
    what = f"the reply of {command_class.__name__}"
    if form.form is None:

        def nothing(value: bytes | None) -> None:
            if value:
                raise DecodeError(f"{what} is to be None, and has bytes")

        return nothing
    family = Family(what, [form.form], book, unnamed=True)

    def decode(value: bytes | None) -> Any:
        reply = _decoded(family, what, value)
        return reply if form.wrap is None else reply.value

    return decode


def _decoded(family: Family, what: str, value: bytes | None) -> Any:
    try:
        read = family.readers.get(value[:HEADER_BYTES]) if value else None
        if read is None or value is None:
            read = reader_of(family, value)
        return read(value, HEADER_BYTES)  # type: ignore[arg-type]
    except FAULTS as error:
        _unreadable(what, error)


def _unreadable(what: str, error: BaseException) -> NoReturn:
    raise DecodeError(f"{what} cannot be read: {malformed(error)}") from error
