"""What ``check`` says of replies, and of commands that are taken no longer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kstate import Command, Context, Processor, command
from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.schemas import check, check_book, freeze
from kstate.processor import definition_of
from kstate.wiring import refuse_unreadable


@dataclass(frozen=True)
class Total:
    amount: int = 0


@dataclass(frozen=True)
class Pay(Command[int]):
    amount: int


@dataclass(frozen=True)
class Look(Command[int]):
    """Its reply has the same schema as that of `Pay`."""


class Till(Processor[Total]):
    name = "till"

    def init(self, persist_id: str) -> Total:
        return Total()

    @command
    def look(self, ctx: Context[Total], cmd: Look) -> int:
        return ctx.state.amount


class PayingTill(Till):
    name = "till"

    @command
    def pay(self, ctx: Context[Total], cmd: Pay) -> int:
        return ctx.state.amount


def with_text_as_the_reply_of_pay() -> Any:
    @dataclass(frozen=True)
    class Pay(Command[str]):
        amount: int

    class Changed(Till):
        name = "till"

        @command
        def pay(self, ctx: Context[Total], cmd: Pay) -> str:
            return str(ctx.state.amount)

    return Changed


def with_text_as_the_reply_of_look() -> Any:
    @dataclass(frozen=True)
    class Look(Command[str]):
        pass

    class Changed(Processor[Total]):
        name = "till"

        def init(self, persist_id: str) -> Total:
            return Total()

        @command
        def look(self, ctx: Context[Total], cmd: Look) -> str:
            return str(ctx.state.amount)

        @command
        def pay(self, ctx: Context[Total], cmd: Pay) -> int:
            return ctx.state.amount

    return Changed


def codec(processor: Any, book: Book | None = None) -> AvroCodec:
    return AvroCodec(definition_of(processor), book or Book())


def published(processor: Any) -> Book:
    """What a worker leaves on the schemas topic."""
    return codec(processor).book


def verdicts(findings: Any) -> dict[str, str]:
    return {each.type_name: each.verdict for each in findings}


@pytest.mark.parametrize(
    "changed", [with_text_as_the_reply_of_pay(), with_text_as_the_reply_of_look()]
)
def test_a_reply_may_change_whichever_command_has_it(changed: Any) -> None:
    before = published(PayingTill)
    found = verdicts(check_book(codec(changed), before))
    assert set(found.values()) <= {"ok", "new"}
    refuse_unreadable(codec(changed, before))


def test_a_command_that_was_published_and_is_gone_is_retired(tmp_path: Path) -> None:
    before = published(PayingTill)
    found = verdicts(check(codec(Till), tmp_path, before))
    assert found["Pay"] == "retired"
    assert "missing" not in found.values()
    refuse_unreadable(codec(Till, before))


def test_a_command_that_was_frozen_and_is_gone_is_missing_until_its_file_is_removed(
    tmp_path: Path,
) -> None:
    freeze(codec(PayingTill), tmp_path)
    assert verdicts(check(codec(Till), tmp_path))["Pay"] == "missing"
    for path in (tmp_path / "till").glob("Pay*"):
        path.unlink()
    assert "Pay" not in verdicts(check(codec(Till), tmp_path))
