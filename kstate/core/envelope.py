"""What a command's headers say about it."""

from __future__ import annotations

from binascii import hexlify, unhexlify
from hashlib import blake2b

from kstate.core.messages import MAX_COMMAND_ID_BYTES, UNREADABLE, Record
from kstate.errors import BadCommand

MAX_TRACEPARENT_BYTES = 256


class Envelope:
    """A command record's headers, read once.  Where a name repeats, the last one counts.

    Reading never fails: `identify` says what is wrong, once it is known where a reply would go.
    """

    __slots__ = (
        "command_id",
        "content_type",
        "expected",
        "given_id",
        "key",
        "reply_partition",
        "reply_to",
        "traceparent",
        "type_name",
        "unreadable",
    )

    def __init__(self, record: Record) -> None:
        self.key = record.key  # the persist id
        self.command_id: bytes = b""
        self.reply_to: bytes | None = None
        self.reply_partition: bytes | None = None
        self.expected: bytes | None = None
        self.content_type: str | None = None
        self.type_name: str | None = None
        self.traceparent: bytes | None = None
        self.unreadable = False
        for name, value in record.headers:
            if name == "command-id":
                self.command_id = value or b""
            elif name == "reply-to":
                self.reply_to = value or None
            elif name == "reply-partition":
                self.reply_partition = value
            elif name == "expected-seq":
                self.expected = value
            elif name == "content-type":
                self.content_type = (value or b"").decode(errors="replace")
            elif name == "type":
                self.type_name = (value or b"").decode(errors="replace")
            elif name == "traceparent" and value and len(value) <= MAX_TRACEPARENT_BYTES:
                self.traceparent = value
            elif name == UNREADABLE:
                self.unreadable = True
        self.given_id = bool(self.command_id)
        if not self.given_id:
            self.command_id = b"%d:%d" % (record.partition, record.offset)

    def expected_seq(self) -> int:
        """The seq at which the caller expects the entity, if ``expected`` is there at all.

        Raises `BadCommand`.
        """
        number = number_of(self.expected or b"")
        if number < 0:
            raise BadCommand(
                f"the header expected-seq is {(self.expected or b'')[:40]!r}, not a whole number",
                code="bad-header",
            )
        return number

    def identify(self) -> bytes:
        """The command id's hash; raises `BadCommand` for headers that cannot be a command's."""
        hashed = _written_by_uuid(self.command_id)
        if hashed is None or self.unreadable:
            self._check()
            hashed = hash_command_id(self.command_id)
        return hashed

    def _check(self) -> None:
        if self.unreadable:
            raise BadCommand("the name of a header is not UTF-8", code="bad-header")
        if self.command_id.isascii() and len(self.command_id) <= MAX_COMMAND_ID_BYTES:
            return
        if len(self.command_id) > MAX_COMMAND_ID_BYTES:
            size = len(self.command_id)
            self.command_id = self.command_id[:MAX_COMMAND_ID_BYTES]
            raise BadCommand(
                f"the command id takes {size} bytes; at most {MAX_COMMAND_ID_BYTES} are allowed",
                code="bad-header",
            )
        try:
            self.command_id.decode()
        except UnicodeDecodeError:
            raise BadCommand("the command id is not UTF-8", code="bad-header") from None


def hash_command_id(command_id: bytes) -> bytes:
    """16 bytes that stand for a command id in an entity's window of recent commands.

    Of a UUID's 32 digits, which clients give, the bytes that they write; of other ids a hash.
    """
    return _written_by_uuid(command_id) or blake2b(command_id, digest_size=16).digest()


def _written_by_uuid(command_id: bytes) -> bytes | None:
    if len(command_id) != 32:
        return None
    try:
        written = unhexlify(command_id)
    except ValueError:
        return None
    return written if hexlify(written) == command_id else None  # in capitals it is another id


def derived_command_id(sender: str, command_id: bytes, position: int) -> bytes:
    """The id of the ``position``-th command that a command sends: the same in every rerun.

    ``sender`` tells who runs it, a processor and a persist id: a command id names a command only
    together with these.  It has no control characters, so the first one ends it.
    """
    parent = b"%b\0%b#%d" % (sender.encode(), command_id, position)
    return blake2b(parent, digest_size=16).hexdigest().encode()


def number_of(value: bytes) -> int:
    """The whole number that a header holds as decimal digits; -1 for anything else."""
    return int(value) if value.isdigit() and len(value) <= 18 else -1
