"""Mistakes in commands and their replies are reported when the class is defined."""

from __future__ import annotations

from dataclasses import dataclass

from definition_tools import Do, Done, Good, State, mistakes

from kstate import Command, Context, command

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
