"""Every mistake in a processor class is reported when it is defined, in words that name the
method and the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kstate import Command, Context, DefinitionError, Processor, command, event, reaction


@dataclass(frozen=True)
class State:
    total: int = 0


@dataclass(frozen=True)
class Do(Command[int]):
    amount: int = 0


@dataclass(frozen=True)
class Done:
    amount: int = 0


class Good(Processor[State], abstract=True):
    """All that a processor needs, but for the name: each test adds a mistake."""

    def init(self, persist_id: str) -> State:
        return State()

    @command
    def do(self, ctx: Context[State], cmd: Do) -> int:
        return 1

    @event
    def done(self, state: State, event: Done) -> State:
        return state


def mistakes(define: Callable[[], Any]) -> list[str]:
    """The sentences of the definition's error."""
    with pytest.raises(DefinitionError) as caught:
        define()
    return list(caught.value.mistakes)


# -- attributes ------------------------------------------------------------------------------------


def test_a_processor_without_a_name() -> None:
    def define() -> None:
        class Nameless(Good):
            pass

    assert mistakes(define) == [
        (
            "'' cannot be the name of a processor: use a letter, then up to 99 letters, digits, "
            "'-' and '_'; write name = \"…\" in the class, or class …, abstract=True"
        )
    ]


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "é", "a.b", "a" * 101, "..", "a\n"])
def test_a_name_that_no_topic_can_bear(name: str) -> None:
    def define() -> None:
        type("Bad", (Good,), {"name": name})

    (mistake,) = mistakes(define)
    assert mistake.startswith(f"{name!r} cannot be the name of a processor: use a letter")


def test_the_name_kstate_is_reserved() -> None:
    (mistake,) = mistakes(lambda: type("Bad", (Good,), {"name": "kstate"}))
    assert mistake.startswith("'kstate' cannot be the name of a processor: it is reserved")


def test_a_name_that_is_no_text() -> None:
    (mistake,) = mistakes(lambda: type("Bad", (Good,), {"name": 7}))
    assert 'write name = "…" in the class' in mistake


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("snapshot_every", -1, "snapshot_every is -1: give a number of events, or 0"),
        ("snapshot_every", True, "snapshot_every is True: give a number of events, or 0"),
        ("snapshot_every", "9", "snapshot_every is '9': give a number of events, or 0"),
        ("snapshot_version", 0, "snapshot_version is 0: give a number from 1 on"),
        ("snapshot_version", 1.5, "snapshot_version is 1.5: give a number from 1 on"),
        ("on_error", "ignore", 'on_error is \'ignore\': write "dead_letter" or "stop"'),
        ("sends", [3], "sends has 3: list processor classes or their names"),
        ("sends", [object], f"sends has {object!r}: list processor classes or their names"),
        ("sends", "ledger", "sends is 'ledger': write a list, like sends = [Ledger]"),
        ("sends", None, "sends is None: write a list, like sends = [Ledger]"),
        ("sends", Good, f"sends is {Good!r}: write a list, like sends = [Ledger]"),
        ("adapters", [int], f"adapters has {int!r}: list instances of EventAdapter subclasses"),
        ("adapters", 7, "adapters is 7: write a list, like adapters = [MyAdapter()]"),
    ],
)
def test_an_attribute_that_cannot_be_used(attribute: str, value: Any, sentence: str) -> None:
    assert mistakes(lambda: type("Bad", (Good,), {"name": "bad", attribute: value})) == [sentence]


def test_a_target_that_no_processor_can_be() -> None:
    (mistake,) = mistakes(lambda: type("Bad", (Good,), {"name": "bad", "sends": ["a b"]}))
    assert mistake.startswith("sends: 'a b' cannot be the name of a processor")


# -- init and state --------------------------------------------------------------------------------


def test_init_is_missing() -> None:
    def define() -> None:
        class Bad(Processor[State]):
            name = "bad"

            @command
            def do(self, ctx: Context[State], cmd: Do) -> int:
                return 1

    assert mistakes(define) == [
        "init is missing: write def init(self, persist_id), the state without events"
    ]


def test_init_is_async() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            async def init(self, persist_id: str) -> State:  # type: ignore[override]
                return State()

    (mistake,) = mistakes(define)
    assert mistake.startswith("Bad.init is async: write def;")


def test_init_with_other_parameters() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            def init(self) -> State:  # type: ignore[override]
                return State()

    assert mistakes(define) == ["Bad.init does not have the parameters (self, persist_id)"]


def test_the_state_is_not_named() -> None:
    def define() -> None:
        class Bad(Processor):  # type: ignore[type-arg]
            name = "bad"

            def init(self, persist_id: str) -> State:
                return State()

            @command
            def do(self, ctx: Context[State], cmd: Do) -> int:
                return 1

    assert mistakes(define) == ["its state is not named: derive it from Processor[TheState]"]


@pytest.mark.parametrize("state", [int, dict, dict[str, int], State | None])
def test_the_state_is_no_dataclass(state: Any) -> None:
    def define() -> None:
        class Bad(Processor[state]):
            name = "bad"

            def init(self, persist_id: str) -> Any:
                return None

            @command
            def do(self, ctx: Context[Any], cmd: Do) -> int:
                return 1

    (mistake,) = mistakes(define)
    assert mistake.startswith("the state ")
    assert mistake.endswith(" is no dataclass: write one with @dataclass(frozen=True)")


@dataclass
class Thawed:
    total: int = 0


@dataclass(frozen=True)
class Listing:
    items: list[int]
    table: dict[str, tuple[list[int], ...]]


@dataclass(frozen=True)
class Formless:
    anything: set[int]
    number: complex


def with_state(state: Any) -> None:
    class Bad(Processor[state]):
        name = "bad"

        def init(self, persist_id: str) -> Any:
            return None

        @command
        def do(self, ctx: Context[Any], cmd: Do) -> int:
            return 1


def test_the_state_is_not_frozen() -> None:
    assert mistakes(lambda: with_state(Thawed)) == [
        (
            "the state Thawed: Thawed: Thawed is not frozen; write @dataclass(frozen=True) above "
            "the class"
        )
    ]


def test_the_state_has_parts_that_can_change() -> None:
    assert mistakes(lambda: with_state(Listing)) == [
        (
            "the state Listing: Listing.items is a list, which can change behind its back; "
            "write tuple[T, ...]"
        ),
        (
            "the state Listing: Listing.table is a dict, which can change behind its back; "
            "write Mapping[str, T] or immutables.Map[str, T]"
        ),
        (
            "the state Listing: Listing.table[…][…] is a list, which can change behind its back; "
            "write tuple[T, ...]"
        ),
    ]


def test_a_state_without_an_avro_form() -> None:
    found = mistakes(lambda: with_state(Formless))
    assert len(found) == 2
    assert found[0].startswith("the state Formless: Formless.anything: set[int] has no Avro form;")
    assert found[1] == (
        "the state Formless: Formless.number: complex has no Avro form; use two floats"
    )


# -- handlers --------------------------------------------------------------------------------------


def test_no_command_handler_at_all() -> None:
    def define() -> None:
        class Bad(Processor[State]):
            name = "bad"

            def init(self, persist_id: str) -> State:
                return State()

    assert mistakes(define) == ["it has no command handler: decorate a method with @command"]


def test_an_async_handler() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            async def wait(self, ctx: Context[State], cmd: Do) -> int:
                return 1

    assert mistakes(define) == [
        (
            "Bad.wait is async: write def; what must wait for the outside world belongs after the "
            "commit (ctx.after_commit) or to a consumer of the journal"
        )
    ]


def test_a_handler_that_yields() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Do) -> Iterator[Done]:
                yield Done()

    assert mistakes(define) == [
        "Bad.go is a generator: persist events with ctx.persist, do not yield them"
    ]


def test_handlers_with_other_parameters() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def few(self, cmd: Do) -> int:
                return 1

            @event
            def many(self, ctx: Context[State], state: State, event: Done) -> State:
                return state

            @reaction
            def odd(self, ctx: Context[State], *, event: Done) -> None:
                pass

    assert mistakes(define) == [
        "Bad.few does not have the parameters (self, ctx, cmd)",
        "Bad.many does not have the parameters (self, state, event)",
        "Bad.odd does not have the parameters (self, ctx, event)",
    ]


def test_a_handler_without_an_annotation() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx, cmd):  # type: ignore[no-untyped-def]
                return 1

    assert mistakes(define) == ["Bad.go: cmd has no annotation: name the class it handles"]


def test_an_annotation_that_names_no_class() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Do | None) -> int:
                return 1

    (mistake,) = mistakes(define)
    assert mistake.startswith("Bad.go: cmd is annotated ")
    assert mistake.endswith(": name one class")


def test_an_annotation_that_cannot_be_resolved() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Nowhere) -> int:  # type: ignore[name-defined] # noqa: F821
                return 1

    assert mistakes(define) == [
        (
            "Bad.go: an annotation cannot be resolved (name 'Nowhere' is not defined): define or "
            "import the name before Bad"
        )
    ]


def test_a_handler_that_is_no_function() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"
            do = None  # type: ignore[assignment]

    assert mistakes(define)[0] == (
        "Bad.do is no method, but overrides one: write def, or leave it out"
    )


# -- commands --------------------------------------------------------------------------------------


def test_a_command_that_is_none() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Done) -> int:
                return 1

    assert mistakes(define) == [
        "Bad.go: Done is no command: derive it from Command[the reply's type]"
    ]


def test_two_handlers_for_one_command() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def again(self, ctx: Context[State], cmd: Do) -> int:
                return 1

    assert mistakes(define) == ["Bad.again and Bad.do both handle Do: remove one"]


@dataclass(frozen=True)
class Bare(Command):  # type: ignore[type-arg]
    pass


class Plain(Command[int]):
    pass


@dataclass(frozen=True)
class Sets(Command[set[int]]):
    inner: set[int]


def test_a_command_that_does_not_name_its_reply() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Bare) -> int:
                return 1

    assert mistakes(define) == [
        (
            "Bad.go: Bare does not say what its reply is; derive it from Command[T], or from "
            "Command[None]"
        )
    ]


def test_a_command_that_is_no_dataclass() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Plain) -> int:
                return 1

    (mistake,) = mistakes(define)
    assert mistake.startswith("Bad.go: the command Plain: ")
    assert "@dataclass(frozen=True)" in mistake


def test_a_command_and_a_reply_without_an_avro_form() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def go(self, ctx: Context[State], cmd: Sets) -> set[int]:
                return set()

    found = mistakes(define)
    assert len(found) == 2
    assert found[0].startswith("Bad.go: the command Sets: Sets.inner: set[int] has no Avro form;")
    assert found[1].startswith("Bad.go: the reply of Sets: set[int]: set[int] has no Avro form;")


def test_a_handler_that_does_not_say_what_it_returns() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def do(self, ctx: Context[State], cmd: Do):  # type: ignore[no-untyped-def]
                return 1

    assert mistakes(define) == ["Bad.do has no return annotation: write -> int"]


def test_a_handler_that_returns_something_else_than_its_command_promises() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def do(self, ctx: Context[State], cmd: Do) -> None:  # type: ignore[override]
                pass

    assert mistakes(define) == ["Bad.do returns None, but Do is a Command[int]: make them the same"]


# -- folds and reactions ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Unfolded:
    amount: int = 0


def test_two_folds_for_one_event() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @event
            def again(self, state: State, event: Done) -> State:
                return state

    assert mistakes(define) == ["Bad.again and Bad.done both fold Done: remove one"]


def test_a_fold_of_a_command() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @event
            def fold(self, state: State, event: Do) -> State:
                return state

    assert "Bad.fold folds the command Do: events are what happened; fold an event" in mistakes(
        define
    )


def test_a_fold_of_another_state() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @event
            def fold(self, state: Done, event: Unfolded) -> int:
                return 1

    assert mistakes(define) == [
        "Bad.fold: state is annotated Done, not State",
        "Bad.fold: its result is annotated int, not State",
    ]


def test_a_reaction_to_an_event_without_a_fold() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @reaction
            def react(self, ctx: Context[State], event: Unfolded) -> None:
                pass

    assert mistakes(define) == [
        (
            "Bad.react reacts to Unfolded, which has no fold: add a method with @event whose last "
            "parameter is a Unfolded"
        )
    ]


def test_a_reaction_that_returns_something() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @reaction
            def react(self, ctx: Context[State], event: Done) -> int:
                return 1

    assert mistakes(define) == [
        "Bad.react returns something: a reaction has no reply; write -> None"
    ]


def test_two_types_of_one_name() -> None:
    def other() -> type:
        @dataclass(frozen=True)
        class Done:
            text: str = ""

        return Done

    def define() -> None:
        Other = other()

        class Bad(Good):
            name = "bad"

            @event
            def fold(self, state: State, event: Other) -> State:  # type: ignore[valid-type]
                return state

    (mistake,) = mistakes(define)
    assert "two classes are called Done" in mistake
    assert "rename one: a type's name is its identity in the journal" in mistake


# -- all at once -----------------------------------------------------------------------------------


def test_all_mistakes_are_reported_at_once() -> None:
    def define() -> None:
        class Bad(Processor[Thawed]):
            name = "a b"
            snapshot_every = -1
            on_error = "ignore"  # type: ignore[assignment]

            @command
            async def wait(self, ctx: Context[Thawed], cmd: Do) -> int:
                return 1

            @event
            def few(self, event: Done) -> Thawed:
                return Thawed()

            @reaction
            def react(self, ctx: Context[Thawed], event: Unfolded) -> int:
                return 1

    found = mistakes(define)
    names = ("'a b'", "snapshot_every", "on_error", "init", "Thawed", "wait", "few", "react")
    for expected in names:
        assert any(expected in mistake for mistake in found), expected
    assert len(found) == len(set(found))


def test_the_error_is_one_text_with_a_line_for_each() -> None:
    with pytest.raises(DefinitionError) as caught:
        type("Bad", (Good,), {"name": "", "snapshot_every": -1})
    lines = str(caught.value).splitlines()
    assert lines[0] == "Bad cannot be used:"
    assert len(lines) == 3
    assert all(line.startswith("  - ") for line in lines[1:])
