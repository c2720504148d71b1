"""Two workers under one name, as when a data directory was copied to a second machine."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crash_workers import Victim, until
from slow_counter import Add, SlowCounter

import kstate
from kstate.core.topics import Topics
from kstate.log.kafka_member import TWIN_TIMES

PATIENCE_S = 30.0


class Twins:
    """A worker, and another one whose data directory is a copy."""

    def __init__(self, url: str, directory: Path, stack: ExitStack) -> None:
        prefix = f"twins-{uuid.uuid4().hex[:8]}-"
        group = Topics.of(SlowCounter.name, prefix).group
        self.first, self.second = (
            Victim(url, group, prefix, directory, number, "slow_counter:SlowCounter")
            for number in range(2)
        )
        for each in (self.first, self.second):
            stack.callback(each.stop)
        self.first.start()
        until(lambda: ": ready, " in self.first.said(), "the first worker was ready", PATIENCE_S)
        shutil.copytree(self.first.data, self.second.data)
        self.client = stack.enter_context(kstate.connect(url, prefix=prefix))

    def ended(self) -> list[int]:
        """The exit codes of those that ended by themselves."""
        codes = [each._process.poll() for each in (self.first, self.second) if each._process]
        return [code for code in codes if code is not None]


@pytest.fixture
def twins(bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Twins]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with ExitStack() as stack:
        yield Twins(f"kafka://{bootstrap}", tmp_path, stack)


@pytest.mark.parametrize("commands", [0, 300])
def test_of_two_workers_under_one_name_one_ends_with_one_clear_sentence(
    twins: Twins, commands: int
) -> None:
    for number in range(commands):
        twins.client.cast(SlowCounter, f"id-{number % 10}", Add(1))
    twins.client.flush()
    twins.second.start()

    until(lambda: bool(twins.ended()), "one of the two ended", PATIENCE_S)
    assert len(twins.ended()) == 1
    said = twins.first.said() + twins.second.said()
    last = [line for line in said.splitlines() if line.startswith("kstate: ")]
    assert len(last) == 1
    assert "another worker runs under the name" in last[0]
    assert said.count("seat lost") <= 2 * TWIN_TIMES, said
    assert twins.client.call(SlowCounter, "id-0", Add(1), timeout=PATIENCE_S) > 0
