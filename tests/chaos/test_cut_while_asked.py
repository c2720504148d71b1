"""Questions to the log whose connection breaks before the answer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chaos_cluster import Cluster, cluster
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec
from crash_workers import until

from kstate.errors import LogUnavailable
from kstate.log.kafka_admin import KafkaAdmin
from kstate.log.port import TopicSpec
from kstate.testing.kafka_local import NoLocalKafka
from kstate.testing.plugin import without
from kstate.testing.proxy import HOST, Proxy
from kstate.wiring import open_log

TOPIC = "asked"
PARTITIONS = 8
CUTS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("kafka")
    try:
        with cluster(directory, 1, 1) as made:
            yield made
    except NoLocalKafka as error:
        without(error)


class Scissors(threading.Thread):
    """Cuts connections at random moments, so many times."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._chance = random.Random(1)

    def run(self) -> None:
        for _ in range(CUTS):
            time.sleep(self._chance.uniform(0.0, 0.6))
            self._proxy.delay_s = self._chance.choice((0.0, 0.02, 0.14))
            self._proxy.cut()
        self._proxy.delay_s = 0.0


def test_an_offset_is_told_as_it_is_or_not_at_all_whenever_the_connection_breaks(
    made: Cluster,
) -> None:
    # librdkafka tells of an answer that broke off as an offset of -1001, without an error
    open_log(made.url).create_topics([TopicSpec(TOPIC, PARTITIONS, "delete")])
    ((proxy,),) = made.proxies
    admin = KafkaAdmin({"bootstrap.servers": f"{HOST}:{proxy.port}"})
    asked = {TopicPartition(TOPIC, each): OffsetSpec.latest() for each in range(PARTITIONS)}
    scissors = Scissors(proxy)
    scissors.start()
    told = 0
    try:
        while scissors.is_alive():
            try:
                found = admin._ask_once(TOPIC, asked, IsolationLevel.READ_UNCOMMITTED)
            except LogUnavailable:
                continue  # it says that it does not know
            assert set(found.values()) == {0}
            told += 1
    finally:
        scissors.join()
    assert told


def test_an_answer_outlives_the_client_that_another_thread_gave_up(made: Cluster) -> None:
    open_log(made.url).create_topics([TopicSpec(TOPIC, PARTITIONS, "delete")])
    ((proxy,),) = made.proxies
    admin = KafkaAdmin({"bootstrap.servers": f"{HOST}:{proxy.port}"})
    assert len(admin.ends(TOPIC)) == PARTITIONS
    asked = {TopicPartition(TOPIC, each): OffsetSpec.latest() for each in range(PARTITIONS)}
    with ThreadPoolExecutor(1) as pool:
        proxy.hold()
        waiting = pool.submit(admin._ask_once, TOPIC, asked, IsolationLevel.READ_UNCOMMITTED)
        until(lambda: proxy.held > 0, "the question was on its way")
        admin._renew(admin._client)
        proxy.release()
        assert len(waiting.result()) == PARTITIONS
