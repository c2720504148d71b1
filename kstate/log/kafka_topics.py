"""What a topic's settings are called in Kafka, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kstate.log.port import TopicInfo, TopicSpec

FRAMING_BYTES = 588
"""Room for the framing of a record batch below the broker's limit."""
SHORT_SEGMENT_BYTES = 16 * 2**20
SHORT_SEGMENT_MS = 3_600_000
REPLICAS = 3
"""As many copies as are needed to lose one while another is away."""
IN_SYNC = 2
CAPPED_IN = "Kafka 3.7"
"""From there on a broker takes no more acknowledgements for needed than there are replicas."""

INTERNAL = ("__consumer_offsets", "__transaction_state")
"""Where Kafka keeps the progress of groups and the outcome of transactions."""


def settings_of(spec: TopicSpec) -> dict[str, str]:
    """The topic configuration that a specification means."""
    settings: dict[str, str] = {
        "cleanup.policy": spec.cleanup,
        "unclean.leader.election.enable": "false",
    }
    if "delete" in spec.cleanup:
        settings["retention.ms"] = str(spec.retention_ms)
        settings["retention.bytes"] = "-1"  # by age alone, whatever the cluster's default
    if "compact" in spec.cleanup:
        settings["delete.retention.ms"] = str(spec.delete_retention_ms)
        # keys of a journal never repeat: the cleaner is to come when tombstones gave it work
        settings["min.cleanable.dirty.ratio"] = "0.1" if spec.short else "0.8"
    if spec.short:
        settings["segment.bytes"] = str(SHORT_SEGMENT_BYTES)
        settings["segment.ms"] = str(SHORT_SEGMENT_MS)
    if spec.log_append_time:
        settings["message.timestamp.type"] = "LogAppendTime"
    else:
        # a worker whose clock is ahead must not fail with each record
        settings["message.timestamp.after.max.ms"] = str(2**63 - 1)
    return settings


def info_of(name: str, description: Any, config: Mapping[str, Any]) -> TopicInfo:
    """A topic from its description and its configuration, as Kafka's admin client gives them."""
    values = {setting: entry.value for setting, entry in config.items()}
    cleanup = _cleanup(values["cleanup.policy"])
    deletes = "delete" in cleanup
    weak = _replication(description, values)
    if deletes and int(values["retention.bytes"]) >= 0:
        weak.append(
            f"retention.bytes is {values['retention.bytes']}: records are deleted before their "
            "time; set it to -1"
        )
    return TopicInfo(
        name=name,
        partitions=len(description.partitions),
        cleanup=cleanup,
        identity=str(description.topic_id),
        retention_ms=int(values["retention.ms"]) if deletes else -1,
        delete_retention_ms=int(values["delete.retention.ms"]),
        log_append_time=values["message.timestamp.type"] == "LogAppendTime",
        dirty_ratio=float(values["min.cleanable.dirty.ratio"]),
        max_record_bytes=max(0, int(values["max.message.bytes"]) - FRAMING_BYTES),
        weak=weak,
    )


def _cleanup(policy: str | None) -> str:
    """The parts of ``cleanup.policy`` in one order; newer brokers take an empty one."""
    parts = sorted(part.strip() for part in (policy or "").split(",") if part.strip())
    return ",".join(parts) or "none"


def _replication(description: Any, values: Mapping[str, str]) -> list[str]:
    """What replication leaves to chance, a clause each."""
    copies = min((len(part.replicas) for part in description.partitions), default=0)
    in_sync = int(values["min.insync.replicas"])
    weak: list[str] = []
    if copies == 1:
        weak.append("replication factor 1: what a broker's disk loses is lost")
    elif copies < REPLICAS:
        weak.append(
            f"replication factor {copies}: {REPLICAS} are meant, so that one broker may be away "
            "and another one fail"
        )
    if in_sync > copies:
        weak.append(
            f"min.insync.replicas is {in_sync}, more than the replication factor: brokers before "
            f"{CAPPED_IN} take no record at all; {_in_sync_cure(copies)}"
        )
    elif in_sync == copies > 1:
        weak.append(
            f"min.insync.replicas is {in_sync}, as much as the replication factor: nothing can be "
            f"written while one broker is away; {_in_sync_cure(copies)}"
        )
    elif in_sync < IN_SYNC <= copies:
        weak.append(
            f"min.insync.replicas is {in_sync}: what is acknowledged may be on one broker alone; "
            f"{_in_sync_cure(copies)}"
        )
    if values["unclean.leader.election.enable"] == "true":
        weak.append(
            "unclean.leader.election.enable is true: a broker that missed records may lead, and "
            "they are lost; set it to false"
        )
    return weak


def _in_sync_cure(copies: int) -> str:
    if copies < REPLICAS:
        return f"give it {REPLICAS} replicas, and set it to {IN_SYNC}"
    return f"set it to {IN_SYNC}"
