"""Making a processor's snapshots anew, whether workers run or not."""

from __future__ import annotations

from kstate.client_upkeep import REBUILD_TIMEOUT_S
from kstate.config import Config
from kstate.core.topics import Topics
from kstate.errors import ProcessorAbsent
from kstate.log.port import Log
from kstate.query.processors import missing
from kstate.runtime.rebuilding import Watch, rebuild_alone
from kstate.wiring import AnyProcessor, build_workers, connect


def rebuild(
    config: Config,
    log: Log,
    processor: AnyProcessor,
    *,
    timeout_s: float = REBUILD_TIMEOUT_S,
    watch: Watch | None = None,
) -> int:
    """Makes the snapshots of a processor anew from its events; how many were written.

    While workers run, they do it (`Client.rebuild`), within ``timeout_s``.  Otherwise this process
    takes a seat in the group for it, for as long as it takes.  ``watch`` gets the partitions that
    are done, and how many there are, now and then.  An entity whose first events were removed keeps
    its snapshot.  Raises `ProcessorAbsent`; `RebuildTimeout`; `CommandFailed` from a worker, or
    `JournalError` from this process, when the journal cannot be folded; `LogError` when a worker
    comes in between.
    """
    topics = Topics.of(processor.name, config.prefix)
    if topics.commands not in log.topics([topics.commands]):
        raise ProcessorAbsent(missing(topics))
    if not log.owners(topics.group, topics.commands):
        (worker,) = build_workers(config, log, [processor])
        return rebuild_alone(worker, watch)
    with connect(
        config.log,
        prefix=config.prefix,
        kafka=config.kafka,
        schema_registry=config.registry,
    ) as client:
        return client.rebuild(processor, timeout=timeout_s, watch=watch)
