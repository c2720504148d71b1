"""Every limit and threshold of the core, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from kstate.errors import ConfigError

RECORD_OVERHEAD_BYTES = 4096
"""Room kept in each record for its key and headers, which are bounded one by one."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to snapshot, evict and refuse.  Counts unless a name says otherwise."""

    max_entities: int = 50_000  # in memory, per partition
    max_entity_bytes: int = 256 * 1024 * 1024  # encoded, in memory, per partition
    max_tail: int = 50_000  # journal offsets between the low-water mark and the end
    max_events: int = 10_000  # of one command, reactions included
    max_record_bytes: int = 1_048_576
    window_ms: int = 600_000  # how long a command id is remembered
    window_ids: int = 64  # how many command ids an entity remembers
    kept_reply_bytes: int = 512  # a larger reply is not kept for duplicates
    max_tombstones: int = 1_000  # that a batch writes for events which are to be removed

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_record_bytes < 4 * RECORD_OVERHEAD_BYTES:
            raise ConfigError(
                f"max_record_bytes must be at least {4 * RECORD_OVERHEAD_BYTES}, "
                f"not {self.max_record_bytes}"
            )

    @property
    def max_value_bytes(self) -> int:
        """The largest value of a record that kstate writes."""
        return self.max_record_bytes - RECORD_OVERHEAD_BYTES
