"""Freezing schemas, checking today's code against them, and publishing them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from codec_samples import Deposit, Deposited, bank_codec

from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book, load
from kstate.codec.derive import Scale
from kstate.codec.port import SchemaRecord
from kstate.codec.schemas import check, check_book, freeze, frozen
from kstate.codec.schemas import load as load_all
from kstate.codec.writers import fingerprint
from kstate.core.messages import Command
from kstate.errors import SchemaError


def event_class(body: Callable[[], type]) -> AvroCodec:
    """A codec whose only event is the class that ``body`` defines."""
    return bank_codec(commands={Deposit: int}, folds=(body(),))


def v1() -> type:
    @dataclass(frozen=True)
    class Event:
        amount: int

    return Event


def v2() -> type:
    @dataclass(frozen=True)
    class Event:
        amount: int
        note: str = ""

    return Event


def v4() -> type:
    @dataclass(frozen=True)
    class Event:
        amount: int
        note: str = ""
        by: str = ""

    return Event


def v3() -> type:
    @dataclass(frozen=True)
    class Event:
        amount: str

    return Event


def renamed() -> type:
    @dataclass(frozen=True)
    class Happening:
        avro_aliases: ClassVar[tuple[str, ...]] = ("Event",)
        amount: int

    return Happening


def verdicts(codec: AvroCodec, directory: Path) -> dict[str, str]:
    return {finding.type_name: finding.verdict for finding in check(codec, directory)}


def sentence(codec: AvroCodec, directory: Path, type_name: str) -> str:
    return next(f.sentence for f in check(codec, directory) if f.type_name == type_name)


def test_freezing_writes_a_file_per_type(tmp_path: Path) -> None:
    outcome = freeze(event_class(v1), tmp_path)
    names = ["Account.avsc", "Deposit.avsc", "Deposit.reply.avsc", "Event.avsc"]
    assert sorted(path.name for path in (tmp_path / "bank").iterdir()) == names
    assert {each.outcome for each in outcome} == {"written"}


def test_a_frozen_file_is_readable_stable_and_ends_with_a_newline(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    text = (tmp_path / "bank" / "Event.avsc").read_text("utf-8")
    assert text.endswith("}\n")
    assert json.loads(text)["name"] == "Event"
    assert '\n  "name": "Event",\n' in text


def test_freezing_again_changes_nothing(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    assert {each.outcome for each in freeze(event_class(v1), tmp_path)} == {"unchanged"}


def test_a_compatible_change_keeps_the_older_version_beside_it(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    old = json.loads((tmp_path / "bank" / "Event.avsc").read_text("utf-8"))
    outcome = {each.type_name: each.outcome for each in freeze(event_class(v2), tmp_path)}
    assert outcome["Event"] == "changed"
    kept = tmp_path / "bank" / f"Event.1.{fingerprint(old).hex()}.avsc"
    assert json.loads(kept.read_text("utf-8")) == old
    versions = {each.path.name: each.newest for each in frozen(tmp_path, "bank")}
    assert versions["Event.avsc"]
    assert not versions[kept.name]


def test_versions_are_numbered_in_the_order_in_which_they_were_frozen(tmp_path: Path) -> None:
    for version in (v1, v2, v4):
        freeze(event_class(version), tmp_path)
    found = [each for each in frozen(tmp_path, "bank") if each.type_name == "Event"]
    assert [(each.number, each.newest, len(each.schema["fields"])) for each in found] == [
        (1, False, 1), (2, False, 2), (3, True, 3),
    ]  # fmt: skip


def test_a_version_that_comes_back_is_not_kept_twice(tmp_path: Path) -> None:
    for version in (v1, v2, v1):
        freeze(event_class(version), tmp_path)
    files = [each for each in frozen(tmp_path, "bank") if each.type_name == "Event"]
    assert len({fingerprint(each.schema) for each in files}) == len(files) == 2


def test_an_incompatible_change_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    before = {path: path.read_text() for path in (tmp_path / "bank").iterdir()}
    with pytest.raises(SchemaError, match=r"Event\.amount: it was long and is string now"):
        freeze(event_class(v3), tmp_path)
    assert {path: path.read_text() for path in (tmp_path / "bank").iterdir()} == before


def test_a_check_says_new_before_and_ok_after_freezing(tmp_path: Path) -> None:
    codec = event_class(v1)
    assert set(verdicts(codec, tmp_path).values()) == {"new"}
    freeze(codec, tmp_path)
    assert set(verdicts(codec, tmp_path).values()) == {"ok"}


def test_a_check_names_the_field_and_the_cure_of_an_incompatible_change(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    assert verdicts(event_class(v3), tmp_path)["Event"] == "incompatible"
    words = sentence(event_class(v3), tmp_path, "Event")
    assert "Event.amount: it was long and is string now" in words
    assert "keep the old type and add a field of another name" in words


def test_a_check_covers_every_version_ever_frozen(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    freeze(event_class(v2), tmp_path)

    def v4() -> type:
        @dataclass(frozen=True)
        class Event:
            note: str

        return Event

    assert "Event.note: it is not in the stored data" in sentence(
        event_class(v4), tmp_path, "Event"
    )


def test_a_check_asks_to_freeze_a_compatible_change(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    assert verdicts(event_class(v2), tmp_path)["Event"] == "ok"
    assert "freeze it" in sentence(event_class(v2), tmp_path, "Event")


def test_a_type_that_left_the_code_is_missing(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    gone = bank_codec(commands={Deposit: int}, folds=(Deposited,))
    assert verdicts(gone, tmp_path)["Event"] == "missing"
    assert "bring it back" in sentence(gone, tmp_path, "Event")


def test_a_type_that_was_renamed_with_an_alias_is_not_missing(tmp_path: Path) -> None:
    freeze(event_class(v1), tmp_path)
    assert verdicts(event_class(renamed), tmp_path) == {
        "Account": "ok", "Deposit": "ok", "Deposit.reply": "ok", "Event": "ok", "Happening": "new",
    }  # fmt: skip


def test_a_changed_reply_is_told_and_no_fault(tmp_path: Path) -> None:
    freeze(bank_codec(commands={Deposit: int}), tmp_path)
    findings = check(bank_codec(commands={Deposit: str}), tmp_path)
    (found,) = [each for each in findings if each.type_name == "Deposit.reply"]
    assert found.verdict == "ok"
    assert "Deposit.reply has changed" in found.sentence


@pytest.mark.parametrize("name", ["Event.txt.avsc", "1.avsc", "Event.XYZ.avsc"])
def test_a_file_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / name).write_text('"long"')
    with pytest.raises(SchemaError, match="is not named"):
        check(bank_codec(), tmp_path)


@pytest.mark.parametrize("text", ["", "{", "{}", '"nothing"', '{"type": "record"}', "[" * 5000])
def test_a_file_that_holds_no_schema_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "Event.avsc").write_text(text)
    with pytest.raises(SchemaError, match="holds no Avro schema"):
        check(bank_codec(), tmp_path)


# -- what a fingerprint does not cover ----------------------------------------------------------


def priced(scale: int, precision: int = 38) -> Callable[[], type]:
    def body() -> type:
        price = Annotated[Decimal, Scale(scale, precision)]
        return make_dataclass("Event", [("price", price)], frozen=True)

    return body


@pytest.mark.parametrize("other", [priced(4), priced(2, 18)])
def test_another_scale_or_precision_under_one_fingerprint_is_refused(
    tmp_path: Path, other: Callable[[], type]
) -> None:
    freeze(event_class(priced(2)), tmp_path)
    before = {each.path: each.schema for each in frozen(tmp_path, "bank")}
    assert verdicts(event_class(other), tmp_path)["Event"] == "incompatible"
    with pytest.raises(SchemaError):
        freeze(event_class(other), tmp_path)
    assert {each.path: each.schema for each in frozen(tmp_path, "bank")} == before


def test_the_book_keeps_the_first_meaning_of_a_fingerprint() -> None:
    book = Book()
    first = event_class(priced(2)).schemas()
    second = event_class(priced(4)).schemas()
    for entry in first:
        book.learn(entry.record())
    event, other = (next(e for e in each if e.type_name == "Event") for each in (first, second))
    assert event.fingerprint == other.fingerprint
    with pytest.raises(SchemaError, match="Event has the fingerprint of a schema that was used"):
        book.learn(other.record())
    known = book.get(event.fingerprint)
    assert known is not None
    assert known.schema == event.schema


def test_a_codec_refuses_a_book_that_knows_another_meaning() -> None:
    book = Book()
    for entry in event_class(priced(2)).schemas():
        book.learn(entry.record())
    with pytest.raises(SchemaError):
        bank_codec(book, commands={Deposit: int}, folds=(priced(4)(),))


def test_replies_that_differ_only_in_a_logical_type_live_side_by_side() -> None:
    @dataclass(frozen=True)
    class Count(Command[int]):
        pass

    @dataclass(frozen=True)
    class When(Command[datetime.datetime]):
        pass

    @dataclass(frozen=True)
    class Until(Command[datetime.datetime]):
        pass

    now = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    codec = bank_codec(commands={Count: int, When: datetime.datetime, Until: datetime.datetime})
    for cls, reply in ((Count, 5), (When, now), (Until, now)):
        assert codec.decode_reply(cls, codec.encode_reply(cls, reply)) == reply
    assert codec.encode_reply(When, now) != codec.encode_reply(Until, now)


# -- publishing ---------------------------------------------------------------------------------


def publish(codec: AvroCodec) -> list[SchemaRecord]:
    return [entry.record() for entry in codec.schemas()]


def test_published_schemas_are_read_back_by_a_book() -> None:
    records = publish(bank_codec())
    book = Book()
    assert load_all([(r.key, r.value, r.headers) for r in records], book) == len(records)
    assert {entry.fingerprint.hex().encode() for entry in book} == {r.key for r in records}


def test_a_record_is_keyed_by_the_fingerprint_and_tells_kind_and_type() -> None:
    record = next(r for r in publish(bank_codec()) if dict(r.headers)["type"] == b"Deposited")
    schema = json.loads(record.value)
    assert record.key == fingerprint(schema).hex().encode()
    assert dict(record.headers) == {"kind": b"event", "type": b"Deposited"}
    assert load(record).schema == schema


def test_the_reserved_types_are_published_and_not_frozen(tmp_path: Path) -> None:
    codec = bank_codec()
    published = {dict(r.headers)["type"].decode() for r in publish(codec)}
    assert {"Noted", "Deleted", "GetState", "Snapshot"} <= published
    freeze(codec, tmp_path)
    assert not {each.type_name for each in frozen(tmp_path, "bank")} & {"Noted", "Snapshot"}


def test_other_records_of_the_topic_are_passed_over() -> None:
    book = Book()
    assert load_all([(b"meta", b"{}", []), (b"0" * 16, None, []), (None, b"{}", [])], book) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"0" * 16, b'"long"'), (b"0" * 16, b"{"), (b"0" * 16, b'{"type": "nothing"}'),
     (b"0" * 16, b"\xff")],
)  # fmt: skip
def test_a_record_whose_key_is_not_its_fingerprint_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(SchemaError):
        Book().learn(SchemaRecord(key, value, []))


def test_unpublished_is_what_the_topic_did_not_tell() -> None:
    codec = bank_codec()
    records = publish(codec)
    assert {r.key for r in codec.book.unpublished()} == {r.key for r in records}
    codec.book.learn(records[0])
    assert {r.key for r in codec.book.unpublished()} == {r.key for r in records[1:]}
    for record in records:
        codec.book.learn(record)
    assert codec.book.unpublished() == []


def test_a_worker_finds_a_published_event_that_its_code_lost() -> None:
    book = Book()
    for entry in event_class(v1).schemas():
        book.learn(entry.record())
    codec = bank_codec(book, commands={Deposit: int}, folds=(Deposited,))
    found = {finding.type_name: finding.verdict for finding in check_book(codec, book)}
    assert found["Event"] == "missing"
    assert found["Deposited"] == "ok"


def test_a_worker_finds_a_published_event_that_its_code_cannot_read() -> None:
    book = Book()
    for entry in event_class(v1).schemas():
        book.learn(entry.record())
    codec = bank_codec(book, commands={Deposit: int}, folds=(v3(),))
    found: dict[str, Any] = {finding.type_name: finding for finding in check_book(codec, book)}
    assert found["Event"].verdict == "incompatible"
