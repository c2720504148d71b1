"""Mistakes in ``init`` and in the state are reported when the class is defined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import definition_tools
import pytest
from definition_tools import Do, Good, State, Thawed, mistakes

from kstate import Context, Processor, command

assert definition_tools.State  # which a state written as text names


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


def test_init_that_is_annotated_with_something_else() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            def init(self, persist_id: str) -> int:  # type: ignore[override]
                return 0

    assert mistakes(define) == [
        "Bad.init is annotated to return int: it makes the first state, write -> State"
    ]


def test_init_with_an_annotation_that_cannot_be_resolved() -> None:
    def define() -> None:
        class Bad(Good):
            name = "bad"

            def init(self, persist_id: str) -> Nowhere:  # type: ignore[name-defined] # noqa: F821
                return State()

    (mistake,) = mistakes(define)
    assert mistake.startswith("Bad.init: an annotation cannot be resolved (name 'Nowhere'")


def test_a_state_written_as_text_that_cannot_be_resolved() -> None:
    def define() -> None:
        class Bad(Processor["definition_tools.Nowhere"]):  # type: ignore[name-defined]
            name = "bad"

            def init(self, persist_id: str) -> State:
                return State()

            @command
            def do(self, ctx: Context[State], cmd: Do) -> int:
                return 1

    (mistake,) = mistakes(define)
    assert mistake == (
        "Processor['definition_tools.Nowhere']: an annotation cannot be resolved (module "
        "'definition_tools' has no attribute 'Nowhere'): define or import the name before Bad"
    )


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
