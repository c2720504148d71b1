"""Classes that are right: as the documentation writes them, in functions, inherited, abstract."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import definition_tools
import pytest
from world import World

from kstate import (
    Command,
    Context,
    DefinitionError,
    KStateError,
    Processor,
    Rejected,
    command,
    event,
)
from kstate.errors import ConfigError
from kstate.processor import definition_of, name_of

BANK = """
from dataclasses import dataclass, replace
from kstate import Command, Context, Processor, Rejected, command, event, reaction

@dataclass(frozen=True)
class Account:                       # the state
    balance: int = 0

@dataclass(frozen=True)
class Deposit(Command[int]):         # a command, and the type of its reply
    amount: int

@dataclass(frozen=True)
class Deposited:                     # an event
    amount: int

class Bank(Processor[Account]):
    name = "bank"                    # topics: bank.commands, bank.journal, …
    snapshot_every = 100             # events per entity

    def init(self, persist_id: str) -> Account:
        return Account()

    @command
    def deposit(self, ctx: Context[Account], cmd: Deposit) -> int:
        if cmd.amount <= 0:
            raise Rejected("amount must be positive")
        ctx.persist(Deposited(cmd.amount))
        return ctx.state.balance     # the reply; leaves only once the event is committed

    @event
    def deposited(self, state: Account, event: Deposited) -> Account:
        return replace(state, balance=state.balance + event.amount)

    @reaction
    def notify(self, ctx: Context[Account], event: Deposited) -> None:
        ctx.after_commit(lambda: print(ctx.persist_id, event))
"""


@contextmanager
def module(path: Path, source: str) -> Iterator[ModuleType]:
    """A file's module, for as long as it is needed."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    try:
        spec.loader.exec_module(made)
        yield made
    finally:
        del sys.modules[path.stem]


@pytest.mark.parametrize("first_line", ["", "from __future__ import annotations"])
def test_the_first_example_runs_as_it_stands(
    world: World, tmp_path: Path, first_line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with module(tmp_path / "example_bank.py", first_line + BANK) as bank:
        world.run(bank.Bank)
        assert world.call(bank.Bank, "acct-1", bank.Deposit(5)) == 5
        assert world.call("bank", "acct-1", bank.Deposit(6)) == 11
        with pytest.raises(Rejected, match="amount must be positive"):
            world.call(bank.Bank, "acct-1", bank.Deposit(0))
        world.restart(without_store=True)
        assert world.state(bank.Bank, "acct-1") == bank.Account(11)
        world.stop()
    assert capsys.readouterr().out.splitlines() == [
        "acct-1 Deposited(amount=5)",
        "acct-1 Deposited(amount=6)",
    ]


def test_classes_inside_a_function_work_with_postponed_annotations(world: World) -> None:
    @dataclass(frozen=True)
    class Inner:
        n: int

    @dataclass(frozen=True)
    class Local:
        parts: tuple[Inner, ...] = ()

    @dataclass(frozen=True)
    class Put(Command[Inner]):
        inner: Inner

    @dataclass(frozen=True)
    class WasPut:
        inner: Inner

    class Box(Processor[Local]):
        name = "box"

        def init(self, persist_id: str) -> Local:
            return Local()

        @command
        def put(self, ctx: Context[Local], cmd: Put) -> Inner:
            ctx.persist(WasPut(cmd.inner))
            return ctx.state.parts[-1]

        @event
        def was_put(self, state: Local, event: WasPut) -> Local:
            return Local((*state.parts, event.inner))

    world.run(Box, partitions=1, max_entities=1)
    assert world.call(Box, "a", Put(Inner(7))) == Inner(7)
    world.call(Box, "b", Put(Inner(8)))
    world.restart(without_store=True)
    assert world.state(Box, "a") == Local((Inner(7),))


# -- inheritance -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sum:
    total: int = 0


@dataclass(frozen=True)
class Plus(Command[int]):
    n: int


@dataclass(frozen=True)
class Times(Command[int]):
    n: int


@dataclass(frozen=True)
class Became:
    total: int


class Base(Processor[Sum], abstract=True):
    """No name: it is not to be used by itself."""

    def init(self, persist_id: str) -> Sum:
        return Sum()

    @command
    def plus(self, ctx: Context[Sum], cmd: Plus) -> int:
        return self.become(ctx, ctx.state.total + cmd.n)

    @event
    def became(self, state: Sum, event: Became) -> Sum:
        return replace(state, total=event.total)

    def become(self, ctx: Context[Sum], total: int) -> int:
        ctx.persist(Became(total))
        return ctx.state.total


class Adder(Base):
    name = "adder"


class Multiplier(Base):
    name = "multiplier"

    @command
    def times(self, ctx: Context[Sum], cmd: Times) -> int:
        return self.become(ctx, ctx.state.total * cmd.n)

    def plus(self, ctx: Context[Sum], cmd: Plus) -> int:  # it stays the handler of Plus
        return self.become(ctx, ctx.state.total + 10 * cmd.n)


def test_a_subclass_has_the_handlers_of_its_base(world: World) -> None:
    world.run(Adder)
    assert world.call(Adder, "a", Plus(5)) == 5


def test_a_subclass_may_add_and_override_handlers(world: World) -> None:
    world.run(Multiplier)
    assert world.call(Multiplier, "a", Plus(5)) == 50
    assert world.call(Multiplier, "a", Times(2)) == 100


def test_two_subclasses_are_two_processors(world: World) -> None:
    world.run(Adder, Multiplier)
    assert world.call(Adder, "a", Plus(5)) == 5
    assert world.call(Multiplier, "a", Plus(5)) == 50
    assert world.state(Adder, "a") == Sum(5)


def test_an_abstract_class_cannot_be_run() -> None:
    with pytest.raises(ConfigError, match="is no processor"):
        definition_of(Base)


T = TypeVar("T")


def test_a_generic_base_takes_its_state_from_the_subclass(world: World) -> None:
    class Generally(Processor[T], Generic[T], abstract=True):
        @event
        def became(self, state: T, event: Became) -> T:
            return state

    class Particular(Generally[Sum]):
        name = "particular"

        def init(self, persist_id: str) -> Sum:
            return Sum(7)

        @command
        def plus(self, ctx: Context[Sum], cmd: Plus) -> int:
            return ctx.state.total + cmd.n

        @event
        def became(self, state: Sum, event: Became) -> Sum:
            return Sum(event.total)

    world.run(Particular)
    assert world.call(Particular, "a", Plus(1)) == 8


def test_a_subclass_that_breaks_a_rule_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"times and Worse\.plus|plus and Worse\.times"):

        class Worse(Multiplier):
            name = "worse"

            @command
            def times(self, ctx: Context[Sum], cmd: Plus) -> int:  # type: ignore[override]
                return 0


def test_init_may_depend_on_the_persist_id(world: World) -> None:
    class Named(Adder):
        name = "named"

        def init(self, persist_id: str) -> Sum:
            return Sum(len(persist_id))

    world.run(Named)
    assert world.state(Named, "four") == Sum(4)
    assert world.call(Named, "four", Plus(1)) == 5
    world.restart(without_store=True)
    assert world.state(Named, "four") == Sum(5)


def test_an_instance_with_settings_of_its_own_may_be_run() -> None:
    class Tuned(Adder):
        name = "tuned"
        bonus = 1

    tuned = Tuned()
    tuned.bonus = 5
    assert definition_of(tuned).commands[Plus].__self__.bonus == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("thing", [int, 7, object()])
def test_what_is_no_processor_is_said_to_be_none(thing: object) -> None:
    with pytest.raises(ConfigError):
        name_of(thing)  # type: ignore[arg-type]
    with pytest.raises(KStateError):
        definition_of(thing)  # type: ignore[arg-type]


def test_a_state_may_be_named_by_a_text_with_its_module() -> None:
    class Far(Processor["definition_tools.State"]):
        name = "far"

        def init(self, persist_id: str) -> definition_tools.State:
            return definition_tools.State()

        @command
        def do(self, ctx: Context[definition_tools.State], cmd: definition_tools.Do) -> int:
            return 1

    assert definition_of(Far).state_type is definition_tools.State


def test_init_may_be_annotated_with_what_a_subclass_names() -> None:
    class Base(Processor[T], abstract=True):
        first: T

        def init(self, persist_id: str) -> T:
            return self.first

        @command
        def do(self, ctx: Context[T], cmd: definition_tools.Do) -> int:
            return 1

    class Near(Base[definition_tools.State]):
        name = "near"

    assert definition_of(Near).state_type is definition_tools.State
