"""What is no `Exception`, raised by a user's code, ends that command's work and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from core_shard import Bench

from kstate import Command, Context, Processor, Rejected, command, event
from kstate.core.messages import Erase
from kstate.core.replay import FoldFailed

BASE = [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit]


@dataclass(frozen=True)
class Sum:
    total: int = 0


@dataclass(frozen=True)
class Plus(Command[int]):
    n: int

    def __post_init__(self) -> None:
        if Moody.fails == "the command":
            raise Moody.error("at once")


@dataclass(frozen=True)
class Grown:
    n: int


class Silent(Rejected):
    def __init__(self) -> None:
        pass

    @property
    def reason(self) -> str:  # type: ignore[override]
        raise Moody.error("no reason")


class Moody(Processor[Sum]):
    """Raises where it is told to."""

    name = "moody"
    fails = ""
    error: type[BaseException] = Exception

    def init(self, persist_id: str) -> Sum:
        if Moody.fails == "init":
            raise Moody.error("no beginning")
        return Sum()

    @command
    def plus(self, ctx: Context[Sum], cmd: Plus) -> int:
        if Moody.fails == "the handler":
            raise Moody.error("no luck")
        if Moody.fails == "the reason":
            raise Silent
        ctx.persist(Grown(cmd.n))
        return ctx.state.total

    @event
    def grown(self, state: Sum, event: Grown) -> Sum:
        if Moody.fails == "the fold":
            raise Moody.error("no sum")
        return Sum(state.total + event.n)


@pytest.fixture(params=BASE)
def error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    found: type[BaseException] = request.param
    monkeypatch.setattr(Moody, "error", found)
    return found


@pytest.mark.parametrize("where", ["the command", "init", "the handler", "the fold"])
def test_the_command_is_a_dead_letter_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], where: str
) -> None:
    bench = Bench(processor=Moody)
    record = bench.put(Plus(1))
    monkeypatch.setattr(Moody, "fails", where)
    batch = bench.run(record)
    assert batch.counts.dead_letters == 1
    (fault,) = batch.faults
    assert isinstance(fault.error, Exception)  # it will be logged, and must not end the worker
    assert str(fault.error).startswith(
        "sys.exit was called" if error is SystemExit else f"{error.__name__} was raised: "
    )
    monkeypatch.setattr(Moody, "fails", "")
    assert bench.run(bench.put(Plus(2))).counts.events == 1


def test_a_rejection_without_a_reason_is_one(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    bench = Bench(processor=Moody)
    monkeypatch.setattr(Moody, "fails", "the reason")
    assert bench.run(bench.put(Plus(1))).counts.rejected == 1


def test_an_erasure_that_cannot_begin_anew_is_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    bench = Bench(processor=Moody)
    bench.run(bench.put(Plus(1)))
    record = bench.put(Erase())
    monkeypatch.setattr(Moody, "fails", "init")
    assert bench.run(record).counts.dead_letters == 1


@pytest.mark.parametrize("where", ["init", "the fold"])
def test_a_recovery_says_what_raised(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], where: str
) -> None:
    bench = Bench(processor=Moody)
    bench.run(bench.put(Plus(1)))
    monkeypatch.setattr(Moody, "fails", where)
    if (where, error) == ("the fold", KeyboardInterrupt):  # the user's, too, whose query folds
        with pytest.raises(KeyboardInterrupt):
            bench.rebuilt()
    else:
        with pytest.raises(FoldFailed, match=f"{where.split()[-1]} .*raised for 'a'"):
            bench.rebuilt()


def test_ctrl_c_ends_a_query_in_the_middle_of_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(processor=Moody)
    bench.run(bench.put(Plus(1)))
    monkeypatch.setattr(Moody, "error", KeyboardInterrupt)
    monkeypatch.setattr(Moody, "fails", "the fold")
    with pytest.raises(KeyboardInterrupt):
        bench.rebuilt()
