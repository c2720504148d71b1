"""A member whose seat is taken by another one under its name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from kstate.errors import Fenced, NameTaken
from kstate.log.kafka_member import TWIN_TIMES
from kstate.log.port import Member, TopicSpec
from kstate.wiring import open_log

PATIENCE_S = 30.0
HEARTBEATS_S = 4.0  # two of them, after which the consumer knows, and its member does not


class Seat:
    """A member's seat in a group of its own, and whoever takes it under the same name."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.log = open_log(f"kafka://{bootstrap}")
        self.name = f"fenced-{uuid.uuid4().hex[:8]}"
        self.log.create_topics([TopicSpec(self.name, 1, "delete")])

    def join(self) -> Member:
        member = self.log.join(self.name, self.name, "seat")
        deadline = time.monotonic() + PATIENCE_S
        while not member.poll(1, 0.1).assigned:
            assert time.monotonic() < deadline, "the member got no partition"
        return member

    def take(self) -> None:
        """Another consumer joins under the same name, and is gone when its heartbeats told."""
        twin = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.name,
                "group.instance.id": "seat",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 1500,
            }
        )
        twin.subscribe([self.name])
        deadline = time.monotonic() + PATIENCE_S
        while not twin.assignment() and time.monotonic() < deadline:
            twin.poll(0.1)
        assert twin.assignment()
        known = time.monotonic() + HEARTBEATS_S
        while time.monotonic() < known:
            twin.poll(0.1)
        twin.close()


@pytest.fixture
def seat(bootstrap: str) -> Iterator[Seat]:
    made = Seat(bootstrap)
    yield made
    made.log.close()


def lose(member: Member) -> None:
    """Polls until the member learns that its seat was taken; raises what it says then."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        member.poll(1, 0.1)


def test_a_member_that_was_fenced_unnoticed_closes_in_peace(seat: Seat) -> None:
    member = seat.join()
    seat.take()
    member.close()


def test_a_seat_that_is_taken_twice_is_lost_and_can_be_taken_anew(seat: Seat) -> None:
    # coordinators that die with the answer to a join make a worker its own rival
    for _ in range(TWIN_TIMES - 1):
        member = seat.join()
        seat.take()
        with pytest.raises(Fenced, match="was taken under the same name"):
            lose(member)
        member.close()
    seat.join().close()


def test_a_seat_that_is_taken_three_times_is_that_of_a_worker_with_the_same_name(
    seat: Seat,
) -> None:
    for _ in range(TWIN_TIMES - 1):
        member = seat.join()
        seat.take()
        with pytest.raises(Fenced):
            lose(member)
        member.close()
    again = seat.join()
    seat.take()
    with pytest.raises(NameTaken, match="another worker runs under the name"):
        lose(again)
    again.close()
