"""What others need of a codec beside `kstate.core.codec.Codec`: schemas that travel along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from kstate.core.messages import Headers


class SchemaRecord(NamedTuple):
    """A schema as it stands in a processor's schemas topic."""

    key: bytes  # its fingerprint, hexadecimal
    value: bytes  # the schema, JSON
    headers: Headers  # kind and type


class SchemaBook(Protocol):
    """Every schema known, by fingerprint: those of today's code and those of the topic."""

    def learn(self, record: SchemaRecord) -> None:
        """Takes over a schema from the topic; one already known under its fingerprint stays.

        Raises `SchemaError` for a record that is no schema, or whose key is not its fingerprint.
        """

    def unpublished(self) -> Sequence[SchemaRecord]:
        """The schemas of today's code that were not learned from the topic."""


class Messages(Protocol):
    """What a client needs to speak to a processor, with or without the processor's code."""

    def encode_command(self, processor: str, command: Any) -> bytes:
        """A command; raises `EncodeError`."""

    def decode_reply(self, command_class: type, value: bytes) -> Any:
        """The reply to a command of this class; raises `DecodeError`."""

    def decode_event(self, value: bytes | None) -> Any:
        """An event: of today's code, or plain data where there is none; raises `DecodeError`."""

    def decode_state(self, value: bytes) -> Any:
        """A state, likewise."""
