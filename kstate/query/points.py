"""Points in an entity's past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from kstate.errors import ConfigError
from kstate.query.events import StoredEvent

_FORMS = "seq:10, 2026-03-01T12:00:00Z, before:COMMAND-ID or after:COMMAND-ID"


@dataclass(frozen=True, slots=True)
class Point:
    """One of: after a seq, at a time, before or after a command's events."""

    seq: int | None = None
    time: datetime | None = None  # with an offset
    before: str | None = None  # a command id
    after: str | None = None  # a command id

    def __post_init__(self) -> None:
        given = [
            each for each in (self.seq, self.time, self.before, self.after) if each is not None
        ]
        if len(given) != 1:
            raise ConfigError("give one of a seq, a time, and a command to be before or after")
        if self.seq is not None and self.seq < 0:
            raise ConfigError(f"a seq is 0 or more, not {self.seq}")
        if self.time is not None and self.time.tzinfo is None:
            raise ConfigError(f"the time {self.time} needs an offset, like tzinfo=UTC")

    def __str__(self) -> str:
        if self.seq is not None:
            return f"seq {self.seq}"
        if self.time is not None:
            return self.time.isoformat()
        return f"before {self.before}" if self.before is not None else f"after {self.after}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """A point from text; raises `ConfigError`."""
        kind, _, rest = text.partition(":")
        if rest and kind in ("before", "after"):
            return cls(before=rest) if kind == "before" else cls(after=rest)
        if kind == "seq" and rest.isascii() and rest.isdigit():
            return cls(seq=int(rest))
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(f"{text!r} is no point in time: write {_FORMS}") from None
        return cls(time=time if time.tzinfo else time.replace(tzinfo=UTC))

    def up_to(self, persist_id: str, events: Iterator[StoredEvent]) -> Iterator[StoredEvent]:
        """The events of an entity up to this point.

        Raises `ConfigError` at its end when the entity has no event of the command.
        """
        command = self.before if self.before is not None else self.after
        met = False
        for match in events:
            if command is None:
                if self._passed(match.seq, match.record.timestamp):
                    return
            elif match.command_id == command:
                if self.before is not None:
                    return
                met = True
            elif met:
                return
            yield match
        if command is not None and not met:
            raise ConfigError(f"{persist_id!r} has no event of a command {command!r}")

    def _passed(self, seq: int, timestamp_ms: int) -> bool:
        if self.seq is not None:
            return seq > self.seq
        return self.time is not None and timestamp_ms > self.time.timestamp() * 1000


def point_of(at_seq: int | None, at: Point | datetime | None) -> Point:
    """The one that is given; raises `ConfigError` for both."""
    if isinstance(at, datetime):
        at = Point(time=at)
    if at is not None and at_seq is not None:
        raise ConfigError("give a seq or another point, not both")
    return at if at is not None else Point(seq=at_seq)
