"""``kstate run`` while the log is away: it waits, and a signal ends the wait."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from shells import Processes, ended, told
from world import World

from kstate.cli.starting import Starting
from kstate.config import Config
from kstate.errors import LogUnavailable
from kstate.log.kafka_admin import CONNECT_S
from kstate.runtime.slot import Slot


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the log's file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def run(processes: Processes, *arguments: str) -> subprocess.Popen[str]:
    processes.log = "sqlite:log.db?sync=normal&busy_timeout_s=0.05"
    return processes.start("run", "shop:Shop", "--partitions", "2", *arguments)


def test_a_log_that_is_away_is_waited_for_and_told_once(processes: Processes) -> None:
    with locked(processes.directory / "log.db"):
        worker = run(processes)
        assert "shop: waiting for the log: " in told(worker, "waiting")
        with pytest.raises(subprocess.TimeoutExpired):  # long enough for more than one try
            worker.wait(2)
    told(worker, "shop: the log is back")
    told(worker, "shop: running on")
    assert processes.out("call", "shop", "o-1", "Put", "count=5") == "5\n"
    worker.terminate()
    code, _, err = ended(worker)
    assert code == 0
    assert "waiting for the log" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait(processes: Processes, number: int) -> None:
    with locked(processes.directory / "log.db"):
        worker = run(processes)
        told(worker, "waiting for the log")
        worker.send_signal(number)
        code, out, err = ended(worker)
    assert (code, out) == (0, "")
    assert "shop: stopped" in err


def test_several_workers_wait_and_are_stopped_as_well(processes: Processes) -> None:
    with locked(processes.directory / "log.db"):
        parent = run(processes, "--workers", "2")
        for _ in range(2):
            told(parent, "waiting for the log")
        parent.terminate()
        code, _, err = ended(parent)
    assert code == 0
    assert "all workers stopped" in err


def test_a_signal_ends_the_wait_for_brokers_that_do_not_answer(processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        processes.log = f"kafka://127.0.0.1:{silent.getsockname()[1]}"
        worker = processes.start("run", "shop:Shop", "--stop-timeout", "0.9")
        with silent.accept()[0]:  # it has begun to ask
            worker.terminate()
            assert ended(worker)[0] == 0


def test_brokers_that_do_not_answer_are_told_of_before_their_time_is_over(
    processes: Processes,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        processes.log = f"kafka://127.0.0.1:{silent.getsockname()[1]}?sasl.password=secret"
        began = time.monotonic()
        worker = processes.start("run", "shop:Shop")
        line = told(worker, "waiting for the log")
        assert time.monotonic() - began < CONNECT_S, "it is told while the first try goes on"
        assert f"kafka://127.0.0.1:{silent.getsockname()[1]} has not answered yet" in line
        assert "secret" not in line
        worker.terminate()
        code, _, err = ended(worker)
    assert code == 0
    assert "waiting" not in err


def test_a_silent_log_is_told_of_once_and_its_reason_once_when_it_is_known(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from shop import Shop

    tries: list[int] = []
    enough = threading.Event()

    def silence(*_: Any, **__: Any) -> Any:
        tries.append(len(tries))
        told_of.wait(20)
        if len(tries) > 3:
            enough.set()
        raise LogUnavailable("gone fishing")

    told_of = threading.Event()
    monkeypatch.setattr("kstate.wiring.open_log", silence)
    monkeypatch.setattr("kstate.cli.starting.RETRY_S", 0.001)
    monkeypatch.setattr("kstate.cli.starting.SILENCE_S", 0.01)
    starting = Starting(Config(log="sqlite:x.db", data=tmp_path), [Shop])
    real = starting._teller.unavailable

    def unavailable(error: Exception, reason: bool = True) -> None:
        real(error, reason)
        told_of.set()

    monkeypatch.setattr(starting._teller, "unavailable", unavailable)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(starting.wait)
        assert enough.wait(20)
        starting.stop()
        assert waiting.result(20) is None
    lines = [each.getMessage() for each in caplog.records if each.name == "kstate.worker"]
    assert lines == [
        "shop: waiting for the log: sqlite:x.db has not answered yet",
        "shop: waiting for the log: gone fishing",
    ]


def test_what_waiting_does_not_mend_ends_the_start_at_once(processes: Processes) -> None:
    (processes.directory / "log.db").write_bytes(b"no log" * 1_000)
    code, _, err = ended(run(processes))
    assert code == 30
    assert "waiting for the log" not in err


def test_another_try_finds_the_worker_s_place_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shop import Shop

    class Second(Shop):
        name = "second"

    from kstate import wiring

    tries: list[int] = []
    real: Any = wiring._build_worker

    def build(config: Config, log: Any, processor: Any, *rest: Any) -> Any:
        if processor is Second and len(tries) < 3:
            tries.append(len(tries))
            raise LogUnavailable("gone fishing")
        return real(config, log, processor, *rest)

    monkeypatch.setattr(wiring, "_build_worker", build)
    monkeypatch.setattr("kstate.cli.starting.RETRY_S", 0.001)
    config = Config(log=world.url, prefix=world.prefix, data=world.data, partitions=1)
    started = Starting(config, [Shop, Second]).wait()
    assert started is not None
    assert len(tries) == 3
    try:
        (directory,) = world.data.glob("*shop/*/lock")
        assert directory.parent.name == "0"
    finally:
        for worker in started.workers:
            worker.give_up()
        started.log.close()
    slot = Slot.take(world.data, world.topics(Second).group)
    assert slot.directory.name == "0"
    slot.release()
