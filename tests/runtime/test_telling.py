"""An operator is told, and not drowned."""

from __future__ import annotations

import pytest

from kstate.core.batch import Counts, Fault
from kstate.errors import BadCommand, LogUnavailable, RegistryUnavailable
from kstate.runtime.telling import MAX_FAULTS, PERIOD_S, Teller


class Time:
    """The teller's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("kstate.runtime.telling.time.monotonic", lambda: self.now)


def fault(offset: int = 0, what: str = "command") -> Fault:
    return Fault(what, 0, offset, b"a", ValueError(f"no {offset}"))


def test_a_log_that_is_away_is_told_when_it_goes_and_when_it_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    teller = Teller("bank")
    for _ in range(2):
        for _ in range(3):
            teller.unavailable(LogUnavailable("no route"))
        for _ in range(3):
            teller.available()
    assert caplog.messages == 2 * [
        "bank: waiting for the log: no route",
        "bank: the log is back",
    ]


def test_a_reason_is_told_when_it_becomes_known(caplog: pytest.LogCaptureFixture) -> None:
    teller = Teller("bank")
    for _ in range(2):
        for reason in (False, False, True, True, False):
            teller.unavailable(LogUnavailable("no route" if reason else "no answer yet"), reason)
        teller.available()
    assert caplog.messages == 2 * [
        "bank: waiting for the log: no answer yet",
        "bank: waiting for the log: no route",
        "bank: the log is back",
    ]


def test_each_thing_that_is_waited_for_is_told(caplog: pytest.LogCaptureFixture) -> None:
    teller = Teller("bank")
    for _ in range(3):
        teller.unavailable(LogUnavailable("no route"))
        teller.unavailable(RegistryUnavailable("it is closed"))
    teller.available()
    assert caplog.messages == [
        "bank: waiting for the log: no route",
        "bank: waiting for the schema registry: it is closed",
        "bank: the log is back",
        "bank: the schema registry is back",
    ]


def test_a_log_that_was_never_away_is_not_back(caplog: pytest.LogCaptureFixture) -> None:
    Teller("bank").available()
    assert caplog.messages == []


def test_a_command_in_the_dead_letters_is_told_with_its_place_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Teller("bank").faults([fault(7)])
    assert caplog.messages == [
        "bank: the command at 0:7 for b'a' is in the dead letters: ValueError: no 7"
    ]


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The error with the traceback it has when it was raised."""
    try:
        raise error from cause
    except Exception as found:  # noqa: BLE001 - that is what it is for
        return found


@pytest.mark.parametrize("cause", [None, ValueError("odd")])
def test_a_record_that_is_no_command_is_told_in_one_line(
    caplog: pytest.LogCaptureFixture, cause: Exception | None
) -> None:
    error = raised(BadCommand("the command has no value", "no-value"), cause)
    Teller("bank").faults([Fault("command", 0, 7, b"a", error)])
    assert caplog.messages == [
        (
            "bank: the command at 0:7 for b'a' is in the dead letters: "
            "BadCommand: the command has no value"
        )
    ]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("cause", [None, KeyError("a")])
def test_what_a_handler_raised_is_told_with_its_traceback(
    caplog: pytest.LogCaptureFixture, cause: Exception | None
) -> None:
    Teller("bank").faults([Fault("command", 0, 7, b"a", raised(ValueError("no luck"), cause))])
    assert "Traceback" in caplog.text
    assert "in raised" in caplog.text


def test_a_snapshot_that_failed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    Teller("bank").faults([fault(what="snapshot")])
    assert caplog.messages == ["bank: no snapshot of b'a': no 0"]


def test_ten_faults_of_a_minute_are_told_and_the_others_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Time(monkeypatch)
    teller = Teller("bank")
    teller.faults([fault(n) for n in range(MAX_FAULTS)])
    assert len(caplog.messages) == MAX_FAULTS
    for n in range(500):
        teller.faults([fault(n)])
    assert len(caplog.messages) == MAX_FAULTS + 1
    assert "further faults of this minute are counted" in caplog.messages[-1]


def test_the_next_minute_tells_how_many_there_were_and_begins_anew(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time(monkeypatch)
    teller = Teller("bank")
    teller.faults([fault(n) for n in range(500)])
    caplog.clear()
    time.now += PERIOD_S
    teller.faults([fault(1)])
    assert caplog.messages == []
    time.now += 0.1
    teller.faults([fault(2)])
    assert caplog.messages[0] == "bank: 501 faults in the last period"
    assert "0:2" in caplog.messages[1]


def test_a_quiet_minute_is_not_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time(monkeypatch)
    teller = Teller("bank")
    teller.faults([fault(1)])
    time.now += PERIOD_S + 1
    caplog.clear()
    teller.faults([fault(2)])
    assert len(caplog.messages) == 1


def test_what_comes_with_every_command_of_some_producer_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    teller = Teller("bank")
    for counts in (Counts(), Counts(forwarded=3), Counts(replies_refused=1), Counts(forwarded=1)):
        teller.odd(counts)
    forwarded, refused = caplog.messages
    assert forwarded.startswith("bank: commands come in on another partition than that of their")
    assert "murmur2_random" in forwarded
    assert refused.startswith("bank: commands ask for replies on a topic that is not on the list")
