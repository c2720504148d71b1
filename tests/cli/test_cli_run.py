"""``kstate run``: in a process of its own, with real signals."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from children import alive, children, linux
from shells import Processes, ended, told
from world import PATIENCE_S

from kstate.runtime import workers
from kstate.runtime.workers import Workers


def events(processes: Processes) -> list[int]:
    """The seqs of one order."""
    printed = processes.out("query", "shop", "--id", "o-1", "--json")
    return [json.loads(line)["seq"] for line in printed.splitlines()]


def owners(processes: Processes) -> set[str]:
    rows = processes.out("status", "shop", "--json").splitlines()
    return {str(json.loads(row)["owner"]) for row in rows}


def until(condition: Any, what: str) -> None:
    """Waits until it holds."""
    deadline = time.monotonic() + 3 * PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_and_what_was_answered_is_committed(
    processes: Processes, number: int
) -> None:
    worker = processes.worker()
    assert processes.out("call", "shop", "o-1", "Put", "count=5") == "5\n"
    worker.send_signal(number)
    code, out, err = ended(worker)
    assert (code, out) == (0, "")
    assert "shop: stopped" in err
    assert events(processes) == [1]


def test_nothing_owns_the_partitions_after_a_clean_stop(processes: Processes) -> None:
    worker = processes.worker()
    worker.terminate()
    ended(worker)
    assert owners(processes) == {"None"}


def test_every_line_of_the_log_has_a_time_and_a_level(processes: Processes) -> None:
    worker = processes.start("run", "shop:Shop")
    line = told(worker, "running on")
    date, clock, level, *words = line.split()
    assert len(date) == 10
    assert clock.count(":") == 2
    assert (level, words[0]) == ("INFO", "shop:")


def test_a_log_level_keeps_the_rest_back(processes: Processes) -> None:
    worker = processes.start("run", "shop:Shop", "--log-level", "error")
    until(lambda: (processes.directory / "log.db").exists(), "the log was made")
    until(lambda: owners(processes) - {"None"}, "the worker owns its partitions")
    worker.terminate()
    assert ended(worker) == (0, "", "")


def test_a_signal_before_the_start_is_over_stops_as_well(processes: Processes) -> None:
    Path(processes.directory / "slow.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nfrom shop import Shop\n"
    )
    worker = processes.start("run", "slow:Shop")
    code, _, err = ended(worker)
    assert code == 0
    assert "shop: stopped" in err


def test_a_killed_worker_is_replaced_by_one_that_knows_all_it_answered(
    processes: Processes,
) -> None:
    worker = processes.worker()
    assert processes.out("call", "shop", "o-1", "Put", "count=5") == "5\n"
    worker.kill()
    assert ended(worker)[0] == -signal.SIGKILL
    processes.worker()
    assert processes.out("call", "shop", "o-1", "Put", "count=6") == "11\n"
    assert events(processes) == [1, 2]


def test_a_worker_that_cannot_stop_in_time_is_ended_with_75(processes: Processes) -> None:
    worker = processes.worker("--stop-timeout", "0.2")
    processes.out("cast", "shop", "o-1", "Sleep", "seconds=600")
    until(lambda: _runs(processes), "the command runs")
    worker.terminate()
    code, _, err = ended(worker)
    assert code == 75
    assert err.splitlines()[-1].startswith("kstate: not stopped within 0.2 s")


def test_a_second_signal_ends_at_once_with_75(processes: Processes) -> None:
    worker = processes.worker("--stop-timeout", "600")
    processes.out("cast", "shop", "o-1", "Sleep", "seconds=600")
    until(lambda: _runs(processes), "the command runs")
    worker.send_signal(signal.SIGINT)
    told(worker, "stopping")
    worker.send_signal(signal.SIGINT)
    code, _, err = ended(worker)
    assert code == 75
    assert err.splitlines()[-1].startswith("kstate: a second SIGINT")


def test_a_worker_that_hangs_is_ended_with_76_and_says_where(processes: Processes) -> None:
    worker = processes.worker("--hang-timeout", "1.5")
    processes.out("cast", "shop", "o-1", "Sleep", "seconds=600")
    code, _, err = ended(worker)
    assert code == 76
    assert "shop: the loop has not turned for 1.5 s" in err
    assert "in sleep" in err  # the handler


def test_a_command_that_hangs_three_workers_is_dead_lettered(processes: Processes) -> None:
    processes.worker().kill()
    processes.out("cast", "shop", "o-1", "Put", "count=1")
    processes.out("cast", "shop", "o-1", "Sleep", "seconds=600")
    for _ in range(3):
        assert ended(processes.start("run", "shop:Shop", "--hang-timeout", "1.5"))[0] == 76
    processes.worker("--hang-timeout", "1.5")
    assert processes.out("call", "shop", "o-1", "Put", "count=2") == "3\n"


def _runs(processes: Processes) -> bool:
    """Whether a command is running: the worker's note says so."""
    notes = processes.directory.glob(".kstate/shop/*/running")
    return any(note.read_bytes()[:8] != b"\xff" * 8 for note in notes)


def test_several_processors_run_in_one_process(processes: Processes) -> None:
    (processes.directory / "kstate.toml").write_text('processors = ["shop:Shop", "two:Two"]\n')
    (processes.directory / "two.py").write_text(
        "import shop\n\n\nclass Two(shop.Shop):\n    name = 'two'\n"
    )
    worker = processes.start("run", "shop", "two")
    told(worker, "shop, two: running on")
    for name in ("shop", "two"):
        assert processes.out("call", name, "o-1", "Put", "count=5") == "5\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("shop",), 3, "names no processor"),
        (("nowhere:Shop",), 3, "cannot be imported"),
        (("shop:Shop", "--store", "cupboard"), 3, "there is no store 'cupboard'"),
        (("shop:Shop", "--log", "what:ever"), 3, "names no log"),
        (("shop:Shop", "--batch-ms", "0"), 2, "--batch-ms"),
        (("broken:Shop",), 3, "it raised ZeroDivisionError: division by zero"),
        (("shop:Shop", "--workers", "2", "--log", "what:ever"), 3, "names no log"),
    ],
)
def test_what_cannot_run_says_why_in_a_line(
    processes: Processes, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (processes.directory / "broken.py").write_text("1 / 0\n")
    found, _, err = ended(processes.start("run", *arguments))
    assert found == code
    assert words in err
    assert "Traceback" not in err


# -- several processes ---------------------------------------------------------------------------


@linux
def test_a_processor_that_is_named_twice_is_a_usage_error(processes: Processes) -> None:
    (processes.directory / "kstate.toml").write_text('processors = ["shop:Shop"]\n')
    for targets in (("shop:Shop", "shop:Shop"), ("shop", "shop:Shop")):
        code, out, err = ended(processes.start("run", *targets))
        assert (code, out) == (2, "")
        assert err.splitlines()[-1] == (
            "Error: 2 of the targets are the processor shop: a run has one worker of each; "
            "--workers starts more"
        )


def test_of_two_workers_one_owns_and_one_stands_by_and_takes_over(processes: Processes) -> None:
    parent = processes.worker("--workers", "2")
    until(lambda: len(children(parent.pid)) == 2, "two workers run")
    (owner,) = owners(processes)
    assert processes.out("call", "shop", "o-1", "Put", "count=5") == "5\n"
    slot = processes.directory / ".kstate" / "shop" / owner[-1] / "lock"
    (holder,) = (pid for pid in children(parent.pid) if _holds(pid, slot))
    os.kill(holder, signal.SIGKILL)
    assert processes.out("call", "shop", "o-1", "Put", "count=6", "--timeout", "20") == "11\n"
    assert "ended with 137; another one starts in 0.5 s" in told(parent, "ended with")
    until(lambda: len(set(children(parent.pid)) - {holder}) == 2, "two workers run again")
    parent.terminate()
    assert ended(parent)[0] == 0


def _holds(pid: int, path: Path) -> bool:
    there = Path(f"/proc/{pid}/fd")
    return any(os.path.realpath(each) == str(path) for each in there.iterdir())


@linux
def test_ctrl_c_on_a_terminal_stops_all_workers_cleanly(processes: Processes) -> None:
    parent = processes.start(
        "run", "shop:Shop", "--partitions", "2", "--workers", "2", process_group=0
    )
    told(parent, "is ready")
    until(lambda: len(children(parent.pid)) == 2, "two workers run")
    crew = children(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to the whole foreground
    code, _, err = ended(parent)
    assert code == 0
    assert "all workers stopped" in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in crew)


@linux
def test_workers_whose_parent_was_killed_stop_by_themselves(processes: Processes) -> None:
    parent = processes.worker("--workers", "2")
    crew = children(parent.pid)
    parent.kill()
    until(lambda: not any(alive(pid) for pid in crew), "the workers stopped")
    until(lambda: owners(processes) == {"None"}, "the partitions are free")


def crew_of(script: str, count: int = 1) -> Workers:
    return Workers([sys.executable, "-c", script], count, 5.0)


def test_a_worker_that_ends_again_and_again_is_given_up_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_S", 0.001)
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(34)"
    assert crew_of(script).run() == 34
    assert starts.read_text() == "x" * workers.MAX_QUICK_DEATHS


@pytest.mark.parametrize("code", sorted(workers.HOPELESS))
def test_what_another_try_cannot_mend_is_given_up_at_once(code: int, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit({code})"
    assert crew_of(script).run() == code
    assert starts.read_text() == "x"


def test_the_pause_before_a_restart_grows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_S", 0.001)
    crew_of("raise SystemExit(1)").run()
    told = [message.rpartition("starts in ")[2] for message in caplog.messages[:-1]]
    assert told == ["0.001 s", "0.002 s", "0.004 s", "0.008 s"]


def test_a_worker_that_dies_of_a_signal_ends_as_a_shell_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_S", 0.001)
    assert crew_of("import os; os.kill(os.getpid(), 9)").run() == 137


def test_a_worker_that_does_not_end_well_when_stopped_gives_its_exit_code(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(75))\n"
        f"open({str(ready)!r}, 'w').close()\n"
        "time.sleep(600)"
    )
    crew = crew_of(script)
    stopper = threading.Thread(target=lambda: (until(ready.exists, "it runs"), crew.stop()))
    stopper.start()
    assert crew.run() == 75
    stopper.join()
