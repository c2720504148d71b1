"""Names of topics, persist ids, and the keys of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kstate.core.topics import (
    MAX_PERSIST_ID_BYTES,
    Topics,
    check_name,
    decode_persist_id,
    encode_persist_id,
    event_key,
    parse_event_key,
)
from kstate.errors import BadPersistId, ConfigError

PERSIST_IDS = st.text(min_size=1, max_size=60).filter(
    lambda text: (
        not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text)
    )
)


def test_the_topics_of_a_processor_bear_its_name_and_the_prefix() -> None:
    assert Topics.of("bank", "team-a.") == (
        "team-a.bank.commands",
        "team-a.bank.journal",
        "team-a.bank.snapshots",
        "team-a.bank.replies",
        "team-a.bank.dead-letters",
        "team-a.bank.schemas",
        "team-a.bank",
    )


@pytest.mark.parametrize("name", ["b", "B", "bank-2_x", "b" * 100])
def test_a_name_is_a_letter_and_up_to_99_letters_digits_dashes_and_underscores(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "2bank", "_bank", "-", "bank.x", "bänk", "b" * 101, "bank\n", "a b", "kstate"]
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a processor"):
        Topics.of(name)


def test_a_prefix_has_up_to_100_characters() -> None:
    assert Topics.of("bank", "p" * 100).group == "p" * 100 + "bank"
    with pytest.raises(ConfigError, match="prefix"):
        Topics.of("bank", "p" * 101)


@pytest.mark.parametrize("prefix", ["a/", "a b", "ä", "a\n"])
def test_a_prefix_that_no_topic_name_may_have_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        Topics.of("bank", prefix)


@given(PERSIST_IDS)
def test_a_persist_id_is_any_text_without_control_characters(persist_id: str) -> None:
    assert decode_persist_id(encode_persist_id(persist_id)) == persist_id


def test_a_persist_id_takes_up_to_512_bytes_not_characters() -> None:
    longest = "ä" * (MAX_PERSIST_ID_BYTES // 2)
    assert decode_persist_id(longest.encode()) == longest
    with pytest.raises(BadPersistId, match="513 bytes"):
        decode_persist_id(longest.encode() + b"a")


@pytest.mark.parametrize("key", [None, b""])
def test_a_record_without_a_key_has_no_persist_id(key: bytes | None) -> None:
    with pytest.raises(BadPersistId, match="no key"):
        decode_persist_id(key)


def test_a_key_that_is_not_utf_8_is_no_persist_id() -> None:
    with pytest.raises(BadPersistId, match="not UTF-8 at byte 1"):
        decode_persist_id(b"a\xff")


@pytest.mark.parametrize("character", ["\0", "\x1f", "\x7f", "\x80", "\x9f", "\n"])
def test_control_characters_are_refused(character: str) -> None:
    with pytest.raises(BadPersistId, match="control characters"):
        encode_persist_id(f"a{character}b")


@pytest.mark.parametrize("character", [" ", "~", "\xa0"])
def test_their_neighbours_are_not(character: str) -> None:
    encode_persist_id(f"a{character}b")


def test_a_lone_surrogate_is_no_persist_id() -> None:
    with pytest.raises(BadPersistId, match="no UTF-8"):
        encode_persist_id("\ud800")


@given(PERSIST_IDS, st.integers(1, 2**62))
def test_an_event_key_tells_persist_id_and_seq(persist_id: str, seq: int) -> None:
    key = persist_id.encode()
    assert parse_event_key(event_key(key, seq)) == (key, seq)


def test_an_event_key_is_read_from_the_right() -> None:
    assert parse_event_key(b"a@1@2") == (b"a@1", 2)


@pytest.mark.parametrize(
    "key", [None, b"", b"a", b"@1", b"a@", b"a@0", b"a@01", b"a@-1", b"a@1.5", b"a@ 1", b"a@\xb2"]
)
def test_any_other_key_is_no_event_key(key: bytes | None) -> None:
    assert parse_event_key(key) is None
