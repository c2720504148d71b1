"""What the core needs of a codec: bytes to dataclasses and back."""

from __future__ import annotations

from typing import Any, Protocol

from kstate.core.messages import Snapshot


class Codec(Protocol):
    """Encodes and decodes one processor's messages.

    Pure: no I/O; the same bytes for the same value.  Whatever is accepted by an ``encode``
    reads back as an equal value; anything else is refused with `EncodeError`.
    """

    def decode_command(
        self, value: bytes | None, content_type: str | None, type_name: str | None
    ) -> Any:
        """The command in a record.

        ``content_type`` and ``type_name`` are the headers of those names, both needed for
        ``application/json``.  Raises `BadCommand` (which names the fault) for everything else.
        """

    def encode_command(self, processor: str, command: Any) -> bytes:
        """A command for ``processor`` (this one or another); raises `EncodeError`."""

    def encode_event(self, event: Any) -> bytes:
        """One event as the journal keeps it, adapters behind it; raises `EncodeError`."""

    def decode_event(self, value: bytes | None) -> Any:
        """One event, as a dataclass of today's code; raises `DecodeError`.

        Where the processor's adapters make none or several of it: `kstate.core.adapters.Several`.
        """

    def event_type(self, event_class: type) -> bytes:
        """The event's name for the ``type`` header (``Deposited``, ``kstate.Noted``)."""

    def encode_reply(self, command_class: type, reply: Any) -> bytes:
        """A reply; ``b""`` for None where the command's reply type is exactly None.

        Raises `EncodeError` when the reply is not what the command's annotation allows.
        """

    def encode_state(self, state: Any) -> bytes:
        """A state; raises `EncodeError`."""

    def encode_snapshot(self, snapshot: Snapshot) -> bytes:
        """A snapshot envelope, its state included; raises `EncodeError`."""

    def decode_snapshot(self, value: bytes) -> Snapshot:
        """A snapshot envelope; raises `DecodeError`."""

    def decode_envelope(self, value: bytes) -> Snapshot:
        """A snapshot envelope without its state, which stays None; raises `DecodeError`."""

    def snapshot_version(self, value: bytes) -> int:
        """Only the envelope's ``version``, without decoding the state; raises `DecodeError`."""

    def state_type(self, value: bytes) -> str | None:
        """The name of the type that a snapshot's state was written as, readable today or not.

        None where its schema is not known, or where it is no snapshot.
        """
