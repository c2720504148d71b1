"""Which seqs of a persist id are there, which are missing, and what may be missing.

Events are removed from the oldest on: by tombstones, and after a while the tombstones are gone,
too.  What is missing at the beginning is therefore no damage while a snapshot stands for it; what
is missing behind an event that is there always is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Missing(NamedTuple):
    """Seqs that are not there, both ends included."""

    first: int
    last: int
    offset: int  # of the event behind them or, where they were removed, of a tombstone
    removed: bool  # tombstones say so, of some of them at least


class Seqs:
    """What is known of one persist id in a partition."""

    __slots__ = ("covered", "entity", "last", "misplaced", "offset")

    def __init__(self, covered: int) -> None:
        self.last = 0  # the largest seq so far
        self.offset = -1  # of the event with it
        self.covered = covered  # seq of the newest snapshot; 0: there is none
        self.misplaced = False  # the persist id belongs to another partition
        self.entity: Any = None  # the fold so far, where the code is given


class Holes:
    """The seqs of one persist id that were passed by, until they come after all."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[Missing] = []

    def open(self, first: int, last: int, offset: int) -> None:
        """The event at ``offset`` comes without those before it."""
        self._spans.append(Missing(first, last, offset, False))

    def fill(self, seq: int) -> bool:
        """An event that was passed by comes late; False when it was not passed by."""
        for place, span in enumerate(self._spans):
            if span.first <= seq <= span.last:
                left = (span._replace(last=seq - 1), span._replace(first=seq + 1))
                self._spans[place : place + 1] = [each for each in left if each.first <= each.last]
                return True
        return False

    def spans(self) -> Sequence[Missing]:
        """What is still missing."""
        return self._spans


class Tombstones:
    """The seqs of one persist id that have tombstones."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[Missing] = []

    def add(self, seq: int, offset: int) -> None:
        """Notes one; they come in rising order most of the time, and then take one span."""
        if self._spans:
            newest = self._spans[-1]
            if newest.first <= seq <= newest.last + 1:
                if seq > newest.last:
                    self._spans[-1] = newest._replace(last=seq)
                return
        self._spans.append(Missing(seq, seq, offset, True))

    def __contains__(self, seq: int) -> bool:
        return any(span.first <= seq <= span.last for span in self._spans)

    def last(self) -> int:
        """The largest seq with a tombstone."""
        return max(span.last for span in self._spans)

    def spans(self) -> Sequence[Missing]:
        """What was removed."""
        return self._spans


def merged(spans: Sequence[Missing]) -> list[Missing]:
    """The same seqs in rising order, none of them twice, with no two spans side by side."""
    found: list[Missing] = []
    for span in sorted(spans):
        if found and span.first <= found[-1].last + 1:
            before = found[-1]
            at = before.offset if before.removed or not span.removed else span.offset
            last, removed = max(before.last, span.last), before.removed or span.removed
            found[-1] = Missing(before.first, last, at, removed)
        else:
            found.append(span)
    return found


def shown(first: int, last: int) -> str:
    """Seqs as a sentence's subject: ``the event 3 is`` or ``the events 3 to 5 are``."""
    return f"the event {first} is" if first == last else f"the events {first} to {last} are"
