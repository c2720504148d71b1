"""A processor some of whose topics are gone: it is not taken for a new one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from counter import Add, AddAndFail, Counter
from runtime_tools import add, total
from world import World

from kstate.core.messages import Write
from kstate.errors import LogError, LogUnavailable, TopicError
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import TopicInfo, TopicSpec
from kstate.runtime.schema_topic import META_KEY, SchemaTopic
from kstate.runtime.startup import meta_of, prepare_schemas, prepare_topics
from kstate.runtime.topic_check import survey, topic_specs

NEEDED = ("commands", "journal", "snapshots", "schemas")
KINDS = ("commands", "journal", "snapshots", "replies", "dead_letters", "schemas")


@contextmanager
def opened(world: World) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog.from_url(world.url)
    try:
        yield log
    finally:
        log.close()


def named(world: World, kinds: Iterable[str]) -> list[str]:
    return [getattr(world.topics(Counter), kind) for kind in kinds]


def delete(world: World, *kinds: str) -> None:
    with opened(world) as log:
        for name in named(world, kinds):
            log.delete_topic(name)


def create(world: World, *kinds: str) -> None:
    wanted = named(world, kinds)
    with opened(world) as log:
        log.create_topics(s for s in topic_specs(world.topics(Counter), 1) if s.name in wanted)


def there(world: World) -> set[str]:
    with opened(world) as log:
        return set(log.topics(world.topics(Counter)[:6]))


@pytest.fixture
def worked(world: World) -> World:
    """A world whose processor has three events, and is stopped."""
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    return world


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", NEEDED)
def test_a_topic_that_is_gone_is_named_with_the_cure_and_not_created(
    worked: World, which: str
) -> None:
    delete(worked, which)
    (topic,) = named(worked, [which])
    with pytest.raises(TopicError, match=f"^{topic} is missing, but .*: restore it, or .*anew: "):
        worked.run(Counter, partitions=1)
    assert topic not in there(worked)


def test_a_processor_whose_history_is_gone_with_its_schemas_is_no_new_one(worked: World) -> None:
    gone = ("journal", "snapshots", "schemas")
    delete(worked, *gone)
    with pytest.raises(TopicError, match=r"commands of .* were processed") as refused:
        worked.run(Counter, partitions=1)
    assert all(f"{name} is missing" in str(refused.value) for name in named(worked, gone))
    assert not there(worked) & set(named(worked, gone))


@pytest.mark.parametrize("left", ["journal", "snapshots", "commands"])
def test_one_topic_with_something_in_it_is_enough(worked: World, left: str) -> None:
    delete(worked, *(kind for kind in KINDS if kind != left))
    with pytest.raises(TopicError, match="is missing, but "):
        worked.run(Counter, partitions=1)
    assert there(worked) == set(named(worked, [left]))


def test_dead_letters_are_enough(world: World) -> None:
    world.run(Counter, partitions=1)
    world.cast(Counter, "a", AddAndFail(1))
    world.settled(Counter)
    world.stop()
    delete(world, *(kind for kind in KINDS if kind != "dead_letters"))
    create(world, *NEEDED)
    (letters,) = named(world, ["dead_letters"])
    with pytest.raises(TopicError, match=f"has no meta record, but {letters} has had records"):
        world.run(Counter, partitions=1)


def test_schemas_tell_that_a_processor_began_that_has_done_nothing_yet(world: World) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    delete(world, "journal")
    with pytest.raises(TopicError, match=r"journal is missing, but .*schemas tells when it began"):
        world.run(Counter, partitions=1)


def test_schemas_that_were_created_anew_are_refused(worked: World) -> None:
    delete(worked, "schemas")
    create(worked, "schemas")
    (schemas,) = named(worked, ["schemas"])
    told = f"^{schemas} has no meta record, but .* has had records: restore it, or"
    with pytest.raises(TopicError, match=told):
        worked.run(Counter, partitions=1)
    assert worked.read(schemas) == []


def test_a_meta_record_that_an_administrator_wrote_lets_the_processor_go_on(worked: World) -> None:
    delete(worked, "schemas")
    create(worked, "schemas")
    topics = worked.topics(Counter)
    with opened(worked) as log:
        meta = json.dumps(meta_of(log, topics, 1)).encode()
    worked.produce(Counter, meta, key=META_KEY, partition=0, topic=topics.schemas)
    worked.run(Counter, partitions=1)
    total(worked, 3)


# -- what is new -----------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [(), ("replies",)])
def test_a_processor_of_which_nothing_is_left_begins_anew(
    worked: World, left: tuple[str, ...]
) -> None:
    delete(worked, *(kind for kind in KINDS if kind not in left))
    worked.run(Counter, partitions=1)
    assert worked.call(Counter, "id-0", Add(1)) == 1


@pytest.mark.parametrize("others", [(), KINDS[1:]])
def test_commands_that_were_sent_before_the_first_worker_are_run(
    world: World, others: tuple[str, ...]
) -> None:
    create(world, "commands", *others)
    add_without_worker(world, 3)
    world.run(Counter, partitions=1)
    world.settled(Counter)
    assert len(world.journal(Counter)) == 3


def add_without_worker(world: World, count: int) -> None:
    for _ in range(count):
        world.produce(
            Counter,
            b'{"amount": 1, "times": 1}',
            headers=[("content-type", b"application/json"), ("type", b"Add")],
        )


@pytest.mark.parametrize("count", range(1, 7))
def test_a_first_start_that_was_interrupted_is_gone_on_with(
    world: World, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    create(world, *KINDS[:count])
    world.run(Counter, partitions=1)
    assert world.call(Counter, "a", Add(1)) == 1
    assert not missed(caplog)


# -- what is created anew with a warning -----------------------------------------------------------


def missed(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [each for each in found if "missing" in each]


@pytest.mark.parametrize(
    ("which", "lost"),
    [
        ("replies", "callers that wait get no reply"),
        ("dead_letters", "the commands laid aside there are gone"),
    ],
)
def test_what_nothing_is_built_on_is_created_anew_with_a_warning(
    worked: World, which: str, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    delete(worked, which)
    worked.run(Counter, partitions=1)
    assert worked.call(Counter, "id-0", Add(1)) == 2
    (line,) = missed(caplog)
    assert line == f"{named(worked, [which])[0]} was missing and is created anew: {lost}"


# -- others that start at the same time ------------------------------------------------------------


class Late:
    """A log that knows one topic only when it is asked again."""

    def __init__(self, log: EmbeddedLog, hidden: str) -> None:
        self._log = log
        self._hidden = hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        hidden, self._hidden = self._hidden, ""
        found = self._log.topics(names)
        return {name: info for name, info in found.items() if name != hidden}


def test_topics_that_another_worker_is_creating_are_looked_for_again(worked: World) -> None:
    topics = worked.topics(Counter)
    with opened(worked) as log:
        late: Any = Late(log, topics.journal)
        found = survey(late, topics, 1, 1)
        assert not [each for each in found.findings if each.verdict == "wrong"]
        assert (list(found.there), list(found.missing)) == (list(topics[:6]), [])


class Empty:
    """A book without schemas."""

    def learn(self, record: Any) -> None: ...

    def unpublished(self) -> list[Any]:
        return []


def test_a_meta_record_that_another_worker_is_writing_is_looked_for_again(
    worked: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looks = SchemaTopic.refresh, []

    def refresh(self: SchemaTopic) -> None:
        looks.append(self)
        if len(looks) > 1:
            real(self)

    monkeypatch.setattr(SchemaTopic, "refresh", refresh)
    topics = worked.topics(Counter)
    with opened(worked) as log:
        assert prepare_schemas(log, topics, SchemaTopic(log, topics, Empty()), 1, 0) == 0
    assert len(looks) == 2


# -- who may not look at the group -----------------------------------------------------------------


class Guarded:
    """A log that does not tell a group's progress."""

    def __init__(self, log: EmbeddedLog, error: LogError) -> None:
        self._log = log
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def progress(self, group: str, topic: str) -> Any:
        raise self._error


def test_an_administrator_who_may_not_look_at_the_group_may_create_topics(world: World) -> None:
    create(world, "commands")
    add_without_worker(world, 1)
    with opened(world) as log:
        guarded: Any = Guarded(log, LogError("not allowed"))
        assert prepare_topics(guarded, world.topics(Counter), 1, 1) == 1
    assert len(there(world)) == 6


def test_a_log_that_is_away_is_not_taken_for_an_empty_one(world: World) -> None:
    create(world, "commands")
    add_without_worker(world, 1)
    with opened(world) as log:
        guarded: Any = Guarded(log, LogUnavailable("away"))
        with pytest.raises(LogUnavailable):
            prepare_topics(guarded, world.topics(Counter), 1, 1)
    assert there(world) == set(named(world, ["commands"]))


# -- brokers that learn of a topic one by one ------------------------------------------------------


class LateEverywhere:
    """A log of which another broker answers a few times after each creation."""

    def __init__(self, log: EmbeddedLog, late: int) -> None:
        self._log = log
        self._late = late
        self._looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        self._looks = self._late
        self._log.create_topics(specs)

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        found = dict(self._log.topics(names))
        if self._looks:
            self._looks -= 1
            found.pop(next(iter(found)), None)
        return found


def test_topics_that_were_created_are_waited_for_until_every_broker_knows_them(
    world: World,
) -> None:
    with opened(world) as log:
        late: Any = LateEverywhere(log, 5)
        assert prepare_topics(late, world.topics(Counter), 2, 1) == 2
        assert late._looks == 0


def test_topics_that_nobody_tells_of_are_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.startup.SEEN_S", 0.2)
    with opened(world) as log:
        late: Any = LateEverywhere(log, 1_000_000)
        with pytest.raises(TopicError, match="could not be created"):
            prepare_topics(late, world.topics(Counter), 2, 1)


# -- what it costs ---------------------------------------------------------------------------------


class Counting:
    """A log that counts what it is asked."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._log, name)


def test_a_start_on_topics_that_are_all_there_asks_no_more_than_that(worked: World) -> None:
    with opened(worked) as log:
        counting: Any = Counting(log)
        prepare_topics(counting, worked.topics(Counter), 1, 1)
    assert set(counting.asked) == {"topics", "max_record_bytes"}
    assert counting.asked.count("topics") == 1


def test_the_first_start_does_not_ask_for_the_progress_of_a_group(world: World) -> None:
    create(world, *KINDS)
    topics = world.topics(Counter)
    with opened(world) as log:
        counting: Any = Counting(log)
        prepare_schemas(counting, topics, SchemaTopic(log, topics, Empty()), 1, 0)
    assert "progress" not in counting.asked


def test_a_survey_that_looks_at_the_history_finds_a_meta_record_that_is_gone(
    worked: World,
) -> None:
    topics = worked.topics(Counter)
    delete(worked, "schemas")
    create(worked, "schemas")
    with opened(worked) as log:
        producer = log.producer()
        producer.send(Write(topics.schemas, 0, b"0" * 16, None, [], 0))
        producer.flush(5)
        producer.close()
        wrong = [f for f in survey(log, topics, 1, 1).findings if f.verdict == "wrong"]
    assert [finding.topic for finding in wrong] == [topics.schemas]
