"""Records in the embedded log's tables: their form, appending them, reading them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct

from kstate.core.messages import Headers, Record, Write, WriteRow
from kstate.core.partition import partition_for
from kstate.errors import EncodeError, RecordTooLarge, TopicError
from kstate.log.embedded_file import OFFSET_BITS, OFFSET_MASK, Topic

POLL_BYTES = 32 * 2**20
"""Keys and values handed out by one poll, at most (and always one record)."""

_KEPT_SHAPES = 4_096

# -- headers -----------------------------------------------------------------------------------
#
# u32 size of the prefix | prefix | values.  The prefix is a u16 count, the names (each a u16 size
# and UTF-8) and the sizes of the values (u32 each).  A topic's records share a few prefixes: they
# are parsed once and then found by their bytes, so that reading headers is one `Struct.unpack`.


@lru_cache(maxsize=_KEPT_SHAPES)
def _names_block(names: tuple[str, ...]) -> tuple[bytes, Struct]:
    encoded = [name.encode() for name in names]
    if len(names) > 0xFFFF or any(len(name) > 0xFFFF for name in encoded):
        raise EncodeError("a record takes at most 65535 headers with names of 65535 bytes")
    block = b"".join(len(name).to_bytes(2, "little") + name for name in encoded)
    prefix_size = 2 + len(block) + 4 * len(names)
    head = prefix_size.to_bytes(4, "little") + len(names).to_bytes(2, "little")
    return head + block, Struct(f"<{len(names)}I")


@lru_cache(maxsize=_KEPT_SHAPES)
def _parse_prefix(prefix: bytes) -> tuple[tuple[str, ...], Struct]:
    count = int.from_bytes(prefix[:2], "little")
    names = []
    at = 2
    for _ in range(count):
        end = at + 2 + int.from_bytes(prefix[at : at + 2], "little")
        names.append(prefix[at + 2 : end].decode())
        at = end
    sizes = Struct(f"<{count}I").unpack_from(prefix, at)
    return tuple(names), Struct("".join(f"{size}s" for size in sizes))


def encode_headers(headers: Headers) -> bytes:
    """Headers as one blob; raises `EncodeError` for a name that is no text of Unicode."""
    if not headers:
        return b""
    names, values = zip(*headers, strict=True)
    try:
        block, sizes = _names_block(names)
    except UnicodeError as error:
        raise EncodeError(f"a header's name is not valid text: {error}") from error
    return block + sizes.pack(*map(len, values)) + b"".join(values)


def decode_headers(blob: bytes) -> Headers:
    """The inverse of `encode_headers`."""
    if not blob:
        return []
    at = 4 + int.from_bytes(blob[:4], "little")
    names, values = _parse_prefix(blob[4:at])
    return list(zip(names, values.unpack_from(blob, at), strict=True))


# -- appending ---------------------------------------------------------------------------------


def record_size(write: Write) -> int:
    """Bytes of key, value and headers together: what the log's limit is about."""
    size = len(write.key or b"") + len(write.value or b"")
    return size + sum(len(name.encode()) + len(value) for name, value in write.headers)


def encode_writes(writes: Sequence[WriteRow], limit: int) -> list[bytes]:
    """Each write's headers as a blob; raises `RecordTooLarge` before anything is stored."""
    blobs = []
    for write in writes:
        blob = encode_headers(write[4])
        blobs.append(blob)
        # The blob is a little larger than the headers: only a suspicion, then measured exactly.
        if len(blob) + len(write[3] or b"") + len(write[2] or b"") > limit:
            size = record_size(Write._make(write))
            if size > limit:
                raise RecordTooLarge(f"a record for {write[0]}", size, limit)
    return blobs


class _Tail:
    """Where the next record of a partition goes."""

    __slots__ = ("id", "log_append_time", "slot")

    def __init__(self, slot: int, next_offset: int, log_append_time: int) -> None:
        self.slot = slot
        self.id = (slot << OFFSET_BITS) + next_offset
        self.log_append_time = log_append_time


def append(
    connection: sqlite3.Connection,
    topics: Mapping[str, Topic],
    writes: Sequence[WriteRow],
    blobs: Sequence[bytes],
    now_ms: int,
) -> dict[tuple[str, int], int]:
    """Appends the records inside the caller's write transaction.

    Returns the next offset of each topic and partition written.  Raises `TopicError` when one does
    not exist and `EncodeError` for a timestamp beyond 64 bits; the caller then rolls back.
    """
    tails: dict[tuple[str, int], _Tail] = {}
    rows = []
    for write, blob in zip(writes, blobs, strict=True):
        topic, partition, key, value, _, timestamp = write
        if partition is None:
            partition = _choose(topics, topic, key, now_ms)
        place = (topic, partition)
        tail = tails.get(place)
        if tail is None:
            tails[place] = tail = _tail(connection, topics, topic, partition)
        id_ = tail.id
        tail.id = id_ + 1
        rows.append((id_, now_ms if tail.log_append_time else timestamp, now_ms, key, blob, value))
    try:
        connection.executemany("INSERT INTO records VALUES (?,?,?,?,?,?)", rows)
    except OverflowError as error:
        raise EncodeError("a record's timestamp has more than 64 bits") from error
    connection.executemany(
        "UPDATE partitions SET next=? WHERE slot=?",
        [(tail.id & OFFSET_MASK, tail.slot) for tail in tails.values()],
    )
    return {place: tail.id & OFFSET_MASK for place, tail in tails.items()}


def topic_of(topics: Mapping[str, Topic], name: str) -> Topic:
    """The topic; raises `TopicError` when there is none of that name."""
    topic = topics.get(name)
    if topic is None:
        raise TopicError(
            f"there is no topic {name}; a worker of its processor makes it (kstate run)"
        )
    return topic


def slot_of(topics: Mapping[str, Topic], name: str, partition: int) -> int:
    """The slot of a partition; raises `TopicError` when topic or partition do not exist."""
    topic = topic_of(topics, name)
    if not 0 <= partition < topic.partitions:
        raise TopicError(f"topic {name} has {topic.partitions} partitions, none is {partition}")
    return topic.slot + partition


def _choose(topics: Mapping[str, Topic], name: str, key: bytes | None, now_ms: int) -> int:
    partitions = topic_of(topics, name).partitions
    # Records without a key stay together for a batch and then move on, as Kafka's producers do.
    return now_ms % partitions if key is None else partition_for(key, partitions)


def _tail(
    connection: sqlite3.Connection, topics: Mapping[str, Topic], name: str, partition: int
) -> _Tail:
    slot = slot_of(topics, name, partition)
    (next_offset,) = connection.execute(
        "SELECT next FROM partitions WHERE slot=?", (slot,)
    ).fetchone()
    return _Tail(slot, next_offset, topics[name].log_append_time)


# -- reading -----------------------------------------------------------------------------------


def ends_of(connection: sqlite3.Connection, topic: Topic) -> dict[int, tuple[int, int]]:
    """Start and end of each partition of a topic."""
    rows = connection.execute(
        "SELECT slot, start, next FROM partitions WHERE slot>=? AND slot<?",
        (topic.slot, topic.slot + topic.partitions),
    )
    return {slot - topic.slot: (start, next_) for slot, start, next_ in rows}


def fetch(
    connection: sqlite3.Connection,
    topic: Topic,
    positions: dict[int, int],
    ends: Mapping[int, tuple[int, int]],
    max_records: int,
) -> list[Record]:
    """Up to ``max_records`` records, partition by partition in the order of ``positions``.

    Moves the positions on: past the last record taken, or to the end where none is left.
    """
    records: list[Record] = []
    room_bytes = POLL_BYTES
    for partition, position in positions.items():
        end = ends[partition][1]
        room = max_records - len(records)
        if room <= 0 or room_bytes <= 0:
            break
        if position >= end:
            continue
        before = len(records)
        room_bytes = _fetch_partition(
            connection,
            topic.slot + partition,
            partition,
            (position, end),
            room,
            room_bytes,
            records,
        )
        took_all = len(records) - before < room and room_bytes > 0
        positions[partition] = end if took_all else records[-1].offset + 1
    return records


def _fetch_partition(
    connection: sqlite3.Connection,
    slot: int,
    partition: int,
    span: tuple[int, int],
    room: int,
    room_bytes: int,
    records: list[Record],
) -> int:
    base = slot << OFFSET_BITS
    cursor = connection.execute(
        "SELECT id-?, key, value, headers, timestamp FROM records"
        " WHERE id>=? AND id<? ORDER BY id LIMIT ?",
        (base, base + span[0], base + span[1], room),
    )
    new, add = tuple.__new__, records.append
    for offset, key, value, blob, timestamp in cursor:
        headers = decode_headers(blob) if blob else []
        add(new(Record, (partition, offset, key, value, headers, timestamp)))
        room_bytes -= len(value or b"") + len(key or b"") + len(blob)
        if room_bytes <= 0:
            break
    cursor.close()
    return room_bytes
