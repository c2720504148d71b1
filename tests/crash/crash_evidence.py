"""Everything that a run left in the log, read back with fastavro alone; without the questions for
states, which change nothing."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import fastavro
from crash_model import CommandRecord, EventRecord, Reply, State

from demo.answers import read_all
from kstate.core.messages import Record
from kstate.core.topics import CHECKPOINT_KEY, Topics
from kstate.log.port import Log

HEADER_BYTES = 10  # of Avro's single-object encoding
STATE_QUESTION = "kstate.GetState"


class SnapshotRecord(NamedTuple):
    """A snapshot, as far as it tells of the account."""

    account: str
    seq: int
    state: State


@dataclass
class Evidence:
    """What is judged."""

    commands: list[CommandRecord] = field(default_factory=list)  # in the order of the log
    events: list[EventRecord] = field(default_factory=list)  # in the order of the log
    replies: dict[str, list[Reply]] = field(default_factory=dict)  # by command id
    snapshots: list[SnapshotRecord] = field(default_factory=list)
    dead_letters: int = 0
    asked: dict[str, State] = field(default_factory=dict)  # states that their owner told
    folded: dict[str, tuple[int, State]] = field(default_factory=dict)  # seq and state
    planned: set[str] = field(default_factory=set)  # command ids that were sent from outside
    acknowledged: dict[str, list[Reply]] = field(default_factory=dict)  # what callers were told


class Schemas:
    """The schemas that the worker published, by fingerprint."""

    def __init__(self, log: Log, topics: Topics) -> None:
        self._parsed: dict[str, Any] = {}
        for record in read_all(log, topics.schemas):
            if record.key != b"meta":
                schema = fastavro.parse_schema(json.loads(record.value or b""))
                self._parsed[(record.key or b"").decode()] = schema

    def decode(self, value: bytes) -> tuple[str, Any]:
        """The name of a value's type, and the value as plain Python."""
        schema = self._parsed[value[2:HEADER_BYTES].hex()]
        name = schema["name"] if isinstance(schema, dict) and "name" in schema else ""
        return name, fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), schema, None)


def read_evidence(log: Log, topics: Topics) -> Evidence:
    """What stands in the topics; the rest is for the caller to add."""
    schemas = Schemas(log, topics)
    commands = [_command(each, schemas) for each in read_all(log, topics.commands)]
    found = Evidence(
        commands=[each for each in commands if each.kind != STATE_QUESTION],
        events=[_event(each, schemas) for each in read_all(log, topics.journal)],
        snapshots=[_snapshot(each, schemas) for each in read_snapshots(log, topics)],
        dead_letters=len(read_all(log, topics.dead_letters)),
    )
    questions = {each.command_id for each in commands if each.kind == STATE_QUESTION}
    replies = defaultdict(list)
    for record in read_all(log, topics.replies):
        command_id = (record.key or b"").decode()
        if command_id not in questions:
            replies[command_id].append(_reply(record, schemas))
    found.replies = dict(replies)
    return found


def read_snapshots(log: Log, topics: Topics) -> list[Record]:
    """The snapshots topic without its checkpoint records."""
    return [each for each in read_all(log, topics.snapshots) if each.key != CHECKPOINT_KEY]


def _headers(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers if name != "reply"}


def _command(record: Record, schemas: Schemas) -> CommandRecord:
    headers = _headers(record)
    name, datum = schemas.decode(record.value or b"")
    return CommandRecord(
        record.partition,
        record.offset,
        (record.key or b"").decode(),
        headers["command-id"],
        name.removeprefix("bank."),
        datum,
        "reply-to" in headers,
    )


def _event(record: Record, schemas: Schemas) -> EventRecord:
    headers = _headers(record)
    account, _, seq = (record.key or b"").decode().rpartition("@")
    name, datum = schemas.decode(record.value or b"")
    kind = name.removeprefix("bank.")
    assert kind == headers["type"], f"a {kind} whose header says {headers['type']}"
    amount, to = datum["amount"], datum.get("to")
    return EventRecord(
        account, int(seq), kind, amount, to, headers["command-id"], headers["source"]
    )


def _reply(record: Record, schemas: Schemas) -> Reply:
    headers = _headers(record)
    value: Any = schemas.decode(record.value)[1] if record.value else headers.get("code")
    return Reply(headers["status"], value, int(headers["seq"]))


def _snapshot(record: Record, schemas: Schemas) -> SnapshotRecord:
    _, envelope = schemas.decode(record.value or b"")
    _, state = schemas.decode(envelope["state"])
    return SnapshotRecord((record.key or b"").decode(), envelope["seq"], state_of(state))


def state_of(datum: Mapping[str, Any]) -> State:
    """A state as the model has it."""
    return State(datum["balance"], datum["withdrawals"])
