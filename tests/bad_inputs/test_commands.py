"""Records that are no commands, and commands that go wrong: each gets a clear error, loses nothing
and lets its neighbours in the same batch commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from counter import Add, Added, Counter, Look
from inbox import Inbox, Misbehave, Node, Plant, Positive, Say
from world import World, header

from kstate.core.messages import Record

JSON = [("content-type", b"application/json")]


def between_neighbours(
    world: World,
    value: bytes | None,
    *,
    key: bytes | None = b"bad",
    headers: Iterable[tuple[str, bytes]] = (),
) -> Record:
    """The reply to a bad record that stands between two good ones in a batch; it must be an error,
    the record a dead letter as it came, and the good ones done."""
    asking = [
        ("command-id", b"bad-1"),
        ("reply-to", world.topics(Inbox).replies.encode()),
        *headers,
    ]
    world.cast(Inbox, "good", Add(1))
    world.produce(Inbox, value, key=key, headers=asking, partition=0)
    world.cast(Inbox, "good", Add(2))
    world.restart()
    world.settled(Inbox)
    assert world.events(Inbox, "good") == [(1, Added(1)), (2, Added(2))]
    assert len(world.journal(Inbox)) == 2
    (letter,) = world.dead_letters(Inbox)
    assert (letter.key, letter.value) == (b"0:1", value or b"")  # no tombstone
    assert letter.headers[: len(asking)] == asking
    assert header(letter, "source") == "0:1"
    assert dict(letter.headers).get("persist-id") == key
    assert header(letter, "error-type")
    assert header(letter, "error")
    (reply,) = world.replies(Inbox)
    assert reply.key == b"bad-1"
    assert header(reply, "status") == "error"
    assert header(reply, "error")
    assert not reply.value
    return reply


@pytest.fixture
def idle(world: World) -> World:
    """A world with topics and no worker: what comes next is one batch."""
    world.prepare(Inbox, partitions=1)
    return world


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (None, "the record has no key; the key is the persist id"),
        (b"", "the record has no key; the key is the persist id"),
        (b"ab\xff", "the persist id is not UTF-8 at byte 2"),
        (b"\xed\xa0\x80", "the persist id is not UTF-8 at byte 0"),
        (b"x" * 513, "the persist id takes 513 bytes; at most 512 are allowed"),
        (b"x" * 1_000_000, "the persist id takes 1000000 bytes; at most 512 are allowed"),
        (b"a\nb", "the persist id 'a\\nb' has control characters"),
        (b"\x00checkpoint", "the persist id '\\x00checkpoint' has control characters"),
        ("a\x85b".encode(), "the persist id 'a\\x85b' has control characters"),
    ],
    ids=["none", "empty", "latin", "surrogate", "long", "1 MB", "newline", "NUL", "C1"],
)
def test_a_key_that_is_no_persist_id(idle: World, key: bytes | None, error: str) -> None:
    reply = between_neighbours(idle, idle.encoded(Inbox, Add(1)), key=key)
    assert header(reply, "code") == "bad-persist-id"
    assert header(reply, "error") == error


def test_a_persist_id_of_exactly_512_bytes_is_one(world: World) -> None:
    world.run(Inbox)
    longest = "é" * 256
    assert world.call(Inbox, longest, Add(1)) == 1
    world.restart(without_store=True)
    assert world.call(Inbox, longest, Add(1)) == 2


# -- values ----------------------------------------------------------------------------------------


def zigzag(number: int) -> bytes:
    """An Avro long that is not negative."""
    number *= 2
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def deep(world: World) -> bytes:
    """A tree of 100,000 levels, made without building one."""
    flat = world.encoded(Inbox, Plant(Node()))
    nested = world.encoded(Inbox, Plant(Node(Node())))
    level, leaf = nested[len(flat) - 1 : -1], flat[-1:]
    return flat[:-1] + level * 100_000 + leaf


def event_bytes(world: World) -> bytes:
    codec = world.client.messages(Inbox)
    return codec.encode_event(Added(1))  # type: ignore[attr-defined,no-any-return]


VALUES: dict[str, tuple[Callable[[World], bytes | None], str]] = {
    "null": (lambda world: None, "no-value"),
    "empty": (lambda world: b"", "no-value"),
    "text": (lambda world: b"hello", "not-avro"),
    "one byte": (lambda world: b"\xc3", "truncated"),
    "header alone": (lambda world: world.encoded(Inbox, Say("hello"))[:10], "truncated"),
    "truncated": (lambda world: world.encoded(Inbox, Say("hello"))[:-3], "truncated"),
    "trailing bytes": (lambda world: world.encoded(Inbox, Add(1)) + b"\0", "trailing"),
    "unknown fingerprint": (lambda world: b"\xc3\x01" + b"\x07" * 8 + b"\0", "unknown-schema"),
    "an event": (event_bytes, "unknown-type"),
    "100,000 levels": (deep, "too-deep"),
    "a length of 2^62": (
        lambda world: world.encoded(Inbox, Say(""))[:10] + zigzag(2**62),
        "truncated",
    ),
    "a negative length": (lambda world: world.encoded(Inbox, Say(""))[:10] + b"\x03", "truncated"),
    "a number without end": (
        lambda world: world.encoded(Inbox, Say(""))[:10] + b"\xff" * 1000,
        "malformed",
    ),
    "text that is not UTF-8": (
        lambda world: world.encoded(Inbox, Say("ab"))[:11] + b"\xff\xff\x02",
        "malformed",
    ),
    "a branch that is none": (
        lambda world: world.encoded(Inbox, Plant(Node()))[:10] + b"\x7e",
        "malformed",
    ),
    "refused by its class": (
        lambda world: world.encoded(Inbox, Positive(1))[:10] + b"\x01",
        "invalid-value",
    ),
}


@pytest.mark.parametrize("what", VALUES)
def test_a_value_that_is_no_command(idle: World, what: str) -> None:
    make, code = VALUES[what]
    reply = between_neighbours(idle, make(idle))
    assert header(reply, "code") == code


def test_a_command_of_another_processor(world: World) -> None:
    world.prepare(Inbox, Counter, partitions=1)
    reply = between_neighbours(world, world.encoded(Counter, Look()))
    assert header(reply, "code") in ("unknown-schema", "unknown-type")


# -- JSON ------------------------------------------------------------------------------------------

SAY = [*JSON, ("type", b"Say")]


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (b"", SAY, "no-value"),
        (None, SAY, "no-value"),
        (b'{"text": "a"', SAY, "bad-json"),
        (b'{"text": "\xff"}', SAY, "bad-json"),
        (b'{"text": 5}', SAY, None),
        (b'{"text": "a", "txet": "b"}', SAY, None),
        (b'{"times": 1}', SAY, None),
        (b'{"text": "a", "text": "b"}', SAY, "bad-json"),
        (b'{"text": "a", "times": NaN}', SAY, "bad-json"),
        (b'{"text": "a", "times": Infinity}', SAY, "bad-json"),
        (b'{"text": "a", "times": 9223372036854775808}', SAY, None),
        (b'{"text": "a", "times": ' + b"9" * 10_000 + b"}", SAY, None),
        (b'{"text": "a", "times": 1.5}', SAY, None),
        (b"[" * 100_000, SAY, None),
        (b'["a"]', SAY, None),
        (b"null", SAY, None),
        (b'{"text": "a"}', JSON, "unknown-type"),
        (b'{"text": "a"}', [*JSON, ("type", b"Shout")], "unknown-type"),
        (b'{"text": "a"}', [*JSON, ("type", b"Said")], "unknown-type"),
        (b'{"text": "a"}', [*JSON, ("type", b"\xff")], "unknown-type"),
        (b'{"text": "a"}', [("content-type", b"text/plain"), ("type", b"Say")], "not-avro"),
        (b'{"text": "a"}', [], "not-avro"),
    ],
)
def test_json_that_is_no_command(
    idle: World, value: bytes | None, headers: list[tuple[str, bytes]], code: str | None
) -> None:
    reply = between_neighbours(idle, value, headers=headers)
    assert header(reply, "code") == (code or "bad-json")


def test_json_that_is_one_is_done(world: World) -> None:
    world.run(Inbox)
    reply = world.ask(Inbox, b'{"text": "a", "times": 3}', headers=SAY)
    assert header(reply, "status") == "ok"
    assert header(world.ask(Inbox, b'{"text": "a"}', headers=SAY), "seq") == "2"


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command_id", "error"),
    [
        (b"x" * 257, "the command id takes 257 bytes; at most 256 are allowed"),
        (b"\xff", "the command id is not UTF-8"),
    ],
)
def test_a_command_id_that_cannot_be_one(world: World, command_id: bytes, error: str) -> None:
    world.run(Inbox, partitions=1)
    world.produce(
        Inbox,
        world.encoded(Inbox, Add(1)),
        headers=[
            ("command-id", command_id),
            ("reply-to", world.topics(Inbox).replies.encode()),
            ("reply-partition", b"1"),
        ],
    )
    world.settled(Inbox)
    (reply,) = world.replies(Inbox)
    assert reply.key == command_id[:256]
    assert (header(reply, "code"), header(reply, "error")) == ("bad-header", error)
    assert len(world.dead_letters(Inbox)) == 1
    assert world.call(Inbox, "a", Add(1)) == 1


def test_an_empty_command_id_counts_as_none(world: World) -> None:
    world.run(Inbox, partitions=1)
    world.produce(Inbox, world.encoded(Inbox, Add(1)), headers=[("command-id", b"")])
    world.produce(Inbox, world.encoded(Inbox, Add(1)), headers=[("command-id", b"")])
    world.settled(Inbox)
    assert [header(r, "command-id") for r in world.journal(Inbox)] == ["0:0", "0:1"]


def test_a_dead_letters_own_headers_replace_those_that_came(world: World) -> None:
    world.run(Inbox, partitions=1)
    old = [("error", b"old"), ("source", b"9:9"), ("error-type", b"Old"), ("persist-id", b"old")]
    world.produce(Inbox, b"x", headers=old)
    world.settled(Inbox)
    (letter,) = world.dead_letters(Inbox)
    assert len(letter.headers) == 4
    assert header(letter, "persist-id") == "a"
    assert header(letter, "source") == "0:0"
    assert header(letter, "error-type") == "BadCommand"


# -- handlers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raises", "RuntimeError: as announced"),
        ("wrong reply", "EncodeError: "),
        ("huge reply", "EncodeError: "),
        ("event does not encode", "EncodeError: "),
        ("event is foreign", "EncodeError: Foreign is no event of inbox"),
        ("million events", "KStateError: one command persisted more than 10000 events"),
        ("million events at once", "KStateError: one command persisted more than 10000 events"),
        ("endless reaction", "KStateError: one command persisted more than 10000 events"),
        ("million sends", "KStateError: one command sent more than 10000 commands"),
    ],
)
def test_a_handler_that_misbehaves(idle: World, how: str, error: str) -> None:
    reply = between_neighbours(idle, idle.encoded(Inbox, Misbehave(how)))
    assert header(reply, "code") == "failed"
    assert header(reply, "error").startswith(error)


# -- without a reply-to ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, b"", b"hello", b"\xc3\x01" + b"\x07" * 20])
def test_without_a_reply_to_there_is_only_the_dead_letter(
    world: World, value: bytes | None
) -> None:
    world.run(Inbox)
    world.produce(Inbox, value)
    world.settled(Inbox)
    assert len(world.dead_letters(Inbox)) == 1
    assert world.replies(Inbox) == []
    assert world.call(Inbox, "a", Add(1)) == 1


def test_many_bad_records_are_as_many_dead_letters(world: World) -> None:
    world.prepare(Inbox)
    for number in range(50):
        world.produce(Inbox, b"%d" % number, key=b"%d" % number)
    world.restart()
    world.settled(Inbox)
    found = world.dead_letters(Inbox)
    assert len({(letter.partition, letter.key) for letter in found}) == 50
    letters = {(dict(letter.headers)["persist-id"], letter.value) for letter in found}
    assert letters == {(b"%d" % number, b"%d" % number) for number in range(50)}
