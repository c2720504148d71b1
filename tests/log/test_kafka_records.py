"""Messages of the client as records."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from kstate.core.messages import UNREADABLE_HEADERS, Record
from kstate.log.kafka_records import Records


class Unreadable(Message):  # type: ignore[misc]  # the client has no types
    """As confluent-kafka 2.16 has it: it raises once, and then gives a list with a hole in it."""

    asked = False

    def headers(self) -> Any:
        given = super().headers()
        if given is None:
            assert not self.asked, "the list with the hole was asked for"
            self.asked = True
            raise SystemError("returned a result with an exception set")
        return given


def message(offset: int, kind: type[Message] = Message, headers: Any = None) -> Message:
    return kind(
        topic="t",
        partition=3,
        offset=offset,
        key=b"k",
        value=b"v",
        headers=headers,
        timestamp=(1, 1000),
    )


def test_a_record_has_what_the_message_has() -> None:
    headers = [("a", b"1"), ("a", b"")]
    (record,) = Records([message(7, headers=headers)])
    assert record == Record(3, 7, b"k", b"v", headers, 1000)


def test_any_part_can_be_asked_for_and_more_than_once() -> None:
    records = Records([message(offset) for offset in range(5)])
    assert len(records) == 5
    assert [each.offset for each in records] == [each.offset for each in records[:]]
    assert [each.offset for each in records[1:3]] == [1, 2]
    assert records[-1].offset == 4


def test_headers_with_a_name_that_is_no_text_are_told_and_their_neighbours_are_not_hurt() -> None:
    records = Records([message(0), message(1, Unreadable), message(2, headers=[("a", b"1")])])
    for _ in range(2):
        assert [each.headers for each in records] == [[], UNREADABLE_HEADERS, [("a", b"1")]]
