"""The demo in short: the first departures, and that it finds what is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import demo.flights_file
from demo.answers import Answers
from demo.flights_file import Flight, flights_file, read_flights
from demo.plain import Figures, Plain, plain_pass
from demo.report import compare
from demo.worker_process import WorkerProcess
from kstate import KStateError

ROOT = Path(__file__).resolve().parents[1]
DEPARTURES = 6_000
LINE = "2013 1 1 517 515 2 830 819 11 UA 1545 N14228 EWR IAH 227 1400 5 15 2013-01-01T10:00:00Z"


def start(directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--directory", str(directory), *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def printed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a short run prints; it must end well."""
    options = ["--departures", str(DEPARTURES)]
    if request.param == "kafka":
        options += ["--log", f"kafka://{request.getfixturevalue('bootstrap')}"]
    running = start(tmp_path_factory.mktemp("demo"), *options)
    out, err = running.communicate()
    assert (running.returncode, err) == (0, ""), out + err
    return out


def test_every_figure_matches_a_plain_pass(printed: str) -> None:
    found = re.search(r"^all ([\d,]+) figures match a plain pass over the file$", printed, re.M)
    assert found
    assert int(found[1].replace(",", "")) > 20_000


def test_the_worker_is_killed_in_the_middle(printed: str) -> None:
    found = re.search(r"killed \(SIGKILL\) at ([\d,]+) processed commands, ([\d,]+) more", printed)
    assert found
    processed, waiting = (int(each.replace(",", "")) for each in found.groups())
    assert DEPARTURES / 2 <= processed < DEPARTURES
    assert processed + waiting <= DEPARTURES


def test_departures_without_a_tail_number_end_in_the_dead_letters(printed: str) -> None:
    flights = list(read_flights(flights_file()))[:DEPARTURES]
    without = sum(each.tailnum == "NA" for each in flights)
    assert without
    assert f"dead letters, BadPersistId: {without} " in printed


def test_a_good_run_leaves_nothing_behind(tmp_path: Path) -> None:
    running = start(tmp_path, "--departures", "500")
    out, err = running.communicate()
    assert running.returncode == 0, out + err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_stops_the_worker_and_says_so(tmp_path: Path) -> None:
    with start(tmp_path) as running:
        assert running.stdout is not None
        assert any("processed: " in line for line in running.stdout)
        workers = list(children(tmp_path))
        running.send_signal(signal.SIGINT)
        err = running.communicate()[1]
    assert len(workers) == 1
    assert running.returncode == 130
    assert err == "demo: interrupted: the worker was stopped, nothing is left running\n"
    assert not list(children(tmp_path))
    assert list(tmp_path.iterdir()) == []


def children(directory: Path) -> Iterator[int]:
    """Processes that were started with this directory, the demo itself apart."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    for line in listed.splitlines():
        if f"{directory}{os.sep}" in line and "kstate.cli.main" in line:
            yield int(line.split()[0])


def test_missing_data_is_one_sentence_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.flights_file, "PACKAGE", "no_such_package")
    with pytest.raises(KStateError, match="is not installed: pip install --no-deps no_such_pack"):
        flights_file()


def test_a_log_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    running = start(tmp_path, "--log", "nowhere")
    _, err = running.communicate()
    assert running.returncode == 3
    assert err.startswith("demo: 'nowhere' names no log")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    output = tmp_path / "worker.log"
    worker = WorkerProcess("no_such:Thing", f"sqlite:{tmp_path}/log.db", "", tmp_path, output)
    worker.start()
    with pytest.raises(KStateError, match=r"ended by itself with exit code 3: .*no_such"):
        watch_for_ever(worker)
    assert worker.stop() == 3


def watch_for_ever(worker: WorkerProcess) -> None:
    while True:
        worker.check()


# -- the comparison ----------------------------------------------------------------------------


def flight(**fields: str) -> Flight:
    return Flight._make(LINE.split())._replace(**fields)


def both() -> tuple[Answers, Plain]:
    """Answers as they must be for three lines, and the plain pass over these."""
    cancelled = dict.fromkeys(("dep_time", "dep_delay", "arr_delay", "air_time"), "NA")
    plain = plain_pass([flight(), flight(**cancelled), flight(tailnum="NA")])
    figures: Figures = {
        "flown": 1,
        "cancelled": 1,
        "distance": 1400,
        "air_time": 227,
        "departure_delay": 2,
        "arrival_delay": 11,
        "longest_delay": 2,
        "last_seen": "2013-01-01T10:00:00Z",
        "last_at": "IAH",
    }
    answers = Answers(
        asked={"N14228": dict(figures)},
        folded={"N14228": dict(figures)},
        seqs={"N14228": 2},
        events=2,
        tags=Counter({"carrier:UA": 2}),
        late=[],
        carrier="carrier:UA",
        by_carrier=2,
        past_of="N14228",
        past=dict(figures),
        past_seq=2,
        dead_letters=Counter({"BadPersistId": 1}),
    )
    return answers, plain


def test_equal_figures_match() -> None:
    assert compare(*both()).differences == []


def change_state(answers: Answers) -> None:
    answers.asked["N14228"]["air_time"] = 228


def change_fold(answers: Answers) -> None:
    answers.folded["N14228"]["last_at"] = "ORD"


def lose_aircraft(answers: Answers) -> None:
    del answers.folded["N14228"]


def invent_aircraft(answers: Answers) -> None:
    answers.asked["N1"] = dict(answers.asked["N14228"])


def repeat_event(answers: Answers) -> None:
    answers.events += 1


def lose_tag(answers: Answers) -> None:
    answers.tags["carrier:UA"] -= 1


def change_past(answers: Answers) -> None:
    answers.past["flown"] = 2


def lose_dead_letter(answers: Answers) -> None:
    answers.dead_letters.clear()


@pytest.mark.parametrize(
    "spoil",
    [
        change_state,
        change_fold,
        lose_aircraft,
        invent_aircraft,
        repeat_event,
        lose_tag,
        change_past,
        lose_dead_letter,
    ],
)
def test_a_figure_that_differs_is_found(spoil: Callable[[Answers], None]) -> None:
    answers, plain = both()
    spoil(answers)
    assert compare(answers, plain).differences
