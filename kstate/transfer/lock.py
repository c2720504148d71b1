"""One export at a time writes into a directory."""

from __future__ import annotations

import fcntl
from pathlib import Path

from kstate.errors import ArchiveError
from kstate.transfer.manifest import writing

LOCK = "lock"


class ExportLock:
    """The right to write into an archive's directory, until `release` or the end of the process.

    A file, not the directory itself: some network file systems lock nothing else.
    """

    def __init__(self, directory: Path) -> None:
        """Raises `ArchiveError` when another export has it."""
        self._path = directory / LOCK
        with writing(self._path):
            self._file = self._path.open("ab")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise ArchiveError(
                    f"another export is at work in {directory}: wait until it has come to its end, "
                    "or give another directory"
                ) from None
            except BaseException:
                self._file.close()
                raise

    def remove(self) -> None:
        """Deletes the file, once the archive is complete: it takes no more exports."""
        self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Gives the right back; idempotent."""
        self._file.close()
