"""How the owner of a partition finds the dead letters of an entity: in slices, up to the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kstate.core.messages import Headers, Write
from kstate.errors import LogUnavailable
from kstate.log.port import Committed, TopicSpec
from kstate.runtime.dead_letters import SLICE_S, DeadLetters
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_log import SimulatedLog

TOPIC = "letters"


class Scene:
    """A partition with dead letters, and who reads it."""

    def __init__(self) -> None:
        self.reads = 0
        self.looks: Iterator[float] = iter(lambda: 0.0, None)
        self.cluster = Cluster()
        self.log = SimulatedLog(self.cluster, self._step)
        self.log.create_topics(
            [TopicSpec(TOPIC, 2, "compact,delete"), TopicSpec("commands", 2, "delete")]
        )
        self.letters = DeadLetters(self.log, TOPIC, 1, lambda: next(self.looks))

    def _step(self, log: SimulatedLog, step: str) -> None:
        self.reads += step == "read"

    def write(self, place: bytes, whose: bytes | None) -> None:
        """A letter, or a tombstone when it is nobody's."""
        producer = self.log.producer()
        producer.send(letter(place, whose))
        producer.close()


def letter(place: bytes, whose: bytes | None) -> Write:
    headers: Headers = [("source", place), ("persist-id", whose)] if whose else []
    return Write(TOPIC, 1, place, b"v" if whose else None, headers, 0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_those_of_the_persist_id_that_have_no_tombstone_are_found(scene: Scene) -> None:
    for place, whose in ((b"1:0", b"a"), (b"1:1", b"b"), (b"1:2", b"a"), (b"1:0", None)):
        scene.write(place, whose)
    assert scene.letters.of(b"a") == [b"1:2"]
    assert scene.letters.of(b"b") == [b"1:1"]
    assert scene.letters.of(b"c") == []


def test_a_partition_without_any_is_not_read(scene: Scene) -> None:
    assert scene.letters.of(b"a") == []
    assert scene.reads == 0


def test_what_takes_longer_than_a_slice_is_gone_on_with(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.dead_letters.CHUNK", 2)
    for number in range(7):
        scene.write(b"1:%d" % number, b"a")
    scene.looks = iter(number * SLICE_S * 0.6 for number in range(100))  # two chunks a slice
    with pytest.raises(LogUnavailable, match="up to 2 of 7 of letters:1"):
        scene.letters.of(b"a")
    tries = 1
    while tries < 10:
        try:
            found = scene.letters.of(b"a")
        except LogUnavailable:
            tries += 1
        else:
            break
    assert found == [b"1:%d" % number for number in range(7)]
    assert tries == 3
    assert scene.reads == 4


def test_an_open_transaction_is_not_waited_for_but_told(scene: Scene) -> None:
    scene.write(b"1:0", b"a")
    member = scene.log.join("group", "commands", "other")
    member.poll(1, 0.0)
    member.write_ahead([letter(b"1:1", b"a")])
    with pytest.raises(LogUnavailable, match="a transaction is open from 1 on in letters:1"):
        scene.letters.of(b"a")
    member.commit([], {1: Committed(0, "")})
    assert scene.letters.of(b"a") == [b"1:0", b"1:1"]


def test_another_persist_id_begins_at_the_start(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.dead_letters.CHUNK", 1)
    scene.write(b"1:0", b"b")
    scene.write(b"1:1", b"a")
    scene.looks = iter((0.0, 0.0, 2 * SLICE_S, *[0.0] * 9))
    with pytest.raises(LogUnavailable):
        scene.letters.of(b"a")
    assert scene.letters.of(b"b") == [b"1:0"]
