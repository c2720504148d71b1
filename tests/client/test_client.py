"""The client: calls and casts, their headers, what is not stored, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from client_tools import connected_without_a_worker, refuse_records_of
from counter import Add, AddAndFail, Added, Counter, Look
from world import World

import kstate
from kstate import CallTimeout, Command, CommandFailed, KStateError, aio
from kstate.client_commands import RESERVED_HEADERS
from kstate.errors import ConfigError, LogError, NoSuchLog, TopicError

# -- call and cast ---------------------------------------------------------------------------------


def test_a_call_returns_the_reply_and_a_cast_the_command_id(world: World) -> None:
    world.run(Counter)
    assert world.client.call(Counter, "a", Add(5)) == 5
    command_id = world.client.cast(Counter, "a", Add(5))
    world.client.flush()
    world.settled(Counter)
    assert [e.command_id for e in world.client.events.by_id(Counter, "a")][1] == command_id


def test_command_ids_are_the_callers_or_new_ones(world: World) -> None:
    world.run(Counter)
    ids = {world.client.cast(Counter, "a", Add(1)) for _ in range(10)}
    assert len(ids) == 10
    assert world.client.cast(Counter, "a", Add(1), command_id="mine") == "mine"


def test_a_processor_may_be_given_by_its_name(world: World) -> None:
    world.run(Counter)
    assert world.client.call("counter", "a", Add(5)) == 5
    world.client.cast("counter", "a", Add(5))
    assert world.client.call("counter", "a", Look()) == 10
    assert world.client.ids("counter") == ["a"]
    assert world.client.state("counter", "a") == {"total": 10, "events": 2}
    events = list(world.client.events.by_id("counter", "a"))
    assert [(e.seq, e.type, e.event) for e in events] == [
        (1, "Added", {"amount": 5}),
        (2, "Added", {"amount": 5}),
    ]


def test_a_call_without_a_worker_times_out(world: World) -> None:
    connected_without_a_worker(world)
    with pytest.raises(CallTimeout) as timeout:
        world.client.call(Counter, "a", Add(5), timeout=0.05)
    assert str(timeout.value) == (
        "no reply within 0.05 s; the command may still run: "
        f"repeat it with command id {timeout.value.command_id} to get its answer"
    )


def test_a_call_that_timed_out_is_repeated_with_its_id_for_the_original_answer(
    world: World,
) -> None:
    connected_without_a_worker(world)
    with pytest.raises(CallTimeout) as timeout:
        world.client.call(Counter, "a", Add(5), timeout=0.05)
    world.cast(Counter, "a", Add(7))
    world.restart()
    assert world.call(Counter, "a", Add(5), command_id=timeout.value.command_id) == 5
    assert world.call(Counter, "a", Look()) == 12


def test_another_client_may_repeat_it_too(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5), command_id="one")
    with kstate.connect(world.url, prefix=world.prefix) as other:
        assert other.call(Counter, "a", Add(5), command_id="one", timeout=20) == 5


def test_two_callers_with_one_command_id_both_get_the_answer(world: World) -> None:
    world.run(Counter)
    world.stop()
    calls = [world.client.begin(Counter, "a", Add(5), "one") for _ in range(2)]
    world.restart()
    assert [call.result_of(call.future.result(20)) for call in calls] == [5, 5]


def test_many_threads_may_call_at_once(world: World) -> None:
    world.run(Counter)

    def work(number: int) -> list[int]:
        return [world.call(Counter, f"id-{number}", Add(1)) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert results == [list(range(1, 21))] * 8


def test_many_calls_may_be_under_way(world: World) -> None:
    world.run(Counter)
    calls = [world.client.begin(Counter, "a", Add(1)) for _ in range(100)]
    answers = [call.result_of(call.future.result(20)) for call in calls]
    assert answers == list(range(1, 101))


@dataclass(frozen=True)
class Elsewhere(Command[int]):
    """A command of another processor."""


def test_a_command_of_another_processor_is_refused_before_anything_is_sent(world: World) -> None:
    world.run(Counter)
    attempts: list[Callable[[], Any]] = [
        lambda: world.client.call(Counter, "a", Elsewhere()),
        lambda: world.client.cast(Counter, "a", Elsewhere()),
        lambda: world.client.begin(Counter, "a", Elsewhere()),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError) as refused:
            attempt()
        assert str(refused.value) == (
            "Counter has no handler for Elsewhere: its commands are "
            + ", ".join(sorted(each.__name__ for each in Counter.__kstate__.commands))
        )
    world.client.flush()
    assert world.read(world.topics(Counter).commands) == []


def test_a_command_the_processor_does_not_know_is_refused_by_it(world: World) -> None:
    @dataclass(frozen=True)
    class Stray(Command[int]):
        pass

    world.run(Counter)
    with pytest.raises(KStateError):
        world.call("counter", "a", Stray())
    assert world.call(Counter, "a", Add(1)) == 1


def test_an_error_reply_is_an_exception_with_its_code(world: World) -> None:
    world.run(Counter)
    with pytest.raises(CommandFailed) as failed:
        world.call(Counter, "a", AddAndFail(1))
    assert failed.value.code == "failed"
    assert isinstance(failed.value, KStateError)
    assert not isinstance(failed.value, LogError)
    assert world.events(Counter, "a") == []
    assert world.call(Counter, "a", Add(1)) == Added(1).amount


# -- headers ---------------------------------------------------------------------------------------


def test_a_callers_headers_travel_with_its_command(world: World) -> None:
    world.run(Counter)
    given = {"traceparent": b"00-a-b-01", "x": b"\0\xff"}
    world.client.cast(Counter, "a", Add(1), headers=given)
    world.call(Counter, "a", Add(1), headers=given)
    for record in world.read(world.topics(Counter).commands):
        assert given.items() <= dict(record.headers).items()


@pytest.mark.parametrize("name", sorted(RESERVED_HEADERS))
def test_a_header_that_kstate_sets_itself_is_refused_and_nothing_is_sent(
    world: World, name: str
) -> None:
    world.run(Counter)
    sentence = f"the header {name} is kstate's own: give another name to yours"
    attempts: list[Callable[[], Any]] = [
        lambda: world.client.cast(Counter, "a", Add(1), headers={name: b"1"}),
        lambda: world.client.call(Counter, "a", Add(1), headers={name: b"1"}),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError) as refused:
            attempt()
        assert str(refused.value) == sentence
    world.client.flush()
    assert world.read(world.topics(Counter).commands) == []


@pytest.mark.parametrize("headers", [{"x": "text"}, {"x": None}, {5: b"x"}])
def test_a_header_that_is_no_text_with_bytes_is_refused(world: World, headers: Any) -> None:
    world.run(Counter)
    with pytest.raises(ConfigError, match="is not a text with bytes as its value"):
        world.client.cast(Counter, "a", Add(1), headers=headers)


# -- where there is nothing ------------------------------------------------------------------------


def test_where_no_worker_ever_ran_the_client_says_so(world: World) -> None:
    topic = world.topics(Counter).commands
    sentence = (
        f"{topic} does not exist on this log: start a worker of {world.prefix}counter "
        "(kstate run), or check the log's URL and the prefix"
    )
    client = world.client
    attempts: list[Callable[[], Any]] = [
        lambda: client.call(Counter, "a", Add(5)),
        lambda: client.cast(Counter, "a", Add(5)),
        lambda: client.state(Counter, "a"),
        lambda: client.state(Counter, "a", at_seq=1),
        lambda: client.ids(Counter),
        lambda: list(client.events.by_id(Counter, "a")),
        lambda: list(client.events.by_tag("counter", "x")),
        lambda: list(client.events.all(Counter)),
    ]
    for attempt in attempts:
        with pytest.raises(TopicError) as missing:
            attempt()
        assert str(missing.value) == sentence


def test_a_client_that_came_too_early_works_once_a_worker_runs(world: World) -> None:
    with pytest.raises(TopicError):
        world.client.cast(Counter, "a", Add(5))
    world.run(Counter)
    assert world.call(Counter, "a", Add(5)) == 5


@pytest.mark.parametrize("url", ["", "bank", "http://x", "sqlite:", "sqlite::memory:"])
def test_a_url_that_names_no_log_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        kstate.connect(url)


@pytest.mark.parametrize("connect", [kstate.connect, aio.connect])
def test_a_log_file_that_is_not_there_is_refused_and_not_made(
    connect: Callable[[str], object], tmp_path: Path
) -> None:
    url = f"sqlite:{tmp_path}/typo.db"
    with pytest.raises(NoSuchLog) as refused:
        connect(url)
    assert str(refused.value) == (
        f"there is no log at {url}: check its name, or start a worker on it (kstate run)"
    )
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_processor_can_have_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a processor"):
        world.client.call("no such name", "a", Add(1))


# -- what is not stored ----------------------------------------------------------------------------


def test_a_cast_that_is_not_stored_is_told_by_the_flush_of_its_thread_alone(world: World) -> None:
    world.run(Counter)
    refuse_records_of(world.client, b"unlucky")
    with ThreadPoolExecutor(1) as other:
        other.submit(world.client.cast, Counter, "unlucky", Add(1)).result()
        world.client.cast(Counter, "lucky", Add(1))
        world.client.flush()
        with pytest.raises(LogError):
            other.submit(world.client.flush).result()
    world.client.flush()


def test_a_call_does_not_fail_for_a_cast_that_is_not_stored(world: World) -> None:
    world.run(Counter)
    refuse_records_of(world.client, b"unlucky")
    world.client.cast(Counter, "unlucky", Add(1))
    assert world.call(Counter, "lucky", Add(1)) == 1
    with pytest.raises(LogError):
        world.client.flush()


def test_a_call_that_is_not_stored_fails_at_once(world: World) -> None:
    world.run(Counter)
    refuse_records_of(world.client, b"unlucky")
    with pytest.raises(LogError):
        world.call(Counter, "unlucky", Add(1))
    world.client.flush()


def test_closing_tells_of_a_cast_that_nobody_flushed(world: World) -> None:
    world.run(Counter)
    client = kstate.connect(world.url, prefix=world.prefix)
    refuse_records_of(client, b"unlucky")
    client.cast(Counter, "unlucky", Add(1))
    with pytest.raises(LogError):
        client.close()
    assert client.closed


# -- closing ---------------------------------------------------------------------------------------


def test_closing_ends_a_call_that_waits(world: World) -> None:
    world.run(Counter)
    world.stop()
    client = kstate.connect(world.url, prefix=world.prefix)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call, Counter, "a", Add(5), timeout=20)
        world.until(lambda: bool(world.read(world.topics(Counter).commands)), "the call was sent")
        client.close()
        with pytest.raises(KStateError, match="the client was closed while the call waited"):
            waiting.result(20)


def test_a_closed_client_says_so(world: World) -> None:
    world.run(Counter)
    client = kstate.connect(world.url, prefix=world.prefix)
    client.call(Counter, "a", Add(5))
    client.close()
    client.close()
    attempts: list[Callable[[], Any]] = [
        lambda: client.call(Counter, "a", Add(5)),
        lambda: client.cast(Counter, "a", Add(5)),
        lambda: client.ids(Counter),
        lambda: list(client.events.by_id(Counter, "a")),
        lambda: client.state(Counter, "a"),
        lambda: client.state(Counter, "a", at_seq=1),
    ]
    for attempt in attempts:
        with pytest.raises(KStateError, match="closed"):
            attempt()


def test_casts_are_stored_before_the_client_is_closed(world: World) -> None:
    world.run(Counter)
    with kstate.connect(world.url, prefix=world.prefix) as client:
        for _ in range(100):
            client.cast(Counter, "a", Add(1))
    assert world.call(Counter, "a", Look()) == 100


def test_a_thread_does_not_outlive_its_client(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(1))  # all of the world's own threads are there
    before = set(threading.enumerate())
    with kstate.connect(world.url, prefix=world.prefix) as client:
        client.call(Counter, "a", Add(1))
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before
