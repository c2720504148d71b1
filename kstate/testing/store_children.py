"""The store contract's other processes: one holds a store, one is killed, one has no room."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from kstate.errors import StoreError
from kstate.store.port import Checkpoint, Store

TOPIC = "bank.snapshots"

MakeStore = Callable[[Path], Store]
Job = Callable[[MakeStore, Path, Connection], None]


def checkpoint_at(offset: int) -> Checkpoint:
    """A checkpoint whose every field can be told from the others."""
    return Checkpoint(
        snapshots_offset=offset,
        low_water=offset + 1,
        processed=offset + 2,
        source=offset - 1,
        snapshot_version=3,
        topic="bank.snapshots#Zm9v",
        at=1_700_000_000_000 + offset,
    )


@contextmanager
def child(
    job: Job, make_store: MakeStore, directory: Path
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Runs a job in a new process, which is killed at the end unless it ended before.

    ``make_store`` is pickled: a method of a class, or a function, that can be imported by name.
    """
    # spawn: a forked child would share this process's locks.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=job, args=(make_store, directory, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def hold_open(make_store: MakeStore, directory: Path, pipe: Connection) -> None:
    """Opens the store and keeps it so until it is killed."""
    partition = make_store(directory).open(TOPIC, 0)
    pipe.send("open")
    pipe.recv()
    partition.close()


def numbered_snapshots(number: int) -> dict[bytes, bytes]:
    """All that a store must hold after change ``number`` of `apply_for_ever`."""
    value = b"%d" % number
    return {b"acct-%d" % n: value * 200 for n in range(100)} | {b"only-" + value: value}


def apply_for_ever(make_store: MakeStore, directory: Path, pipe: Connection) -> None:
    """Applies change after change, each touching all keys, and tells the number of each."""
    partition = make_store(directory).open(TOPIC, 0)
    checkpoint = partition.checkpoint()
    number = 0 if checkpoint is None else checkpoint.snapshots_offset
    while True:
        gone = dict.fromkeys((b"only-%d" % number,))
        number += 1
        partition.apply({**gone, **numbered_snapshots(number)}, checkpoint_at(number))
        pipe.send(number)


def run_out_of_room(make_store: MakeStore, directory: Path, pipe: Connection) -> None:
    """Lets a change grow the store's files beyond what the process may write."""
    partition = make_store(directory).open(TOPIC, 0)
    partition.apply({b"old": b"1"}, checkpoint_at(1))
    changes = {b"%d" % n: os.urandom(50_000) for n in range(100)} | {b"old": None}
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    error = "none"
    try:
        partition.apply(changes, checkpoint_at(2))
    except StoreError as raised:
        error = type(raised).__name__
    pipe.send((error, dict(partition.items()), partition.checkpoint()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    partition.close()
