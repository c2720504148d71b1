"""The records that a command leaves behind, byte for byte as ``docs/topics.md`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kstate.core.context import Context, Machine, Persisted
from kstate.core.envelope import Envelope, derived_command_id, number_of
from kstate.core.letters import DEAD_LETTER_HEADERS, PERSIST_ID, SOURCE
from kstate.core.messages import Headers, Record, Write, WriteRow
from kstate.core.partition import partition_for
from kstate.core.topics import MAX_PERSIST_ID_BYTES, Topics, decode_persist_id, event_key
from kstate.errors import BadPersistId

MAX_ERROR_BYTES = 1024
MAX_ROUTES = 10_000
HEADER_FRAME_BYTES = 16
"""More than a log takes to frame a header."""

OK = b"ok"
REJECTED = b"rejected"
CONFLICT = b"conflict"
ERROR = b"error"
DUPLICATE = b"duplicate"

Route = tuple[str, int | None]
"""Topic and partition of a reply; without a partition its command id decides."""


class Outgoing:
    """Makes the records of one partition."""

    def __init__(
        self,
        machine: Machine,
        partition: int,
        topics: Topics,
        targets: Mapping[str, str],
        reply_topics: Mapping[str, int],
        partitions: int,
    ) -> None:
        self._machine = machine
        self._partition = partition
        self._partitions = partitions
        self._topics = topics
        self._targets = targets
        self._reply_topics = reply_topics
        self._journal = topics.journal
        self._types: dict[type, tuple[str, bytes]] = {}
        self._routes: dict[tuple[bytes | None, bytes | None], Route | None] = {}

    def event(
        self,
        key: bytes,
        persisted: Persisted,
        envelope: Envelope,
        source: bytes,
        reply: bytes | None,
        now: int,
    ) -> WriteRow:
        """A journal record; ``reply`` stands on the last event of a call."""
        seq, _, value, tags, event_type = persisted
        named = self._types.get(event_type)
        if named is None:
            named = self._types[event_type] = (
                "type",
                self._machine.codec.event_type(event_type),
            )
        headers: Headers = [named, ("command-id", envelope.command_id), ("source", source)]
        if tags:
            headers += [("tag", tag.encode()) for tag in tags]
        if envelope.traceparent is not None:
            headers.append(("traceparent", envelope.traceparent))
        if reply is not None:
            headers.append(("reply", reply))
        return self._journal, self._partition, event_key(key, seq), value, headers, now

    def sent(self, context: Context[Any], envelope: Envelope, now: int) -> list[Write]:
        """The commands that a command sent, with ids that a rerun would give again."""
        writes = []
        sender = f"{self._machine.name}/{context.persist_id}"
        for position, (name, key, value) in enumerate(context._sent or ()):
            command_id = derived_command_id(sender, envelope.command_id, position)
            headers: Headers = [("command-id", command_id)]
            if envelope.traceparent is not None:
                headers.append(("traceparent", envelope.traceparent))
            writes.append(Write(self._targets[name], None, key, value, headers, now))
        return writes

    def tombstone(self, key: bytes, seq: int, now: int) -> WriteRow:
        """What removes an event from the journal."""
        return self._journal, self._partition, event_key(key, seq), None, [], now

    def to_itself(self, record: Record, envelope: Envelope, value: bytes, now: int) -> Write:
        """A command for the same entity that goes on with this one and is to answer for it."""
        sender = f"{self._machine.name}/{(record.key or b'').decode()}"
        command_id = derived_command_id(sender, envelope.command_id, 0)
        headers: Headers = [("command-id", command_id)]
        for name, header in (
            ("reply-to", envelope.reply_to),
            ("reply-partition", envelope.reply_partition),
            ("traceparent", envelope.traceparent),
        ):
            if header is not None:
                headers.append((name, header))
        return Write(self._topics.commands, self._partition, record.key, value, headers, now)

    def snapshot(self, key: bytes, value: bytes, now: int) -> Write:
        """A snapshot record."""
        return Write(self._topics.snapshots, self._partition, key, value, [], now)

    def forward(self, record: Record, envelope: Envelope, partition: int, now: int) -> Write:
        """A command on the wrong partition, for the right one."""
        headers = record.headers
        if not envelope.given_id:
            # a second forwarding would give it another id: fix the one it has here
            named = [header for header in headers if header[0] != "command-id"]
            named.append(("command-id", envelope.command_id))
            if self._fits(record.key, record.value, named):
                headers = named
        return Write(self._topics.commands, partition, record.key, record.value, headers, now)

    def route(self, envelope: Envelope) -> Route | None:
        """Where the reply goes; None when none is asked for, or on a topic or partition that takes
        no replies."""
        asked = envelope.reply_to, envelope.reply_partition
        try:
            return self._routes[asked]
        except KeyError:
            if len(self._routes) >= MAX_ROUTES:  # of senders who make them up
                self._routes.clear()
            route = self._routes[asked] = self._route(*asked)
            return route

    def _route(self, reply_to: bytes | None, reply_partition: bytes | None) -> Route | None:
        topic = (reply_to or b"").decode(errors="replace")
        partitions = self._reply_topics.get(topic)
        if partitions is None:
            return None
        if reply_partition is None:
            return topic, None
        partition = number_of(reply_partition)
        return (topic, partition) if 0 <= partition < partitions else None

    def reply(
        self,
        route: Route,
        envelope: Envelope,
        status: bytes,
        value: bytes | None,
        seq: int,
        position: bytes,
        now: int,
        code: str = "",
        error: str = "",
    ) -> WriteRow:
        """A reply; ``position`` is that of the command that wrote the partition's newest event."""
        headers: Headers = [("status", status), ("position", position), ("seq", b"%d" % seq)]
        if envelope.key is not None and len(envelope.key) <= MAX_PERSIST_ID_BYTES:
            headers.append((PERSIST_ID, envelope.key))  # its command id may be another's, too
        if code:
            headers.append(("code", code.encode(errors="replace")[:MAX_ERROR_BYTES]))
        if error:
            headers.append(("error", error.encode(errors="replace")[:MAX_ERROR_BYTES]))
        topic, partition = route
        return topic, partition, envelope.command_id, value, headers, now

    def dead_letter(self, record: Record, error: Exception, now: int) -> Write:
        """The command as it came, and why it did not run.

        It lies on the partition of its persist id, whose owner is the one to erase it.
        """
        own = [header for header in record.headers if header[0] not in DEAD_LETTER_HEADERS]
        why: Headers = [
            ("error-type", type(error).__name__.encode(errors="replace")),
            ("error", str(error).encode(errors="replace")[:MAX_ERROR_BYTES]),
        ]
        place = b"%d:%d" % (record.partition, record.offset)
        whose: Headers = [(SOURCE, place)]
        if record.key is not None:
            whose.append((PERSIST_ID, record.key))
        for headers in ([*own, *why, *whose], [*own, *whose]):
            if self._fits(place, record.value, headers):
                key = place
                break
        else:
            key, headers = record.key or b"", own
        partition, value = self._home(record.key), record.value or b""
        return Write(self._topics.dead_letters, partition, key, value, headers, now)

    def no_dead_letter(self, key: bytes, now: int) -> Write:
        """What removes a dead letter of this partition."""
        return Write(self._topics.dead_letters, self._partition, key, None, [], now)

    def _home(self, key: bytes | None) -> int:
        """The partition of a persist id; that of the command for a key that is none."""
        try:
            decode_persist_id(key)
        except BadPersistId:
            return self._partition
        return partition_for(key or b"", self._partitions)

    def _fits(self, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Whether a record is far enough from the log's limit."""
        size = len(key or b"") + len(value or b"")
        size += sum(len(name) + len(value or b"") + HEADER_FRAME_BYTES for name, value in headers)
        return size <= self._machine.policy.max_record_bytes
