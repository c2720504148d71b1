"""What `kstate.log.port` promises while a log is away.

A suite apart from `LogContract`: a log that others use, too, cannot be taken away from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from kstate.errors import KStateError, LogUnavailable, OutcomeUnknown, TransactionAborted
from kstate.log.port import Committed, Sender
from kstate.testing.log_hooks import LogHooks
from kstate.testing.log_world import Seat, World, write

MOMENT_S = 0.5
SLACK_S = 3.0
"""How late a machine with other work may be."""


class AwayPromises(LogHooks):
    """Who waits how long, what is raised, and how it goes on."""

    def test_a_flush_raises_for_what_was_not_stored_in_time_and_the_next_one_goes_on(
        self, world: World
    ) -> None:
        topic, producer = world.topic(), world.producer()
        late, other = Sender(), Sender()
        producer.send(write(topic, 0, b"before"), late)
        producer.flush(self.patience_s, late)
        with self.away(world.log):
            producer.send(write(topic, 0, b"late"), late)
            began = time.monotonic()
            with pytest.raises(LogUnavailable):
                producer.flush(MOMENT_S, late)
            assert time.monotonic() - began < MOMENT_S + SLACK_S
            producer.flush(MOMENT_S, other)  # nothing is under way for this one
        producer.send(write(topic, 0, b"after"), other)
        producer.flush(self.patience_s, other)
        assert world.values(topic) in (
            [b"before", b"after"],
            [b"before", b"late", b"after"],  # it was given up by its sender alone
        )

    def test_a_member_that_polls_is_told_that_the_log_is_away_and_goes_on_after_it(
        self, world: World
    ) -> None:
        topic = world.topic()
        seat = world.owner(world.group(), topic)
        seat.member.start(0, 0)
        with self.away(world.log):
            world.until(lambda: not _polls(seat), "the member was told")
        world.produce([write(topic, 0, b"after")])

        def received() -> bool:
            known = len(seat.history)
            if _polls(seat):
                for assignment in seat.history[known:]:  # it may have lost its seat meanwhile
                    seat.member.start(assignment.partition, 0)
            return bool(seat.records)

        world.until(received, "the record was delivered")
        assert seat.values() == [b"after"]

    def test_a_commit_while_the_log_is_away_did_nothing_or_its_outcome_is_unknown(
        self, world: World
    ) -> None:
        group, commands, journal = world.group(), world.topic(), world.topic()
        seat = world.owner(group, commands)
        seat.member.commit([write(journal, 0, b"1")], {0: Committed(1, "")})
        with self.away(world.log), pytest.raises((TransactionAborted, OutcomeUnknown)) as told:
            seat.member.commit([write(journal, 0, b"2")], {0: Committed(2, "")})
        if told.type is OutcomeUnknown:
            seat.member.close()
            seat = world.owner(group, commands)
        found: list[Committed | None] = []

        def stable() -> bool:
            try:
                found.append(seat.member.committed(0))
            except LogUnavailable:
                seat.poll()
            return bool(found)

        world.until(stable, "the progress was stable")
        expected = {Committed(1, ""): [b"1"], Committed(2, ""): [b"1", b"2"]}
        assert found[0] is not None
        assert world.values(journal) == expected[found[0]]
        assert found[0].offset == 1 or told.type is OutcomeUnknown
        seat.member.commit([write(journal, 0, b"3")], {0: Committed(3, "")})
        assert world.values(journal) == [*expected[found[0]], b"3"]

    def test_a_reader_reads_on_when_the_log_is_back(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"before")])
        reader = world.reader()
        reader.assign(topic, {0: 0})
        world.drain(reader, {0: world.log.ends(topic)[0].end})
        values: list[bytes | None] = []

        def read() -> bool:
            try:
                values.extend(record.value for record in reader.poll(10, MOMENT_S).records)
            except LogUnavailable:
                return False
            return bool(values)

        with self.away(world.log):
            assert not read()
        world.produce([write(topic, 0, b"after")])
        world.until(read, "the record was read")
        assert values == [b"after"]

    def test_the_identity_is_known_without_a_question_once_topics_were_told(
        self, world: World
    ) -> None:
        topic = world.topic()
        world.log.topics([topic])
        with self.away(world.log):
            began = time.monotonic()
            told = world.log.identity()
            assert time.monotonic() - began < MOMENT_S
        assert told == world.another_log().identity()

    def test_a_question_is_answered_or_the_log_is_told_to_be_away(self, world: World) -> None:
        group, topic = world.group(), world.topic()
        world.owner(group, topic).member.commit([], {0: Committed(1, "")})
        log = world.log
        questions: Mapping[str, Callable[[], object]] = {
            "topics": lambda: log.topics([topic]),
            "ends": lambda: log.ends(topic),
            "offsets_at": lambda: log.offsets_at(topic, 0),
            "progress": lambda: log.progress(group, topic),
        }
        before = {name: ask() for name, ask in questions.items()}
        with self.away(log), ThreadPoolExecutor(len(questions)) as pool:
            asked = {name: pool.submit(_answer, ask) for name, ask in questions.items()}
            told = {name: each.result() for name, each in asked.items()}
        for name, answer in told.items():
            assert isinstance(answer, LogUnavailable) or answer == before[name], name
        for name, ask in questions.items():
            world.until(lambda ask=ask, name=name: _answer(ask) == before[name], name)  # type: ignore[misc]


def _polls(seat: Seat) -> bool:
    """Polls once; whether the log was there."""
    try:
        seat.poll()
    except LogUnavailable:
        return False
    return True


def _answer(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except KStateError as error:
        return error
