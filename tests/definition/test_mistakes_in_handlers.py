"""Mistakes in handlers, folds and reactions are reported when the class is defined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from definition_tools import Do, Done, Good, State, Unfolded, mistakes

from kstate import Context, Deleted, Processor, command, event, reaction
from kstate.core.messages import Erase

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


def test_messages_of_kstates_own() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            @command
            def erase(self, ctx: Context[State], cmd: Erase) -> int:
                return 1

            @event
            def gone(self, state: State, event: Deleted) -> State:
                return state

            @reaction
            def mourn(self, ctx: Context[State], event: Deleted) -> None:
                pass

    assert mistakes(define) == [
        "Bad.erase: Erase is kstate's own: it is handled by kstate alone",
        "Bad.gone: Deleted is kstate's own: it is handled by kstate alone",
        "Bad.mourn: Deleted is kstate's own: it is handled by kstate alone",
    ]


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


# -- folds and reactions ---------------------------------------------------------------------------


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
