"""Questions to a cluster of which one broker died and came back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from chaos_cluster import Cluster, cluster

from kstate.errors import LogUnavailable
from kstate.log.port import Ends, TopicSpec
from kstate.testing.kafka_local import NoLocalKafka
from kstate.testing.plugin import without
from kstate.wiring import open_log

TOPIC, OTHER = "asked", "asked-too"
PARTITIONS = 6
GROUPS = 6
PATIENCE_S = 60.0

Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("kafka")
    try:
        with cluster(directory, 3, 1) as made:
            yield made
    except NoLocalKafka as error:
        without(error)


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


def test_who_asked_before_a_leader_died_is_answered_after_it_came_back(made: Cluster) -> None:
    log = open_log(made.url)
    log.create_topics([TopicSpec(TOPIC, PARTITIONS, "delete")])
    expected = dict.fromkeys(range(PARTITIONS), Ends(0, 0, 0))
    assert at_last(lambda: log.ends(TOPIC)) == expected

    for node in range(made.brokers):  # each of them leads some of the partitions
        made.kill(node)
        made.await_leaders()
        made.restart(node)
        assert at_last(lambda: log.ends(TOPIC)) == expected
    log.close()


def test_who_asked_before_a_coordinator_moved_is_told_of_the_group_after_it(made: Cluster) -> None:
    log = open_log(made.url)
    log.create_topics([TopicSpec(OTHER, PARTITIONS, "delete")])
    groups = [f"group-{number}" for number in range(GROUPS)]
    for group in groups:
        assert at_last(lambda group=group: log.owners(group, OTHER)) == {}

    for node in range(made.brokers):  # each of them coordinates some of the groups
        made.kill(node)
        made.await_leaders()
        for group in groups:
            assert at_last(lambda group=group: log.owners(group, OTHER)) == {}
            assert at_last(lambda group=group: log.progress(group, OTHER)) == {}
        made.restart(node)
        for group in groups:
            assert at_last(lambda group=group: log.owners(group, OTHER)) == {}
            assert at_last(lambda group=group: log.progress(group, OTHER)) == {}
    log.close()
