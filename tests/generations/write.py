"""Writes what a generation leaves behind: ``python tests/generations/write.py 2024``.

Its commands run through a real worker on an embedded log, by a clock that shows times of its year.
What is on the log then, the states that its own folds make of it, and its schemas are kept beside
this file.  That was done once for each generation, with kstate 0.1.0: what is kept is never written
again.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import golden
from story import Happening, story

import kstate
from kstate import Client, Rejected
from kstate.cli.output import jsonable
from kstate.codec.avro import AvroCodec
from kstate.codec.schemas import freeze
from kstate.config import Config
from kstate.core.messages import Record
from kstate.core.topics import Topics
from kstate.log.port import Log
from kstate.processor import definition_of
from kstate.runtime.host import Host
from kstate.wiring import build_workers, open_log

COMMANDS = 190
YEARS = {"2024": 2024, "2025": 2025, "today": 2026}
TIMEOUT_S = 20.0
SUMS = "SHA256SUMS"


class Calendar:
    """The worker's clock: it goes on when it is told to."""

    def __init__(self, year: int) -> None:
        self.now = datetime(year, 1, 8, 9, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


def bank_of(generation: str) -> ModuleType:
    """The module of a generation's bank."""
    return importlib.import_module(f"bank_{generation}")


@contextmanager
def working(url: str, processor: Any, data: Path, clock: Calendar) -> Iterator[None]:
    """A worker, in a thread, until the block is left; raises what it failed with."""
    log = open_log(url)
    failures: list[BaseException] = []
    try:
        config = Config(log=url, data=data, partitions=golden.PARTITIONS)
        host = Host(build_workers(config, log, [processor], clock))

        def run() -> None:
            try:
                host.run()
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            host.stop()
            thread.join()
    finally:
        log.close()
    if failures:
        raise failures[0]


def live(generation: str, directory: Path) -> tuple[dict[str, list[Record]], dict[str, Any]]:
    """Lets a generation do its work; the records of its topics, and the states noted of them."""
    bank, clock = bank_of(generation), Calendar(YEARS[generation])
    url = f"sqlite:{directory}/log.db?sync=normal"
    log = open_log(url)
    try:
        with kstate.connect(url) as client, working(url, bank.Bank, directory / "data", clock):
            for number, each in enumerate(story(bank, COMMANDS, seed=YEARS[generation])):
                clock.now += each.after_s
                happen(client, bank.Bank, each, f"{generation}-{number}")
                settle(log)  # a transfer's other half, too, before the clock goes on
        records = exported(log)
        with kstate.connect(url) as client:
            return records, noted(client, bank.Bank)
    finally:
        log.close()


def happen(client: Client, processor: Any, each: Happening, command_id: str) -> None:
    """Calls; a no of the bank is as good as a yes."""
    try:
        client.call(
            processor, each.persist_id, each.command, command_id=command_id, timeout=TIMEOUT_S
        )
    except Rejected:
        return


def settle(log: Log) -> None:
    """Waits until every command was processed, those that others sent included."""
    topics = Topics.of("bank")
    deadline = time.monotonic() + TIMEOUT_S
    while not processed(log, topics):
        if time.monotonic() > deadline:
            raise TimeoutError("commands are left that nobody processed")
        time.sleep(0.002)


def processed(log: Log, topics: Topics) -> bool:
    """Whether no command is left."""
    progress = log.progress(topics.group, topics.commands)
    return all(
        not bounds.end or (partition in progress and progress[partition].offset >= bounds.end)
        for partition, bounds in log.ends(topics.commands).items()
    )


def exported(log: Log) -> dict[str, list[Record]]:
    """The records of the topics that are kept."""
    topics = Topics.of("bank")
    found = {name: list(_read(log, getattr(topics, name))) for name in golden.TOPICS}
    for name in ("commands", "journal"):
        golden.assert_without_holes(found[name])
    return found


def _read(log: Log, topic: str) -> Iterator[Record]:
    for partition, bounds in sorted(log.ends(topic).items()):
        reader = log.reader()
        try:
            reader.assign(topic, {partition: 0})
            reached = 0
            while reached < bounds.end:
                chunk = reader.poll(golden.CHUNK, golden.READ_S)
                yield from chunk.records
                reached = chunk.ends.get(partition, reached)
        finally:
            reader.close()


def noted(client: Client, processor: Any) -> dict[str, Any]:
    """The state of each account, by the generation's own folds."""
    return {
        persist_id: {"seq": seq, "state": jsonable(state)}
        for persist_id, seq, state in sorted(client.states(processor).final())
    }


def keep(generation: str) -> None:
    """Writes the files of a generation; raises `FileExistsError` when there are any."""
    files = golden.paths(generation)
    for path in files:
        if path.exists():
            raise FileExistsError(f"{path} is kept as it was written: it is not written again")
    with TemporaryDirectory() as directory:
        records, states = live(generation, Path(directory))
    lines = [golden.line_of(topic, each) for topic, kept in records.items() for each in kept]
    golden.DIRECTORY.mkdir(exist_ok=True)
    contents = "\n".join(lines), json.dumps(states, indent=1, ensure_ascii=False)
    with (golden.DIRECTORY / SUMS).open("a") as sums:
        for path, content in zip(files, contents, strict=True):
            with path.open("x", encoding="utf-8") as file:
                file.write(f"{content}\n")
            sums.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    freeze(AvroCodec(definition_of(bank_of(generation).Bank)), golden.SCHEMAS)


if __name__ == "__main__":
    keep(sys.argv[1])
