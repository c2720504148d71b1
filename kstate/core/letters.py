"""Dead letters: what is in one beside the command as it came, and whose it is.

Its key is the place of the command, as its header `SOURCE` has it, so that a tombstone can remove
one letter; the command's own key is in the header `PERSIST_ID`, which one without a key has not.
A command that leaves no room for these, at the log's limit for a record, keeps its own key and
headers: of several such of one entity the log may keep the newest alone.  A record without a value
is no letter but a tombstone; a command without one has an empty one here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from kstate.core.messages import Headers, Record

SOURCE = "source"
PERSIST_ID = "persist-id"
DEAD_LETTER_HEADERS = frozenset(("error-type", "error", SOURCE, PERSIST_ID))
"""Headers that a dead letter has beside those of the command."""

Letters = Callable[[bytes], Collection[bytes]]
"""The keys of the dead letters of a persist id that are committed; raises `LogUnavailable`."""


def failed_key(key: bytes | None, headers: Headers) -> bytes | None:
    """The key of the command that failed, from the key and the headers of its dead letter."""
    own = dict(headers)
    return own.get(PERSIST_ID) if SOURCE in own else key or None


def concerns(persist_id: bytes) -> Callable[[Headers], bool]:
    """Which headers may be those of a dead letter of a persist id, or of a tombstone."""

    def chosen(headers: Headers) -> bool:
        own = dict(headers)
        return SOURCE not in own or own.get(PERSIST_ID) == persist_id

    return chosen


def living(records: Iterable[Record]) -> list[Record]:
    """The dead letters among records of that topic: those without a tombstone behind them."""
    found: dict[tuple[int, bytes | None], list[Record]] = {}
    for record in records:
        place = record.partition, record.key
        if record.value is None:
            found.pop(place, None)
        else:
            found.setdefault(place, []).append(record)
    return [record for letters in found.values() for record in letters]
