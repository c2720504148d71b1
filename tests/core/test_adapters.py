"""Tags: who may give them, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from core_program import Do, Program, Put, Step, Tally
from core_shard import Bench

from kstate import EventAdapter, Tagged, tagged
from kstate.core.adapters import MAX_TAG_BYTES, TAG_HEADER_BYTES
from kstate.core.messages import Record


def test_tagging_twice_adds_up() -> None:
    assert tagged(tagged("e", "x"), "y", "z") == Tagged("e", ("x", "y", "z"))


def test_an_adapter_leaves_events_alone_by_default() -> None:
    assert EventAdapter().to_journal("e") == "e"


@dataclass(frozen=True)
class Laid:
    """What is stored in the place of a `Put`."""

    n: int


class _By(EventAdapter):
    writes = (Laid,)

    def __init__(self, made: Any) -> None:
        self.made = made

    def to_journal(self, event: Any) -> Any:
        return self.made(event)


def bench(*made: Any) -> Bench:
    class Adapted(Program):
        adapters = tuple(_By(each) for each in made)

    return Bench(processor=Adapted)


def run(bench: Bench, *steps: Step) -> list[Record]:
    """The journal after a command of these steps."""
    bench.run(bench.put(Do(steps)))
    return bench.log.records[bench.topics.journal]


def tags(record: Record) -> list[bytes]:
    return [value for name, value in record.headers if name == "tag"]


def test_tags_of_all_adapters_stand_in_the_headers_each_once_in_order() -> None:
    made = bench(lambda e: tagged(e, "b", "a"), lambda e: tagged(e, "b", "ä"))
    (record,) = run(made, Step("persist", 1))
    assert tags(record) == [b"b", b"a", "ä".encode()]


def test_an_adapter_is_not_asked_about_a_deletion_or_a_note() -> None:
    made = bench(lambda e: tagged(e, "mine"))
    records = run(made, Step("persist", 1), Step("delete"))
    assert [tags(record) for record in records] == [[b"mine"], []]
    noted = run(made, Step("send", 1, "b"))[-1]
    assert tags(noted) == []


def test_the_tags_of_an_event_may_take_max_tag_bytes_and_not_one_more() -> None:
    room = MAX_TAG_BYTES - 2 * TAG_HEADER_BYTES
    one = "ä" * (room // 4)
    rest = "b" * (room - len(one.encode()))
    assert len(run(bench(lambda e: tagged(e, one, rest)), Step("persist", 1))) == 1
    assert run(bench(lambda e: tagged(e, one, rest + "c")), Step("persist", 1)) == []


@pytest.mark.parametrize("tag", ["", None, 7, b"x"])
def test_a_tag_that_is_no_text_fails_the_command(tag: Any) -> None:
    made = bench(lambda e: tagged(e, tag))
    assert run(made, Step("persist", 1)) == []
    assert made.shard.counts.failed == 1


@pytest.mark.parametrize("made", [lambda e: None, lambda e: "text", lambda e: tagged(Tally(), "x")])
def test_an_adapter_that_returns_something_else_fails_the_command(made: Any) -> None:
    failing = bench(made)
    assert run(failing, Step("persist", 1)) == []
    assert failing.shard.counts.failed == 1


def test_an_adapter_may_put_another_event_in_the_place_of_one() -> None:
    (record,) = run(bench(lambda e: tagged(Laid(e.n), "x")), Step("persist", 1))
    assert tags(record) == [b"x"]
    assert dict(record.headers)["type"] == b"Laid"


def test_the_next_adapter_sees_the_event_without_its_tags() -> None:
    seen: list[Any] = []
    run(bench(lambda e: tagged(e, "x"), lambda e: seen.append(e) or e), Step("persist", 1))
    assert seen == [Put(1)]


def test_what_a_failing_adapter_leaves_is_the_state_from_before() -> None:
    def raises(event: Any) -> Any:
        raise RuntimeError("no adapter today")

    failing = bench(raises)
    assert run(failing, Step("persist", 1)) == []
    assert failing.entity(failing.shard, b"a").state == Tally()
