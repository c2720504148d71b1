"""Questions to a cluster of which one broker died and came back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_cluster import Cluster, cluster

from kstate.errors import LogUnavailable
from kstate.log.port import Ends, Log, TopicSpec
from kstate.testing.kafka_local import NoLocalKafka
from kstate.wiring import open_log

TOPIC = "asked"
PARTITIONS = 6
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("kafka")
    try:
        with cluster(directory, 3, 1) as made:
            yield made
    except NoLocalKafka as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def ends_at_last(log: Log) -> dict[int, Ends]:
    """The ends, asked for again while the log is away."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return dict(log.ends(TOPIC))
        except LogUnavailable:
            if time.monotonic() > deadline:
                raise


def test_who_asked_before_a_leader_died_is_answered_after_it_came_back(made: Cluster) -> None:
    log = open_log(made.url)
    log.create_topics([TopicSpec(TOPIC, PARTITIONS, "delete")])
    expected = dict.fromkeys(range(PARTITIONS), Ends(0, 0, 0))
    assert ends_at_last(log) == expected

    for node in range(made.brokers):  # each of them leads some of the partitions
        made.kill(node)
        made.await_leaders()
        made.restart(node)
        assert ends_at_last(log) == expected
    log.close()
