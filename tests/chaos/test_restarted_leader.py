"""Questions to a cluster of which one broker died and came back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from chaos_cluster import Cluster, cluster

from kstate.errors import LogUnavailable
from kstate.log.port import Ends, Log, TopicSpec
from kstate.testing.kafka_local import NoLocalKafka
from kstate.testing.plugin import without
from kstate.wiring import open_log

TOPIC = "asked"
PARTITIONS = 6
GROUPS = [f"group-{number}" for number in range(6)]
PATIENCE_S = 60.0
NOTHING = dict.fromkeys(range(PARTITIONS), Ends(0, 0, 0))

Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("kafka")
    try:
        with cluster(directory, 3, 1) as made:
            yield made
    except NoLocalKafka as error:
        without(error)


@pytest.fixture(scope="module")
def log(made: Cluster) -> Iterator[Log]:
    """A log that has asked for everything once."""
    with closing(open_log(made.url)) as log:
        log.create_topics([TopicSpec(TOPIC, PARTITIONS, "delete")])
        assert_ends_are_told(log)
        assert_groups_are_told(log)
        yield log


pytestmark = pytest.mark.timeout(300)
"""Three brokers are killed one after the other, and each takes its time to be back."""


def at_last(ask: Callable[[], Answer]) -> Answer:
    """An answer, asked for again while the log is away."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except LogUnavailable:
            if time.monotonic() > deadline:
                raise


def assert_ends_are_told(log: Log) -> None:
    assert at_last(lambda: log.ends(TOPIC)) == NOTHING


def assert_groups_are_told(log: Log) -> None:
    for group in GROUPS:
        assert at_last(lambda group=group: log.owners(group, TOPIC)) == {}
        assert at_last(lambda group=group: log.progress(group, TOPIC)) == {}


@pytest.mark.parametrize("node", range(3))
def test_who_asked_before_a_broker_died_is_answered_without_it_with_it_and_when_it_leads_again(
    made: Cluster, log: Log, node: int
) -> None:
    """Each of them leads some of the partitions and coordinates some of the groups.

    When one leads again, those who coordinated for it are still there: librdkafka's admin client
    goes on to ask them.
    """
    made.kill(node)
    made.await_leaders()
    assert_groups_are_told(log)
    made.restart(node)
    assert_ends_are_told(log)
    assert_groups_are_told(log)
    made.prefer_leaders()  # as a cluster does every five minutes
    assert_groups_are_told(log)
    assert_ends_are_told(log)
