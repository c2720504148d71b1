"""The snapshot envelope."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import fastavro
import pytest
from codec_samples import Account, Deposited, bank_codec
from hypothesis import given
from hypothesis import strategies as st

from kstate.codec.book import Book
from kstate.codec.decoders import FAULTS, compile_decoder
from kstate.codec.forms import HEADER_BYTES
from kstate.codec.scalars import GENERIC
from kstate.codec.snapshots import FIRST_SCHEMA, SNAPSHOT_SCHEMA, Envelopes, encode_envelope
from kstate.codec.writers import header, parse
from kstate.core.messages import Snapshot
from kstate.errors import DecodeError, EncodeError

CODEC = bank_codec()
longs = st.integers(-(2**63), 2**63 - 1)
recents = st.tuples(longs, longs, st.none() | st.binary(max_size=20))
snapshots = st.builds(
    Snapshot,
    seq=longs,
    state=st.builds(Account, longs),
    version=st.integers(-(2**31), 2**31 - 1),
    journal_offset=longs,
    at=longs,
    deleted=st.just(False),
    recent=st.dictionaries(st.binary(min_size=16, max_size=16), recents, max_size=5),
)


def snapshot(**changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "seq": 7, "state": Account(5), "version": 3, "journal_offset": 1000,
        "at": 1_700_000_000_000, "deleted": False,
        "recent": {bytes(range(16)): (6, 5, b"r"), bytes(16): (7, 6, None)},
    }  # fmt: skip
    return Snapshot(**{**fields, **changes})


@given(snapshots)
def test_a_snapshot_reads_back_equal_with_its_recent_commands_in_order(value: Snapshot) -> None:
    again = CODEC.decode_snapshot(CODEC.encode_snapshot(value))
    assert again == value
    assert list(again.recent) == list(value.recent)


@given(snapshots, st.data())
def test_an_envelope_is_read_as_the_decoder_made_from_its_schema_reads_it(
    value: Snapshot, data: st.DataObject
) -> None:
    written = encode_envelope(value, data.draw(st.none() | st.binary(max_size=20)))
    if data.draw(st.booleans()):  # under the schema that has no removed events
        written = header(FIRST_SCHEMA) + written[HEADER_BYTES:-2]
    spoiled = bytearray(written)
    for _ in range(data.draw(st.integers(0, 3))):
        spoiled[data.draw(st.integers(HEADER_BYTES, len(spoiled) - 1))] = data.draw(
            st.sampled_from([0, 1, 2, 3, 4, 127, 128, 255])
        )
    spoiled = spoiled[: data.draw(st.integers(HEADER_BYTES, len(spoiled)))]
    assert outcome(own, bytes(spoiled)) == outcome(generated, bytes(spoiled))


def outcome(read: Callable[[bytes], Any], value: bytes) -> Any:
    """What is read, or that it is refused."""
    try:
        return read(value)
    except DecodeError:
        return "refused"


def own(value: bytes) -> Any:
    envelope, state = Envelopes(Book()).decode(value)
    return {
        "seq": envelope.seq, "version": envelope.version, "at": envelope.at,
        "journal_offset": envelope.journal_offset, "deleted": envelope.deleted, "state": state,
        "recent": list(envelope.recent.items()),
        "removed": envelope.removed, "erased": envelope.erased,
    }  # fmt: skip


def generated(value: bytes) -> Any:
    schema = SNAPSHOT_SCHEMA if value[:HEADER_BYTES] == header(SNAPSHOT_SCHEMA) else FIRST_SCHEMA
    try:
        fields = compile_decoder(parse(schema), GENERIC, "Snapshot").read(value, HEADER_BYTES)
    except FAULTS as error:
        raise DecodeError(str(error)) from error
    recent = {each["id"]: (each["seq"], each["at"], each["reply"]) for each in fields["recent"]}
    return {"removed": 0, "erased": 0, **fields, "recent": list(recent.items())}


@given(snapshots)
def test_the_version_is_read_without_the_rest(value: Snapshot) -> None:
    data = CODEC.encode_snapshot(value)
    assert CODEC.snapshot_version(data) == value.version
    assert CODEC.snapshot_version(data[:30]) == value.version


def test_the_type_of_the_state_is_told_although_no_code_reads_it() -> None:
    schema = {"type": "record", "name": "bank.Wallet", "fields": []}
    codec = bank_codec(Book())
    data = encode_envelope(snapshot(), header(schema))
    assert codec.state_type(data) is None
    codec.book.meet(schema, "state", "Wallet")
    assert codec.state_type(data) == "Wallet"
    with pytest.raises(DecodeError):
        codec.decode_snapshot(data)


def with_field(name: str, kind: Any) -> Any:
    """The envelope's schema with another type of one field."""
    fields = [each for each in SNAPSHOT_SCHEMA["fields"] if each["name"] != name]
    return {**SNAPSHOT_SCHEMA, "fields": [*fields, {"name": name, "type": kind}]}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "fixed", "name": "kstate.Snapshot", "size": 0},
        {"type": "enum", "name": "kstate.Snapshot", "symbols": ["A"]},
        with_field("seq", "string"),
        with_field("recent", "long"),
        with_field("state", "long"),
    ],
)
def test_an_envelope_of_other_types_is_no_snapshot(schema: Any) -> None:
    codec = bank_codec(Book())
    codec.book.meet(schema, "snapshot", "Snapshot")
    for size in range(40):
        with pytest.raises(DecodeError, match="snapshot"):
            codec.decode_snapshot(header(schema) + bytes(size))


@pytest.mark.parametrize("data", [b"", b"garbled", CODEC.encode_snapshot(snapshot())[:-9]])
def test_what_is_no_snapshot_has_no_type(data: bytes) -> None:
    assert CODEC.state_type(data) is None


def test_fastavro_writes_the_same_envelope() -> None:
    value = snapshot()
    names = ("id", "seq", "at", "reply")
    recent = [dict(zip(names, (key, *kept), strict=True)) for key, kept in value.recent.items()]
    datum = {
        "seq": 7, "version": 3, "journal_offset": 1000, "at": 1_700_000_000_000, "deleted": False,
        "state": CODEC.encode_state(Account(5)), "recent": recent,
    }  # fmt: skip
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SNAPSHOT_SCHEMA, datum)
    assert CODEC.encode_snapshot(value) == header(SNAPSHOT_SCHEMA) + out.getvalue()


def test_a_deleted_entity_has_no_state() -> None:
    value = snapshot(deleted=True, state=None, recent={})
    data = CODEC.encode_snapshot(value)
    assert CODEC.decode_snapshot(data) == value
    assert len(data) < 30


def test_an_empty_reply_and_one_that_was_not_kept_are_told_apart() -> None:
    value = snapshot(recent={bytes(16): (1, 2, b""), b"x" * 16: (1, 2, None)})
    again = CODEC.decode_snapshot(CODEC.encode_snapshot(value))
    assert [reply for _, _, reply in again.recent.values()] == [b"", None]


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": "7"}, {"seq": 2**63}, {"version": 2**31}, {"version": True}, {"at": 1.5},
        {"journal_offset": None}, {"deleted": 1}, {"state": Deposited(1)}, {"state": None},
        {"recent": {b"short": (1, 2, None)}}, {"recent": {"x" * 16: (1, 2, None)}},
        {"recent": {bytes(16): (1, 2, "r")}}, {"recent": {bytes(16): (1, None, b"r")}},
    ],
)  # fmt: skip
def test_an_envelope_that_would_not_read_back_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EncodeError):
        CODEC.encode_snapshot(snapshot(**changes))


@pytest.mark.parametrize(
    "value", [None, b"", b"\xc3\x01", b"junk", CODEC.encode_event(Deposited(1)),
              CODEC.encode_snapshot(snapshot())[:-1], CODEC.encode_snapshot(snapshot()) + b"x"],
)  # fmt: skip
def test_what_is_no_snapshot_is_a_decode_error(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode_snapshot(value)


def test_a_state_that_today_cannot_read_leaves_the_version_readable() -> None:
    book = Book()
    old = {"type": "record", "name": "Account", "namespace": "bank",
           "fields": [{"name": "balance", "type": "string"}]}  # fmt: skip
    book.add(old, "state", "Account")
    codec = bank_codec(book)
    data = codec.encode_snapshot(snapshot())
    state = codec.encode_state(Account(5))
    other = header(old) + b"\x02x"
    data = data.replace(bytes([len(state) * 2]) + state, bytes([len(other) * 2]) + other)
    assert codec.snapshot_version(data) == 3
    with pytest.raises(DecodeError, match=r"Account\.balance: it was string and is long now"):
        codec.decode_snapshot(data)


def test_an_envelope_of_another_version_of_kstate_is_read_by_its_schema() -> None:
    fields = [*SNAPSHOT_SCHEMA["fields"], {"name": "later", "type": "string"}]
    newer = {**SNAPSHOT_SCHEMA, "fields": fields}
    book = Book()
    book.add(newer, "snapshot", "Snapshot")
    codec = bank_codec(book)
    data = header(newer) + codec.encode_snapshot(snapshot())[10:] + b"\x02x"
    assert codec.decode_snapshot(data) == snapshot()
    assert codec.snapshot_version(data) == 3
