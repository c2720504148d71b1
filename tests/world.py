"""What an end-to-end test needs: a log, workers that can be stopped, spoilt and started anew, a
client, and a look at every topic.  Nothing here knows which log it is."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from faults import Clock, Faults, FaultyLog, Killed

import kstate
from kstate import Client, Command, Processor
from kstate.config import Config
from kstate.core.batch import Counts
from kstate.core.messages import Headers, Record, Write
from kstate.core.policy import Policy
from kstate.core.topics import CHECKPOINT_KEY, Topics
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Log
from kstate.processor import name_of
from kstate.runtime.host import Host
from kstate.runtime.startup import prepare_topics
from kstate.runtime.worker import Worker
from kstate.testing.broker import administrator
from kstate.testing.kafka_cleaner import compact
from kstate.testing.log_world import World as LogWorld
from kstate.wiring import build_workers, open_log

PATIENCE_S = 20.0
"""How long something that must happen may take; none of it is ever waited for in full."""

ASKING_S = 0.05
"""The longest pause between two looks that ask the log: a broker has others to serve."""

AnyProcessor = type[Processor[Any]]


def _embedded(request: pytest.FixtureRequest, directory: Path) -> str:
    return f"sqlite:{directory}/log.db?sync=normal"


def _kafka(request: pytest.FixtureRequest, directory: Path) -> str:
    return f"kafka://{request.getfixturevalue('bootstrap')}"


LOGS: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "embedded": _embedded,
    "kafka": _kafka,
}
"""Each log the tests run on: how to get the URL of one."""


class Run:
    """Workers of some processors, in threads, until they are stopped or fail."""

    def __init__(self, log: Log, workers: list[Worker]) -> None:
        self.workers = {worker.name: worker for worker in workers}
        self.failure: BaseException | None = None
        self._log = log
        self._host = Host(workers)
        self._thread = threading.Thread(target=self._run, name="workers")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._host.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test by `stop`
            self.failure = error

    def ended(self) -> bool:
        """Whether the workers have left."""
        return not self._thread.is_alive()

    def stop(self) -> BaseException | None:
        """Stops the workers; what they failed with, if they did."""
        self._host.stop()
        self._thread.join()
        self._log.close()
        return self.failure


class World:
    """One test's log and everybody around it."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.prefix = f"t{uuid.uuid4().hex[:8]}-"
        self.data = directory / "data"
        self.clock = Clock()
        self.faults = Faults()
        self._logs = LogWorld(lambda: open_log(url), PATIENCE_S)
        self._client: Client | None = None
        self._run: Run | None = None
        self._recipe: tuple[tuple[AnyProcessor, ...], dict[str, Any]] = ((), {})

    def limited(self, max_record_bytes: int) -> str:
        """The URL of the same log for workers that write smaller records only."""
        mark = "&" if "?" in self.url else "?"
        return f"{self.url}{mark}max_record_bytes={max_record_bytes}"

    # -- workers -----------------------------------------------------------------------------

    def prepare(self, *processors: AnyProcessor, partitions: int = 2) -> None:
        """Makes the topics of processors, whose workers `restart` starts: what comes until then is
        one batch."""
        for each in processors:
            prepare_topics(self._logs.log, self.topics(each), partitions, partitions)
        self._recipe = processors, {"partitions": partitions}

    def run(
        self,
        *processors: AnyProcessor,
        subscriber: Callable[[Any], object] | None = None,
        url: str | None = None,
        **settings: Any,
    ) -> None:
        """Starts workers; settings are those of `Config` and `Policy`."""
        assert self._run is None, "workers are running"
        self._recipe = processors, {**settings, "subscriber": subscriber, "url": url}
        policy = {name: settings.pop(name) for name in list(settings) if name in _POLICY}
        settings.setdefault("partitions", 2)
        config = Config(
            log=self.url, prefix=self.prefix, data=self.data, policy=Policy(**policy), **settings
        )
        log: Any = FaultyLog(open_log(url or self.url), self.faults)
        try:
            workers = build_workers(config, log, processors, self.clock)
        except BaseException:
            log.close()
            raise
        if subscriber is not None:
            workers[0].subscribe(subscriber)
        self._run = Run(log, workers)

    def stop(self) -> None:
        """Stops the workers, which must not have failed."""
        run, self._run = self._run, None
        failure = run.stop() if run is not None else None
        if failure is not None:
            raise failure

    def restart(
        self, *processors: AnyProcessor, without_store: bool = False, **settings: Any
    ) -> None:
        """Stops the workers and starts them again, or those of other code; without their local
        stores if so wished."""
        self.stop()
        if without_store:
            self.forget_stores()
        before, recipe = self._recipe
        self.run(*(processors or before), **{**recipe, **settings})

    def forget_stores(self) -> None:
        """Deletes the local stores of all workers."""
        for store in self.data.glob("*/*/store"):
            shutil.rmtree(store)

    def failure(self) -> BaseException:
        """What the workers stopped with; waits for it."""
        run = self._run
        assert run is not None
        self.until(run.ended, "the workers stopped")
        self._run = None
        failure = run.stop()
        assert failure is not None, "the workers stopped without a failure"
        return failure

    def killed(self) -> None:
        """Waits until the workers were killed."""
        assert isinstance(self.failure(), Killed)

    def counts(self, processor: AnyProcessor) -> Counts:
        """What the running worker of a processor has done, at the end of the turn of its loop: a
        reply is out before its command is counted."""
        worker = self.worker(processor)
        beats = worker.beats
        self.until(lambda: worker.beats > beats, "the worker's loop turned")
        return worker.counts

    def worker(self, processor: AnyProcessor) -> Worker:
        """The running worker of a processor."""
        assert self._run is not None
        return self._run.workers[processor.name]

    def until(
        self,
        condition: Callable[[], bool],
        what: str,
        patience_s: float = PATIENCE_S,
        longest_pause_s: float = 0.002,
    ) -> None:
        """Waits until the condition holds; the pauses between looks double up to the longest."""
        deadline = time.monotonic() + patience_s
        pause_s = 0.002
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what}"
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_pause_s)

    def settled(self, processor: AnyProcessor) -> None:
        """Waits until every command on the processor's topic was processed."""
        topics = self.topics(processor)
        last: dict[int, int] = {}  # the newest command of each partition, as far as was looked

        def processed() -> bool:
            progress = self._logs.log.progress(topics.group, topics.commands)
            return all(
                partition in progress and offset < progress[partition].offset
                for partition, offset in last.items()
            )

        def done() -> bool:
            if self._run is not None and self._run.ended():
                self.stop()  # raises what they failed with
            if last and not processed():
                return False
            last.update((each.partition, each.offset) for each in self.read(topics.commands))
            return processed()

        self.until(done, "all commands were processed", longest_pause_s=ASKING_S)

    # -- the client --------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """A client."""
        if self._client is None:
            self._client = kstate.connect(self.url, prefix=self.prefix)
        return self._client

    def call(self, processor: Any, persist_id: str, command: Command[Any], **options: Any) -> Any:
        """Calls, with patience."""
        return self.client.call(
            processor, persist_id, command, **{"timeout": PATIENCE_S, **options}
        )

    def cast(self, processor: Any, persist_id: str, command: Command[Any], **options: Any) -> str:
        """Casts, and waits until the command is stored."""
        command_id = self.client.cast(processor, persist_id, command, **options)
        self.client.flush()
        return command_id

    def state(self, processor: Any, persist_id: str) -> Any:
        """The state now, as its owner tells it."""
        return self.client.state(processor, persist_id, timeout=PATIENCE_S)

    def events(self, processor: Any, persist_id: str) -> list[tuple[int, Any]]:
        """The events of one persist id, each with its seq."""
        return [(e.seq, e.event) for e in self.client.events.by_id(processor, persist_id)]

    # -- records -----------------------------------------------------------------------------

    def topics(self, processor: AnyProcessor | str) -> Topics:
        """The names of a processor's topics."""
        return Topics.of(name_of(processor), self.prefix)

    def read(self, topic: str) -> list[Record]:
        """Every committed record of a topic, in the order of partition and offset."""
        return self._logs.read(topic)

    def journal(self, processor: AnyProcessor) -> list[Record]:
        return self.read(self.topics(processor).journal)

    def clean(self, *topics: str) -> None:
        """Has the log's cleaner pass over all that these topics hold."""
        log = self._logs.log
        for topic in topics:
            if isinstance(log, EmbeddedLog):
                log.compact(topic)
            else:
                compact(log, urlsplit(self.url).netloc, topic, PATIENCE_S)

    def snapshots(self, processor: AnyProcessor) -> list[Record]:
        kept = self.read(self.topics(processor).snapshots)
        return [record for record in kept if record.key != CHECKPOINT_KEY]

    def checkpoints(self, processor: AnyProcessor) -> list[Record]:
        kept = self.read(self.topics(processor).snapshots)
        return [record for record in kept if record.key == CHECKPOINT_KEY]

    def replies(self, processor: AnyProcessor) -> list[Record]:
        return self.read(self.topics(processor).replies)

    def dead_letters(self, processor: AnyProcessor) -> list[Record]:
        return self.read(self.topics(processor).dead_letters)

    def snapshot(self, processor: AnyProcessor, persist_id: str) -> Any:
        """The newest snapshot of a persist id, decoded; None without one."""
        key = persist_id.encode()
        found = [r.value for r in self.snapshots(processor) if r.key == key]
        codec: Any = self.client.messages(processor)
        return codec.decode_snapshot(found[-1]) if found else None

    def encoded(self, processor: AnyProcessor, command: Command[Any]) -> bytes:
        """A command as it stands on the topic."""
        return self.client.messages(processor).encode_command(processor.name, command)

    def produce(
        self,
        processor: AnyProcessor | str,
        value: bytes | None,
        *,
        key: bytes | None = b"a",
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp: int | None = None,
        topic: str = "",
        url: str | None = None,
    ) -> None:
        """Writes a record as it is, by default to the processor's commands."""
        topic = topic or self.topics(processor).commands
        stamp = int(time.time() * 1000) if timestamp is None else timestamp
        record = Write(topic, partition, key, value, list(headers), stamp)
        if url is None:
            self._logs.produce([record])
            return
        log = open_log(url)
        producer = log.producer()
        try:
            producer.send(record)
            producer.flush(PATIENCE_S)
        finally:
            producer.close()
            log.close()

    def ask(
        self,
        processor: AnyProcessor,
        value: bytes | None,
        *,
        headers: Iterable[tuple[str, bytes]] = (),
        reply_partition: bytes = b"0",
        **record: Any,
    ) -> Record:
        """Writes a record as it is with a reply-to, and waits for the reply."""
        command_id = uuid.uuid4().hex.encode()
        asking: Headers = [
            ("command-id", command_id),
            ("reply-to", self.topics(processor).replies.encode()),
            ("reply-partition", reply_partition),
        ]
        self.produce(processor, value, headers=[*asking, *headers], **record)
        return self.reply_to(processor, command_id)

    def reply_to(self, processor: AnyProcessor, command_id: bytes) -> Record:
        """Waits for the reply to a command."""
        found: list[Record] = []

        def replied() -> bool:
            found.extend(r for r in self.replies(processor) if r.key == command_id)
            return bool(found)

        self.until(replied, "a reply came", longest_pause_s=ASKING_S)
        return found[0]

    def close(self) -> None:
        """Ends everything; a worker that failed unnoticed fails the test."""
        try:
            if self._client is not None:
                self._client.close()
        finally:
            try:
                self.stop()
            finally:
                self._logs.close()
                if self.url.startswith("kafka:"):
                    self._tidy()

    def _tidy(self) -> None:
        """Deletes this test's topics: a broker is slow with the thousands of a whole run."""
        admin = administrator(urlsplit(self.url).netloc)
        there = [name for name in admin.list_topics().topics if name.startswith(self.prefix)]
        if there:
            for deleted in admin.delete_topics(there).values():
                deleted.result(PATIENCE_S)


def header(record: Record, name: str) -> str:
    """A header's value; of a repeated name the last."""
    return dict(record.headers)[name].decode()


_POLICY = set(Policy.__slots__)
