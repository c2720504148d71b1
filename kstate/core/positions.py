"""How far a query of a journal has come, as text: what resumes it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from kstate.errors import ConfigError

_SOURCE = re.compile(r"(\d{1,9}):(-1|\d{1,18})", re.ASCII)


class Skip(NamedTuple):
    """Of the events made of one record, how many were had already."""

    offset: int
    parts: int


def format_position(
    positions: Mapping[int, int], skip: Skip | None = None, partition: int = -1
) -> str:
    """Offsets per partition as text: ``0:17,1:4``.

    ``0:16.2`` is behind the second of the events that adapters make of the record at 16; ``skip``
    says so of one partition.
    """
    texts = {each: str(offset) for each, offset in positions.items()}
    if skip is not None:
        texts[partition] = f"{skip.offset}.{skip.parts}"
    return ",".join(f"{each}:{text}" for each, text in texts.items())


def parse_position(text: str, partitions: int) -> tuple[dict[int, int], dict[int, Skip]]:
    """The inverse of `format_position`: offsets, and what to skip; raises `ConfigError`."""
    positions: dict[int, int] = {}
    skips: dict[int, Skip] = {}
    try:
        for pair in text.split(","):
            partition, offset = pair.split(":")
            whole, _, parts = offset.partition(".")
            positions[int(partition)] = int(whole)
            if parts:
                skips[int(partition)] = Skip(int(whole), int(parts))
    except ValueError:
        raise ConfigError(f"{text!r} is no position: it looks like 0:17,1:4") from None
    negative = any(o < 0 for o in positions.values()) or any(s.parts < 1 for s in skips.values())
    if negative or any(p not in range(partitions) for p in positions):
        raise ConfigError(
            f"the position {text!r} is not of this journal of {partitions} partitions"
        )
    return positions, skips


def parse_source(text: str, partitions: int | None = None) -> tuple[int, int]:
    """The position a command was answered with, ``3:117``: partition, and offset of the command
    that wrote the newest event there, -1 before the first; raises `ConfigError`."""
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no position of an answer: it looks like 3:117")
    partition, offset = map(int, found.groups())
    if partitions is not None and partition >= partitions:
        raise ConfigError(
            f"the position {text!r} is not of this journal of {partitions} partitions"
        )
    return partition, offset
