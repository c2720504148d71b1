"""What runs after a commit: in order, at most once, and never the partition's problem."""

from __future__ import annotations

import sys
import threading

import pytest

from kstate.runtime.effects import Effects

PATIENCE_S = 20.0


def raises() -> None:
    raise ValueError("no mail today")


def test_effects_run_in_the_order_in_which_they_were_submitted() -> None:
    effects, done = Effects(), []
    for batch in range(3):
        effects.submit([lambda n=batch * 10 + i: done.append(n) for i in range(10)])
    effects.close(PATIENCE_S)
    assert done == list(range(30))
    assert (effects.done, effects.failed) == (30, 0)


def test_an_effect_that_raises_is_counted_and_logged_and_the_next_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    effects, done = Effects(), []
    effects.submit([raises, lambda: done.append(1)])
    effects.close(PATIENCE_S)
    assert done == [1]
    assert (effects.done, effects.failed) == (1, 1)
    assert "no mail today" in caplog.text


def test_an_effect_that_wants_to_end_the_program_ends_only_itself() -> None:
    effects, done = Effects(), []
    effects.submit([lambda: sys.exit(3), lambda: done.append(1)])
    effects.close(PATIENCE_S)
    assert done == [1]
    assert effects.failed == 1


def test_effects_run_in_a_thread_of_their_own() -> None:
    effects, names = Effects(), []
    effects.submit([lambda: names.append(threading.current_thread().name)])
    effects.close(PATIENCE_S)
    assert names == ["kstate-effects"]


def test_as_many_as_may_wait_are_taken_and_the_rest_is_dropped_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.effects.MAX_WAITING", 3)
    effects, entered, opened, done = Effects(), threading.Event(), threading.Event(), []

    def hold() -> None:
        entered.set()
        assert opened.wait(PATIENCE_S)

    effects.submit([hold])
    assert entered.wait(PATIENCE_S)
    effects.submit([lambda n=n: done.append(n) for n in range(5)])
    assert effects.failed == 2
    opened.set()
    effects.close(PATIENCE_S)
    assert done == [0, 1, 2]
    assert "2 after-commit effects dropped" in caplog.text


def test_a_close_does_not_wait_for_an_effect_that_never_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    effects, entered, opened = Effects(), threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert opened.wait(PATIENCE_S)

    effects.submit([hold, raises])
    assert entered.wait(PATIENCE_S)
    effects.close(0.01)
    assert "still running" in caplog.text
    opened.set()
    effects.close(PATIENCE_S)


def test_without_effects_there_is_no_thread_to_end() -> None:
    effects = Effects()
    effects.submit([])
    effects.close(0)
    assert effects.done == 0
