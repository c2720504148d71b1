"""What the stores on disk share: file names, locks, options, and the bytes of a checkpoint."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import string
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from kstate.errors import ConfigError, StoreCorrupt, StoreError
from kstate.store.port import Checkpoint

FORMAT = 1
"""The version of what is inside a store; a store of a higher one is refused, not guessed at."""

_CRC_BYTES = 4
_LONGEST_NAME = 150  # file systems take 255 bytes; an ending and the partition follow
# Upper case is not among them: on a file system that ignores case, "Bank" would be "bank".
_PLAIN = frozenset((string.ascii_lowercase + string.digits + "._-").encode())


def partition_name(topic: str, partition: int) -> str:
    """A file name, without its ending, that belongs to this partition alone.

    Whatever the topic is called, the result is one harmless path component; ordinary topics keep
    their name.
    """
    name = "".join(
        chr(byte) if byte in _PLAIN else f"%{byte:02x}"
        for byte in topic.encode("utf-8", "surrogatepass")
    )
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()
        name = f"{name[:80]}~{digest}"
    return f"{name}-{partition}"


def refuse_unknown_options(
    store: str, options: Mapping[str, str], known: tuple[str, ...] = ()
) -> None:
    """Raises `ConfigError` naming the options that the store does not have, and those it has."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        raise ConfigError(
            f"the store {store!r} has no option {names}; "
            f"its options are: {', '.join(known) or 'none'}"
        )


def make_directory(directory: Path) -> None:
    """Creates the directory of a store unless it is there; raises `StoreError`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the snapshot store needs the directory {directory}, which cannot be made: {error}; "
            "name another data directory"
        ) from error


def remove(path: Path) -> None:
    """Deletes a file or a whole directory, if there is one; raises `StoreError`."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise undeletable(path, error) from error


class PartitionLock:
    """The right to use one partition's files, until `release` or the end of the process.

    An flock belongs to the open file, so it also keeps a second holder in this process out, and
    the kernel drops it with the process however that ends.  The lock file itself stays: deleting
    it would let two holders lock two files of one name.
    """

    def __init__(self, store: Path) -> None:
        """Locks what is at the path of a store; raises `StoreError` when someone holds the lock."""
        path = store.with_name(store.name + ".lock")
        try:
            file = path.open("ab")
        except OSError as error:
            raise StoreError(
                f"the snapshot store cannot open its lock file {path}: {error}"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise StoreError(
                f"the snapshot store of {path} is in use; stop the worker that has it open, "
                "or give this one a data directory of its own"
            ) from None
        except OSError as error:
            file.close()
            raise StoreError(
                f"the file system cannot lock {path}: {error}; "
                "put the data directory on a local disk"
            ) from error
        self._file: BinaryIO = file

    def release(self) -> None:
        """Gives the lock back; idempotent."""
        self._file.close()

    def __enter__(self) -> PartitionLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def check_format(path: Path, version: int) -> None:
    """Raises `StoreError` for a store of a later format, `StoreCorrupt` for an impossible one."""
    if version > FORMAT:
        raise StoreError(
            f"the snapshot store {path} was written by a newer kstate (format {version}, this one "
            f"reads {FORMAT}); use that version, or delete the store: it is rebuilt from the log"
        )
    if version != FORMAT:
        raise corrupt(path, f"it claims the impossible format {version}")


def stored_checkpoint(path: Path, stored: bytes | None, has_snapshots: bool) -> Checkpoint | None:
    """The checkpoint that a store opens with, None for an empty one; raises `StoreCorrupt`."""
    if stored is None:
        if has_snapshots:
            raise corrupt(path, "it has snapshots but no checkpoint")
        return None
    try:
        return decode_checkpoint(stored)
    except ValueError as error:
        raise corrupt(path, f"of the checkpoint, {error}") from error


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as checksummed bytes."""
    return seal(json.dumps(checkpoint._asdict()).encode())


def decode_checkpoint(data: bytes) -> Checkpoint:
    """The inverse of `encode_checkpoint`; raises `ValueError` for any other bytes."""
    body = unseal(data)
    fields = json.loads(body)
    if not isinstance(fields, dict) or set(fields) != set(Checkpoint._fields):
        raise ValueError("the checkpoint has other fields")
    wrong = [name for name, value in fields.items() if type(value) is not _TYPES[name]]
    if wrong:
        raise ValueError(f"the checkpoint has fields of another type: {', '.join(wrong)}")
    return Checkpoint(**fields)


_TYPES = {name: str if name == "topic" else int for name in Checkpoint._fields}


def seal(value: bytes, key: bytes = b"") -> bytes:
    """The bytes with a checksum before them, which covers the key they are stored under too."""
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(_CRC_BYTES, "big") + value


def unseal(stored: object, key: bytes = b"") -> bytes:
    """What `seal` was given; raises `ValueError` when it, or the key, is another by now."""
    if not isinstance(stored, bytes) or len(stored) < _CRC_BYTES:
        raise ValueError("it is no sealed value")
    value = stored[_CRC_BYTES:]
    if zlib.crc32(value, zlib.crc32(key)) != int.from_bytes(stored[:_CRC_BYTES], "big"):
        raise ValueError("its checksum is wrong")
    return value


def corrupt(path: Path, reason: object) -> StoreCorrupt:
    """The error for a damaged store, in words that are the same for every adapter."""
    return StoreCorrupt(
        f"the snapshot store {path} is damaged ({reason}); delete it: it is rebuilt from the log"
    )


def disk_full(path: Path, reason: object) -> StoreError:
    """The error for a write that found no room."""
    return StoreError(
        f"there is no room to write the snapshot store {path} ({reason}); free some disk space"
    )


def unusable(path: Path, reason: object) -> StoreError:
    """The error for everything else that a disk or a library refuses."""
    return StoreError(
        f"the snapshot store {path} cannot be used ({reason}); "
        "check the disk's health, its quota and the permissions"
    )


def undeletable(path: Path, reason: object) -> StoreError:
    """The error for a store that stays where it is."""
    return StoreError(f"the snapshot store {path} cannot be deleted: {reason}")


def closed(path: object) -> StoreError:
    """The error for a call after `close`."""
    return StoreError(f"the snapshot store {path} is closed")
