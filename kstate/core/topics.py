"""The names of a processor's topics and of what stands in them."""

from __future__ import annotations

import re
from typing import NamedTuple

from kstate.errors import BadPersistId, ConfigError

MAX_PERSIST_ID_BYTES = 512
CHECKPOINT_KEY = b"\0checkpoint"
"""The key of the one record in each partition of the snapshots that is no snapshot: no persist id
has control characters."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class Topics(NamedTuple):
    """The topics of one processor."""

    commands: str
    journal: str
    snapshots: str
    replies: str
    dead_letters: str
    schemas: str
    group: str  # the consumer group: one per processor, never configurable

    @classmethod
    def of(cls, name: str, prefix: str = "") -> Topics:
        """The topics of processor ``name`` on a cluster shared under ``prefix``."""
        check_name(name)
        if not _PREFIX.fullmatch(prefix):
            raise ConfigError(
                f"the prefix {prefix!r} cannot be part of a topic name: "
                "use up to 100 letters, digits, '.', '_' and '-'"
            )
        base = prefix + name
        return cls(
            f"{base}.commands",
            f"{base}.journal",
            f"{base}.snapshots",
            f"{base}.replies",
            f"{base}.dead-letters",
            f"{base}.schemas",
            base,
        )


def check_name(name: str) -> None:
    """Raises `ConfigError` when ``name`` cannot be a processor's name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a processor: use a letter, then up to 99 letters, "
            "digits, '-' and '_'"
        )
    if name == "kstate":
        raise ConfigError("'kstate' cannot be the name of a processor: it is reserved")


def decode_persist_id(key: bytes | None) -> str:
    """The persist id in a record key: any non-empty UTF-8 text up to 512 bytes without control
    characters; raises `BadPersistId`."""
    if not key:
        raise BadPersistId("the record has no key; the key is the persist id")
    if len(key) > MAX_PERSIST_ID_BYTES:
        raise BadPersistId(
            f"the persist id takes {len(key)} bytes; at most {MAX_PERSIST_ID_BYTES} are allowed"
        )
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise BadPersistId(f"the persist id is not UTF-8 at byte {error.start}") from None
    if _CONTROL.search(text):
        raise BadPersistId(f"the persist id {text!r} has control characters")
    return text


def encode_persist_id(persist_id: str) -> bytes:
    """The record key of a persist id; raises `BadPersistId`."""
    try:
        key = persist_id.encode()
    except UnicodeEncodeError as error:
        raise BadPersistId(f"the persist id {persist_id!r} is no UTF-8 text: {error}") from None
    decode_persist_id(key)
    return key


def event_key(key: bytes, seq: int) -> bytes:
    """The journal key of an event: unique, so that compaction keeps every event."""
    return b"%b@%d" % (key, seq)


def parse_event_key(event_key: bytes | None) -> tuple[bytes, int] | None:
    """The inverse of `event_key`, from the right (a persist id may hold ``@``); None for others."""
    if event_key is None:
        return None
    key, at, digits = event_key.rpartition(b"@")
    if not at or not key or not digits.isdigit() or digits.startswith(b"0"):
        return None
    return key, int(digits)
