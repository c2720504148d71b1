"""What a command's headers say."""

from __future__ import annotations

import pytest

from kstate.core.envelope import (
    MAX_COMMAND_ID_BYTES,
    MAX_TRACEPARENT_BYTES,
    Envelope,
    derived_command_id,
    hash_command_id,
    number_of,
)
from kstate.core.messages import Headers, Record
from kstate.errors import BadCommand


def envelope(*headers: tuple[str, bytes]) -> Envelope:
    given: Headers = list(headers)
    return Envelope(Record(3, 42, b"a", b"", given, 0))


def test_a_command_without_an_id_is_known_by_its_place() -> None:
    read = envelope()
    assert read.command_id == b"3:42"
    assert not read.given_id


def test_an_empty_command_id_is_none() -> None:
    read = envelope(("command-id", b""))
    assert read.command_id == b"3:42"
    assert not read.given_id


def test_of_a_repeated_header_the_last_one_counts() -> None:
    read = envelope(
        ("command-id", b"1"), ("command-id", b"2"), ("reply-to", b"x"), ("reply-to", b"y")
    )
    assert read.command_id == b"2"
    assert read.given_id
    assert read.reply_to == b"y"


def test_an_empty_reply_to_asks_for_nothing() -> None:
    assert envelope(("reply-to", b"")).reply_to is None


def test_a_command_id_of_256_bytes_is_taken_and_one_of_257_refused() -> None:
    envelope(("command-id", b"x" * MAX_COMMAND_ID_BYTES)).identify()
    too_long = envelope(("command-id", b"x" * (MAX_COMMAND_ID_BYTES + 1)))
    with pytest.raises(BadCommand, match="257 bytes") as refused:
        too_long.identify()
    assert refused.value.code == "bad-header"
    assert len(too_long.command_id) == MAX_COMMAND_ID_BYTES  # short enough to be replied to


def test_a_command_id_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadCommand, match="not UTF-8"):
        envelope(("command-id", b"\xff")).identify()


@pytest.mark.parametrize(("text", "number"), [(b"0", 0), (b"7", 7), (b"9" * 18, 10**18 - 1)])
def test_expected_seq_is_a_whole_number(text: bytes, number: int) -> None:
    assert envelope(("expected-seq", text)).expected_seq() == number


@pytest.mark.parametrize("text", [b"", b"-1", b"1.0", b"one", b" 1", b"9" * 19, b"\xc2\xb2"])
def test_any_other_expected_seq_is_refused_when_it_is_asked_for(text: bytes) -> None:
    read = envelope(("expected-seq", text))
    with pytest.raises(BadCommand, match="not a whole number"):
        read.expected_seq()


def test_no_expected_seq_expects_nothing() -> None:
    assert envelope().expected is None


@pytest.mark.parametrize(("text", "number"), [(b"0", 0), (b"12", 12), (b"x", -1), (b"-1", -1)])
def test_a_header_with_a_number_is_a_number_or_minus_one(text: bytes, number: int) -> None:
    assert number_of(text) == number


def test_without_a_reply_partition_the_command_id_decides() -> None:
    assert envelope().reply_partition is None


def test_a_traceparent_is_kept_up_to_256_bytes() -> None:
    longest = b"t" * MAX_TRACEPARENT_BYTES
    assert envelope(("traceparent", longest)).traceparent == longest
    assert envelope(("traceparent", longest + b"t")).traceparent is None


def test_content_type_and_type_are_texts_whatever_their_bytes() -> None:
    read = envelope(("content-type", b"application/json"), ("type", b"\xffx"))
    assert read.content_type == "application/json"
    assert read.type_name == "\ufffdx"


def test_a_derived_id_depends_on_processor_persist_id_command_and_position() -> None:
    ids = {
        derived_command_id("bank/a", b"1", 0),
        derived_command_id("bank/a", b"1", 1),
        derived_command_id("bank/a", b"2", 0),
        derived_command_id("bank/b", b"1", 0),
        derived_command_id("shop/a", b"1", 0),
    }
    assert len(ids) == 5


def test_derived_ids_differ_however_persist_id_and_command_id_are_cut() -> None:
    ids = {
        derived_command_id("bank/a", b"b/1", 0),
        derived_command_id("bank/a/b", b"1", 0),
        derived_command_id("bank/a", b"b\x001", 0),
        derived_command_id("bank/a", b"1#0", 0),
        derived_command_id("bank/a", b"1", 0),
        derived_command_id("bank/", b"a/b/1", 0),
    }
    assert len(ids) == 6


def test_a_derived_id_never_changes() -> None:
    assert derived_command_id("bank/a", b"1", 0) == b"667cadadb841ff044b75ecccf3ddff88"


def test_a_hash_of_a_command_id_takes_16_bytes() -> None:
    ids = (b"", b"x" * 256, b"f" * 32, b"F" * 32, b"x" * 32)
    assert {len(hash_command_id(each)) for each in ids} == {16}


def test_of_the_digits_of_a_uuid_the_hash_is_what_they_write() -> None:
    assert hash_command_id(b"f95f19641c19d6d517bd0608cfe0b0ac").hex() == (
        "f95f19641c19d6d517bd0608cfe0b0ac"
    )


def test_ids_that_differ_in_case_alone_have_different_hashes() -> None:
    assert hash_command_id(b"ab" * 16) != hash_command_id(b"aB" * 16) != hash_command_id(b"AB" * 16)


def test_a_hash_never_changes() -> None:
    assert hash_command_id(b"order-7").hex() == "bdbeeb7686a17a2b05e0bc0ea6c91696"
