"""Commands that are given before the processor's first worker is ready wait for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from shells import Processes, Shell, ended, shell_on
from shop import Shop
from world import World

from kstate.config import DEFAULT_PARTITIONS
from kstate.runtime.schema_topic import SchemaTopic
from kstate.runtime.startup import prepare_topics
from kstate.wiring import open_log


@pytest.fixture
def early(world: World, directory: Path) -> Shell:
    """A shell whose log has no worker yet."""
    return shell_on({"KSTATE_LOG": world.url, "KSTATE_PREFIX": world.prefix})


def topics_alone(world: World) -> None:
    """A worker has created its topics, and published nothing yet."""
    log = open_log(world.url)
    try:
        prepare_topics(log, world.topics(Shop), 2, DEFAULT_PARTITIONS)
    finally:
        log.close()


@pytest.mark.parametrize("name", ["call", "cast"])
def test_a_worker_may_be_started_on_the_line_before(processes: Processes, name: str) -> None:
    processes.start("run", "shop:Shop", "--partitions", "2")
    sent = processes.start(name, "shop", "o-1", "Put", "count=5", "--timeout", "20", code=False)
    code, out, err = ended(sent)
    assert code == 0, err
    assert out == "5\n" if name == "call" else out


def test_a_call_waits_until_the_schemas_are_published(
    early: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics_alone(world)
    looked = threading.Event()
    real: Any = SchemaTopic.refresh

    def refresh(self: SchemaTopic) -> None:
        real(self)
        looked.set()

    monkeypatch.setattr(SchemaTopic, "refresh", refresh)
    with ThreadPoolExecutor(1) as pool:
        arguments = ("call", "shop", "o-1", "Put", "count=5", "--timeout", "20")
        called: Any = pool.submit(early, *arguments)
        assert looked.wait(20), "it has looked, and found none"
        world.run(Shop)
        result: Result = called.result()
    assert (result.exit_code, result.stdout) == (0, "5\n"), result.stderr


@pytest.mark.parametrize("name", ["call", "cast"])
def test_schemas_that_are_never_published_are_missed_in_one_sentence(
    early: Shell, world: World, name: str
) -> None:
    topics_alone(world)
    result = early(name, "shop", "o-1", "Put", "count=5", "--timeout", "3")
    assert result.exit_code == 32
    last = result.stderr.splitlines()[-1]
    assert last == (
        f"kstate: the schemas of {world.prefix}shop are not on this log yet: start a worker of it "
        "(kstate run), or give its class"
    )


def test_what_it_waits_for_is_told_once(early: Shell) -> None:
    result = early("call", "shop", "o-1", "Put", "count=5", "--timeout", "3")
    assert result.stderr.count("kstate: waiting for a worker of shop, up to 3 s\n") == 1
    assert result.stderr.splitlines()[-1].endswith("or check the log's URL and the prefix")


def test_a_class_needs_no_published_schemas(early: Shell, world: World) -> None:
    topics_alone(world)
    result = early("cast", "shop:Shop", "o-1", "Put", "count=5")
    assert result.exit_code == 0, result.stderr
    world.run(Shop)
    assert world.state(Shop, "o-1").total == 5


def test_a_state_is_waited_for_as_well(processes: Processes) -> None:
    processes.start("run", "shop:Shop", "--partitions", "2")
    out = processes.out("state", "shop", "o-1", "--timeout", "20", "--json")
    assert '"total": 0' in out
