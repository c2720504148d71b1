"""The records that a command leaves behind, byte for byte as ``docs/topics.md`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kstate.core.context import Context, Machine, Persisted
from kstate.core.envelope import Envelope, derived_command_id, number_of
from kstate.core.messages import Headers, Record, Write, new_write
from kstate.core.topics import MAX_PERSIST_ID_BYTES, Topics, event_key

MAX_ERROR_BYTES = 1024
MAX_ROUTES = 10_000
HEADER_FRAME_BYTES = 16
"""More than a log takes to frame a header."""

OK = b"ok"
REJECTED = b"rejected"
CONFLICT = b"conflict"
ERROR = b"error"
DUPLICATE = b"duplicate"

DEAD_LETTER_HEADERS = ("error-type", "error", "source")
"""Headers that a dead letter has beside those of the command."""


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
    ) -> None:
        self._machine = machine
        self._partition = partition
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
    ) -> Write:
        """A journal record; ``reply`` stands on the last event of a call."""
        event_type = persisted.stored
        named = self._types.get(event_type)
        if named is None:
            named = self._types[event_type] = (
                "type",
                self._machine.codec.event_type(event_type),
            )
        headers: Headers = [named, ("command-id", envelope.command_id), ("source", source)]
        if persisted.tags:
            headers += [("tag", tag.encode()) for tag in persisted.tags]
        if envelope.traceparent is not None:
            headers.append(("traceparent", envelope.traceparent))
        if reply is not None:
            headers.append(("reply", reply))
        journal_key = event_key(key, persisted.seq)
        return new_write(
            (self._journal, self._partition, journal_key, persisted.value, headers, now)
        )

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

    def tombstone(self, key: bytes, seq: int, now: int) -> Write:
        """What removes an event from the journal."""
        return new_write((self._journal, self._partition, event_key(key, seq), None, [], now))

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
            headers = self._if_it_fits(record, [*named, ("command-id", envelope.command_id)])
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
    ) -> Write:
        """A reply; ``position`` is that of the command that wrote the partition's newest event."""
        headers: Headers = [("status", status), ("position", position), ("seq", b"%d" % seq)]
        if envelope.key is not None and len(envelope.key) <= MAX_PERSIST_ID_BYTES:
            headers.append(("persist-id", envelope.key))  # its command id may be another's, too
        if code:
            headers.append(("code", code.encode(errors="replace")[:MAX_ERROR_BYTES]))
        if error:
            headers.append(("error", error.encode(errors="replace")[:MAX_ERROR_BYTES]))
        topic, partition = route
        return new_write((topic, partition, envelope.command_id, value, headers, now))

    def dead_letter(self, record: Record, error: Exception, now: int) -> Write:
        """The command as it came, and why it did not run."""
        headers = [header for header in record.headers if header[0] not in DEAD_LETTER_HEADERS]
        headers += [
            ("error-type", type(error).__name__.encode(errors="replace")),
            ("error", str(error).encode(errors="replace")[:MAX_ERROR_BYTES]),
            ("source", b"%d:%d" % (record.partition, record.offset)),
        ]
        headers = self._if_it_fits(record, headers)
        return Write(
            self._topics.dead_letters, self._partition, record.key, record.value, headers, now
        )

    def _if_it_fits(self, record: Record, headers: Headers) -> Headers:
        """``headers``, or the record's own where it is too near to the log's limit for more."""
        size = len(record.key or b"") + len(record.value or b"")
        size += sum(len(name) + len(value or b"") + HEADER_FRAME_BYTES for name, value in headers)
        return headers if size <= self._machine.policy.max_record_bytes else record.headers
