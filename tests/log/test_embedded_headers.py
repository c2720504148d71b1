"""Headers as the embedded log stores them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kstate.core.messages import Write
from kstate.errors import EncodeError, RecordTooLarge
from kstate.log.embedded_records import decode_headers, encode_headers, encode_writes

headers = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), max_size=8)


@given(headers)
def test_headers_read_back_as_they_were(value: list[tuple[str, bytes]]) -> None:
    assert decode_headers(encode_headers(value)) == value


@given(headers, headers)
def test_different_headers_have_different_bytes(
    one: list[tuple[str, bytes]], other: list[tuple[str, bytes]]
) -> None:
    assert (encode_headers(one) == encode_headers(other)) == (one == other)


def test_a_name_that_is_no_unicode_text_is_refused() -> None:
    with pytest.raises(EncodeError):
        encode_headers([("\ud800", b"v")])


def test_the_limit_counts_keys_values_and_headers_and_nothing_else() -> None:
    write = Write("t", 0, b"k" * 10, b"v" * 20, [("ä", b"12345678"), ("n", b"")], 0)
    assert len(encode_writes([write], limit=41)) == 1
    with pytest.raises(RecordTooLarge) as refused:
        encode_writes([write], limit=40)
    assert refused.value.size == 41
