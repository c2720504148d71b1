"""Speaking to a processor whose code is not at hand: by its messages, or by its schemas alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kstate.codec.avro import command_encoder, reply_decoder
from kstate.codec.book import Book
from kstate.codec.generic import decode_datum


class PlainMessages:
    """Implements `kstate.codec.port.Messages` without a processor class.

    Commands and replies are as their own classes say; events and states come as plain data (see
    `kstate.codec.generic.decode_datum`).  Converters are made once per command class.
    """

    def __init__(self, book: Book, refresh: Callable[[], None] | None = None) -> None:
        self.book = book
        if refresh is not None:
            book.refresh = refresh
        self._encoders: dict[tuple[str, type], Callable[[Any], bytes]] = {}
        self._replies: dict[type, Callable[[bytes | None], Any]] = {}

    def encode_command(self, processor: str, command: Any) -> bytes:
        """See `kstate.codec.port.Messages`."""
        key = (processor, type(command))
        encode = self._encoders.get(key)
        if encode is None:
            encode = self._encoders[key] = command_encoder(*key)
        return encode(command)

    def decode_reply(self, command_class: type, value: bytes) -> Any:
        """See `kstate.codec.port.Messages`."""
        decode = self._replies.get(command_class)
        if decode is None:
            # how the reply's type is named does not matter: it is resolved by the last part
            decode = self._replies[command_class] = reply_decoder("any", command_class, self.book)
        return decode(value)

    def decode_event(self, value: bytes | None) -> Any:
        """See `kstate.codec.port.Messages`."""
        return decode_datum(value, self.book)[1]

    def decode_state(self, value: bytes) -> Any:
        """See `kstate.codec.port.Messages`."""
        return decode_datum(value, self.book)[1]
