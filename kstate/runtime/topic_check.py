"""What a processor's topics must be, what they should be, and where they are not.

*Wrong* is what would break the protocol: a worker refuses it.  *Weak* is what may lose records, or
costs too much: a worker warns of it and runs.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kstate.codec.port import SchemaRecord
from kstate.core.policy import RECORD_OVERHEAD_BYTES
from kstate.core.topics import Topics
from kstate.errors import LogError, LogUnavailable, TopicError
from kstate.log.port import Log, TopicInfo, TopicSpec
from kstate.runtime.schema_topic import SchemaTopic

DAY_MS = 86_400_000
COMMAND_RETENTION_MS = 7 * DAY_MS
REPLY_RETENTION_MS = 3_600_000
DEAD_LETTER_RETENTION_MS = 30 * DAY_MS
TOMBSTONE_AGE_MS = 7 * DAY_MS
REPLY_PARTITIONS = 4
LEAST_RECORD_BYTES = 4 * RECORD_OVERHEAD_BYTES
"""As little as `Policy` takes."""
EVEN_DIRTY_RATIO = 0.5
"""A topic whose records mostly replace others is compacted below it, one that only grows above."""


class Finding(NamedTuple):
    """Something about a topic; ``text`` goes on where its name ends."""

    verdict: Literal["wrong", "weak"]
    topic: str
    text: str


class Survey(NamedTuple):
    """A processor's topics as they are."""

    partitions: int  # of the processor
    there: Mapping[str, TopicInfo]
    missing: Sequence[TopicSpec]  # that may be created: one that is lost is a finding
    findings: Sequence[Finding]
    at_work: bool = False  # where some are missing: whether the processor was at work before


def topic_specs(topics: Topics, partitions: int) -> list[TopicSpec]:
    """The topics of a processor with ``partitions`` partitions, as they should be."""
    return [
        TopicSpec(
            topics.commands,
            partitions,
            "delete",
            retention_ms=COMMAND_RETENTION_MS,
            log_append_time=True,
        ),
        TopicSpec(topics.journal, partitions, "compact", delete_retention_ms=TOMBSTONE_AGE_MS),
        TopicSpec(
            topics.snapshots,
            partitions,
            "compact",
            delete_retention_ms=TOMBSTONE_AGE_MS,
            short=True,
        ),
        TopicSpec(topics.replies, REPLY_PARTITIONS, "delete", retention_ms=REPLY_RETENTION_MS),
        TopicSpec(
            topics.dead_letters,
            partitions,
            "compact,delete",
            retention_ms=DEAD_LETTER_RETENTION_MS,
            delete_retention_ms=TOMBSTONE_AGE_MS,
            short=True,
        ),
        TopicSpec(topics.schemas, 1, "compact"),
    ]


def survey(
    log: Log, topics: Topics, partitions: int | None, new: int, *, meta: bool = True
) -> Survey:
    """Looks at a processor's topics.

    ``partitions`` is what was asked for, None: whatever there is; ``new``: for a new processor.
    ``meta``: looks for the record that tells when the processor began, too.
    """
    names = [spec.name for spec in topic_specs(topics, 1)]
    there = log.topics(names)
    proof = None
    if there and len(there) < len(names):
        proof = _work(log, topics, there) or _beginning(log, topics, there)
        if proof:  # another worker may have been creating them just now
            there = log.topics(names)
    shared = (topics.commands, topics.journal, topics.snapshots, topics.dead_letters)
    known = next((there[name].partitions for name in shared if name in there), None)
    count = known or partitions or new
    specs = topic_specs(topics, count)
    findings: list[Finding] = []
    if partitions is not None and partitions != count:
        text = (
            f"has {count} partitions, not {partitions}: the count is fixed for the life of a "
            "processor; leave it out"
        )
        findings.append(Finding("wrong", next(name for name in shared if name in there), text))
    for spec in specs:
        info = there.get(spec.name)
        if info is not None:
            findings += (Finding("wrong", spec.name, text) for text in _wrong(spec, info, topics))
            findings += (Finding("weak", spec.name, text) for text in _weak(spec, info, topics))
            findings += narrow(info, log.max_record_bytes)
    findings += _undeliverable(there, topics)
    missing = [spec for spec in specs if spec.name not in there]
    if proof:
        lost = [spec.name for spec in missing if spec.name in _history(topics)]
        findings += (Finding("wrong", name, f"is missing, but {proof}: {CURE}") for name in lost)
        missing = [spec for spec in missing if spec.name not in lost]
    if meta and topics.schemas in there and not _beginning(log, topics, there):
        findings += without_meta(log, topics, there)
    return Survey(count, there, missing, findings, proof is not None)


# -- what a processor that was at work has left --------------------------------------------------


CURE = (
    "restore it, or let the processor begin anew: delete its other topics, too, or give it a new "
    "prefix"
)


def _history(topics: Topics) -> tuple[str, ...]:
    """The topics without which a processor that was at work is not what it was."""
    return topics.commands, topics.journal, topics.snapshots, topics.schemas


def _work(log: Log, topics: Topics, there: Container[str]) -> str | None:
    """What shows that the processor was at work, a clause; None where nothing does.

    Commands alone do not: they may be sent before the first worker starts.
    """
    for name in (topics.journal, topics.snapshots, topics.dead_letters):
        if name in there and _used(log, name):
            return f"{name} has had records"
    name = topics.commands
    if name not in there or not _used(log, name):
        return None  # of a new processor, mostly: to ask for its progress takes a second on Kafka
    try:
        return f"commands of {name} were processed" if log.progress(topics.group, name) else None
    except LogUnavailable:
        raise
    except LogError:  # who creates topics may not be allowed to look at the group
        return None


def _used(log: Log, topic: str) -> bool:
    """Whether there was ever a record."""
    return any(ends.end for ends in log.ends(topic).values())


def _beginning(log: Log, topics: Topics, there: Container[str]) -> str | None:
    """What the schemas topic shows, likewise."""
    if topics.schemas not in there:
        return None
    schemas = SchemaTopic(log, topics, _Unread())
    try:
        schemas.refresh()
    except TopicError:  # a record that makes no sense is one
        pass
    else:
        if schemas.meta is None:
            return None
    return f"{topics.schemas} tells when it began"


class _Unread:
    """A book for those who want to know nothing of schemas."""

    def learn(self, record: SchemaRecord) -> None:
        """See `SchemaBook`."""

    def unpublished(self) -> Sequence[SchemaRecord]:
        """See `SchemaBook`."""
        return ()


def without_meta(log: Log, topics: Topics, there: Container[str]) -> list[Finding]:
    """What is wrong with a schemas topic without a ``meta`` record; nothing for a new processor."""
    proof = _work(log, topics, there)
    if proof is None:
        return []
    return [Finding("wrong", topics.schemas, f"has no meta record, but {proof}: {CURE}")]


def created_anew(topics: Topics, found: Survey) -> list[str]:
    """A line for each topic whose loss leaves the processor what it is; nothing for a new one."""
    lost = {
        topics.replies: "callers that wait get no reply",
        topics.dead_letters: "the commands laid aside there are gone",
    }
    return [
        f"{spec.name} was missing and is created anew: {lost[spec.name]}"
        for spec in found.missing
        if found.at_work
    ]


# -- what a topic is -----------------------------------------------------------------------------


def _wrong(spec: TopicSpec, info: TopicInfo, topics: Topics) -> Iterable[str]:
    if info.cleanup != spec.cleanup:
        yield (
            f"has cleanup {info.cleanup}, it needs {spec.cleanup}: change its cleanup policy "
            "(cleanup.policy)"
        )
    if spec.name == topics.schemas and info.partitions != 1:
        yield f"has {info.partitions} partitions, it needs 1: create it anew"
    elif spec.name != topics.replies and info.partitions != spec.partitions:
        yield (
            f"has {info.partitions} partitions, others of {topics.group} have {spec.partitions}: "
            "they must be the same"
        )


def _weak(spec: TopicSpec, info: TopicInfo, topics: Topics) -> Iterable[str]:
    yield from info.weak
    if spec.log_append_time and not info.log_append_time:
        yield (
            "message.timestamp.type is CreateTime: a producer's clock decides when retention "
            "deletes a record; set it to LogAppendTime"
        )
    if "delete" in spec.cleanup and 0 <= info.retention_ms < spec.retention_ms:
        yield (
            f"retention.ms is {_time(info.retention_ms)}, not {_time(spec.retention_ms)}: "
            f"{_lost(spec.name, topics)}"
        )
    if "compact" in spec.cleanup and info.delete_retention_ms < spec.delete_retention_ms:
        yield (
            f"delete.retention.ms is {_time(info.delete_retention_ms)}, "
            f"not {_time(spec.delete_retention_ms)}: what reads more rarely misses deletions"
        )
    if spec.name == topics.journal and info.dirty_ratio < EVEN_DIRTY_RATIO:
        yield (
            f"min.cleanable.dirty.ratio is {info.dirty_ratio:g}, 0.8 is meant: the journal is "
            "copied again and again, though its keys never repeat"
        )
    if spec.short and info.dirty_ratio > EVEN_DIRTY_RATIO:
        yield (
            f"min.cleanable.dirty.ratio is {info.dirty_ratio:g}, 0.1 is meant: "
            f"{_kept_long(spec.name, topics)}"
        )


def _lost(name: str, topics: Topics) -> str:
    if name == topics.commands:
        return "commands that wait longer are lost"
    if name == topics.replies:
        return "callers may miss their replies"
    return "commands that failed are gone before somebody has looked"


def _kept_long(name: str, topics: Topics) -> str:
    if name == topics.dead_letters:
        return "those of an entity that was erased stay for long"
    return "a takeover reads snapshots that were replaced long ago"


def narrow(info: TopicInfo, limit: int) -> Iterable[Finding]:
    """A topic that takes smaller records than the log's client sends."""
    if info.max_record_bytes < LEAST_RECORD_BYTES:
        text = (
            f"takes records up to {info.max_record_bytes} bytes, it needs at least "
            f"{LEAST_RECORD_BYTES}: raise its max.message.bytes"
        )
        yield Finding("wrong", info.name, text)
    elif info.max_record_bytes < limit:
        text = (
            f"records up to {info.max_record_bytes} bytes are taken, up to {limit} are sent: "
            "commands with larger ones fail; raise max.message.bytes, or end the log's URL with "
            f"?max_record_bytes={info.max_record_bytes}"
        )
        yield Finding("weak", info.name, text)


def _undeliverable(there: Mapping[str, TopicInfo], topics: Topics) -> Iterable[Finding]:
    """Commands that come in and could not be laid aside."""
    commands, letters = there.get(topics.commands), there.get(topics.dead_letters)
    if commands and letters and letters.max_record_bytes < commands.max_record_bytes:
        text = (
            f"takes records up to {letters.max_record_bytes} bytes, {topics.commands} up to "
            f"{commands.max_record_bytes}: a larger command that fails would stop its partition; "
            "raise its max.message.bytes"
        )
        yield Finding("wrong", letters.name, text)


def refuse(findings: Iterable[Finding]) -> None:
    """Raises `TopicError` for what is wrong, all of it at once."""
    wrong = [f"{topic} {text}" for verdict, topic, text in findings if verdict == "wrong"]
    if wrong:
        raise TopicError("; ".join(wrong))


def weak_lines(findings: Iterable[Finding]) -> list[str]:
    """What is weak, a line each; topics with the same weakness share one."""
    shared: dict[str, list[str]] = {}
    for verdict, topic, text in findings:
        if verdict == "weak":
            shared.setdefault(text, []).append(topic)
    return [f"{', '.join(names)}: {text}" for text, names in shared.items()]


def since_it_began(
    topics: Topics, meta: Mapping[str, Any], today: Mapping[str, Any]
) -> list[Finding]:
    """What differs from the ``meta`` record that the processor's first worker wrote.

    The log's identity is compared where both are known: records of earlier versions have none.
    """
    home, here = meta.get("cluster"), today["cluster"]
    if home and here and home != here:
        text = (
            f"tells of a processor that began on the cluster {home}, and this is {here}: is the "
            "log's URL the right one? A processor moves by kstate export and kstate import"
        )
        return [Finding("wrong", topics.schemas, text)]
    found = []
    if meta.get("partitions") != today["partitions"]:
        text = (
            f"has {today['partitions']} partitions, but the processor began with "
            f"{meta.get('partitions')}: the count is fixed for its life; restore the topic, or "
            "give the processor a new prefix"
        )
        found.append(Finding("wrong", topics.commands, text))
    before = meta.get("topics", {})
    found += (
        Finding(
            "wrong",
            name,
            "was deleted and created anew since the processor began: restore it, or give the "
            "processor a new prefix",
        )
        for name, identity in today["topics"].items()
        if before.get(name) != identity
    )
    return found


def _time(milliseconds: int) -> str:
    """A span of time in the largest unit that leaves no rest."""
    for unit, size in (("day", DAY_MS), ("hour", 3_600_000), ("minute", 60_000)):
        count, rest = divmod(milliseconds, size)
        if count and not rest:
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{milliseconds} ms"
