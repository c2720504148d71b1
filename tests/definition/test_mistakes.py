"""Every mistake in a processor class is reported when it is defined, in words that name the
method and the cure: those in its attributes, and many at once."""

from __future__ import annotations

from typing import Any

import pytest
from definition_tools import Do, Done, Good, Thawed, Unfolded, mistakes

from kstate import Context, DefinitionError, Processor, command, event, reaction

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
    ("attribute", "value", "meant"),
    [
        ("snapshot_evry", 10, "snapshot_every"),
        ("snapshots_every", 10, "snapshot_every"),
        ("snapshot_versoin", 2, "snapshot_version"),
        ("onerror", "stop", "on_error"),
        ("adapter", [], "adapters"),
        ("send", ["ledger"], "sends"),
    ],
)
def test_an_attribute_that_is_nearly_a_setting(attribute: str, value: Any, meant: str) -> None:
    assert mistakes(lambda: type("Bad", (Good,), {"name": "bad", attribute: value})) == [
        f"{attribute} is no setting: did you mean {meant}? Else rename it"
    ]


def test_a_misspelt_attribute_of_a_base_class() -> None:
    class Base(Good, abstract=True):
        snapshot_evry = 10

    (mistake,) = mistakes(lambda: type("Bad", (Base,), {"name": "bad"}))
    assert "did you mean snapshot_every?" in mistake


def test_a_misspelt_name_is_told_beside_the_missing_one() -> None:
    assert "nam is no setting: did you mean name? Else rename it" in mistakes(
        lambda: type("Bad", (Good,), {"nam": "bad"})
    )


def test_methods_and_names_of_ones_own_are_no_misspelt_settings() -> None:
    class Fine(Good):
        name = "fine"
        names = ("a", "b")
        limit = 10
        versions = (1, 2)
        _sends = 3

        def send(self) -> None: ...

    assert Fine.name == "fine"


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
        (
            "adapters",
            [int],
            f"adapters has {int!r}: list instances of EventAdapter or SnapshotAdapter subclasses",
        ),
        ("adapters", 7, "adapters is 7: write a list, like adapters = [MyAdapter()]"),
    ],
)
def test_an_attribute_that_cannot_be_used(attribute: str, value: Any, sentence: str) -> None:
    assert mistakes(lambda: type("Bad", (Good,), {"name": "bad", attribute: value})) == [sentence]


def test_a_target_that_no_processor_can_be() -> None:
    (mistake,) = mistakes(lambda: type("Bad", (Good,), {"name": "bad", "sends": ["a b"]}))
    assert mistake.startswith("sends: 'a b' cannot be the name of a processor")


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
