"""The progress of a group is asked for while its coordinator dies and comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_workers import until

from kstate.log.port import TopicSpec
from kstate.testing.kafka_local import LocalKafka, NoLocalKafka, local_kafka
from kstate.testing.plugin import without
from kstate.wiring import open_log

DEATHS = 2
NAME = "asked"
PATIENCE_S = 60.0


@pytest.fixture
def kafka() -> Iterator[LocalKafka]:
    try:
        with local_kafka() as made:
            yield made
    except NoLocalKafka as error:
        without(error)


def test_who_asks_for_progress_outlives_the_deaths_of_the_coordinator(kafka: LocalKafka) -> None:
    url = f"kafka://{kafka.bootstrap}"
    log = open_log(url)
    log.create_topics([TopicSpec(NAME, 4, "delete")])
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ask_progress.py")), url, NAME, NAME],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(DEATHS):
            kafka.kill_node()
            kafka.start_node(0)
            until(lambda: bool(open_log(url).ends(NAME)), "the broker answered")
        answers, _ = child.communicate("", PATIENCE_S)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    assert int(answers) >= 1
