"""A worker's place on this machine: a directory, held by a lock, and a name that stays.

The first worker of a processor takes slot 0, a second one beside it slot 1, and so on; the lock
dies with its process, so a restarted worker gets its slot, its name and its local store back.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from kstate.errors import ConfigError

MAX_SLOTS = 1000


class Slot:
    """A directory that no other worker uses while this one lives."""

    def __init__(self, directory: Path, instance: str, lock: int) -> None:
        self.directory = directory
        self.instance = instance
        self._lock: int | None = lock

    @classmethod
    def take(cls, data: Path, group: str) -> Slot:
        """The first free slot of ``group`` below the data directory."""
        base = data / group
        try:
            base.mkdir(parents=True, exist_ok=True)
            name = _name(base / "instance")
            for number in range(MAX_SLOTS):
                directory = base / str(number)
                directory.mkdir(exist_ok=True)
                lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                return cls(directory, f"{group}-{name}-{number}", lock)
        except OSError as error:
            raise ConfigError(
                f"the data directory {data} cannot be used ({error.strerror}): name another one "
                "with --data"
            ) from error
        raise ConfigError(f"{MAX_SLOTS} workers of {group} use {data} already")

    def release(self) -> None:
        """Gives the slot free; idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _name(path: Path) -> str:
    """The name kept in the data directory; made, once and for all, by the first to come."""
    name = uuid.uuid4().hex[:12]
    fresh = path.with_suffix(f".{name}")
    fresh.write_text(name)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # the first writer has won
    finally:
        fresh.unlink()
    return path.read_text()
