"""Every mistake in a projection or a handler is told when its class is defined, all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from tally import Added, Marked, Sums, Tally, metadata

from kstate import (
    DefinitionError,
    EventHandler,
    Projection,
    Rows,
    StoredEvent,
    handles,
    projects,
)


def mistakes(define: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        define()
    return caught.value.mistakes


def tables(name: str = "one", schema: str | None = None) -> MetaData:
    made = MetaData()
    Table(name, made, Column("id", Integer, primary_key=True), schema=schema)
    return made


def projection(**attributes: Any) -> Callable[[], type]:
    """Defines a projection that differs from a good one in these attributes."""

    def added(self: Any, rows: Rows, stored: StoredEvent, event: Added) -> None:
        pass

    good = {
        "name": "good",
        "source": Tally,
        "metadata": metadata,
        "added": projects(added),
        "__module__": __name__,
    }
    return lambda: type("Bad", (Projection,), {**good, **attributes})


def test_a_good_one_is_taken() -> None:
    assert projection()().__name__ == "Bad"


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"name": "a b"}, "'a b' cannot be the name of Bad: use a letter"),
        ({"name": 7}, 'write name = "…" in the class'),
        ({"source": None}, "source is None: name the class of the processor"),
        ({"source": "tally"}, "source is 'tally': name the class of the processor"),
        ({"metadata": None}, "metadata is None: give SQLAlchemy's MetaData"),
        ({"metadata": MetaData()}, "metadata has no tables"),
        ({"metadata": tables(schema="x")}, "the table x.one names a schema: leave it out"),
        ({"metadata": tables("kstate_offsets")}, "names with kstate_ are kstate's own; rename it"),
        ({"version": 0}, "version is 0: give a number from 1 on"),
        ({"attempts": "3"}, "attempts is '3': give a number from 1 on"),
        ({"on_error": "ignore"}, 'on_error is \'ignore\': write "retry", "skip" or "stop"'),
        ({"added": None}, "Bad.added is no method, but overrides one"),
    ],
)
def test_a_wrong_attribute(attributes: dict[str, Any], told: str) -> None:
    if attributes == {"added": None}:
        found = mistakes(lambda: type("Bad", (Sums,), attributes))
    else:
        found = mistakes(projection(**attributes))
    assert any(told in each for each in found), found


def test_a_projection_without_handlers() -> None:
    def define() -> None:
        class Bad(Projection):
            name = "bad"
            source = Tally
            metadata = tables()

    assert mistakes(define) == ("it has no handler: decorate a method with @projects",)


def test_all_mistakes_of_handlers_are_told_at_once() -> None:
    def define() -> None:
        class Bad(Projection):
            name = "bad"
            source = Tally
            metadata = tables()

            @projects
            async def waits(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
                pass

            @projects
            def short(self, event: Added) -> None:
                pass

            @projects
            def bare(self, rows, stored, event):  # type: ignore[no-untyped-def]
                pass

            @projects
            def unknown(self, rows: Rows, stored: StoredEvent, event: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
                pass

            @projects
            def foreign(self, rows: Rows, stored: StoredEvent, event: int) -> None:
                pass

            @projects
            def first(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
                pass

            @projects
            def second(self, rows: Rows, stored: StoredEvent, event: Added | Marked) -> None:
                pass

            @projects
            def gives(self, rows: Rows, stored: StoredEvent, event: Marked) -> int:
                return 1

            @handles
            def other(self, stored: StoredEvent, event: Marked) -> None:
                pass

    found = mistakes(define)
    for told in (
        "Bad.waits is async: write def",
        "Bad.short does not have the parameters (self, rows, stored, event)",
        "Bad.bare: event has no annotation: name the event it handles",
        "Bad.unknown: an annotation cannot be resolved",
        "Bad.foreign: Tally has no event int: name one of Added, Marked, or kstate.Deleted",
        "Bad.second and Bad.first both handle Added: remove one",
        "Bad.gives returns something, which nobody would get: write -> None",
        "Bad.other is marked with @handles: here it is @projects",
    ):
        assert any(told in each for each in found), (told, found)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"begins": "now"}, 'begins is \'now\': write "beginning" or "end"'),
        ({"on_error": "retry"}, 'on_error is \'retry\': write "stop" or "skip"'),
        ({"pause_s": -1}, "pause_s is -1: give seconds, 0 or more"),
        ({"attempts": 0}, "attempts is 0: give a number from 1 on"),
    ],
)
def test_a_wrong_attribute_of_a_handler(attributes: dict[str, Any], told: str) -> None:
    class Good(EventHandler):
        name = "good"
        source = Tally

        @handles
        def added(self, stored: StoredEvent, event: Added) -> None:
            pass

    assert mistakes(lambda: type("Bad", (Good,), attributes)) == (told,)


def test_an_intermediate_class_is_not_looked_at() -> None:
    class Base(Projection, abstract=True):
        source = Tally

    assert not hasattr(Base, "__kstate_handlers__")
