"""The page of a processor, as ``kstate schema docs`` writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from evolution_tools import Today, today

from kstate import EventAdapter
from kstate.codec.avro import AvroCodec
from kstate.codec.pages import page, write_page
from kstate.codec.schemas import freeze
from kstate.processor import definition_of
from processors.bank import Bank
from processors.flights import Flights

SCHEMAS = Path(__file__).parents[2] / "schemas"


def codec(processor: type) -> AvroCodec:
    return AvroCodec(definition_of(processor))


@pytest.mark.parametrize("processor", [Bank, Flights])
def test_the_pages_of_the_examples_are_up_to_date(processor: type) -> None:
    path = SCHEMAS / definition_of(processor).name / "README.md"
    assert path.read_text("utf-8") == page(codec(processor), SCHEMAS)


def test_a_page_has_docstrings_fields_and_replies(tmp_path: Path) -> None:
    text = page(codec(Today), tmp_path)
    assert "### Pay\n\nPays money in; the reply is what is in the purse then.\n" in text
    assert "| `amount` | long |  |\n\nReply: `long`.\n" in text
    assert "### Save\n\nTakes a snapshot.\n\nNo fields.\n\nReply: nothing.\n" in text


def test_a_page_tells_which_versions_are_frozen(tmp_path: Path) -> None:
    assert "not frozen, today's" in page(codec(Today), tmp_path)
    freeze(codec(Today), tmp_path)
    assert "[Deposited.avsc](Deposited.avsc), today's" in page(codec(Today), tmp_path)
    assert "not frozen" not in page(codec(Today), tmp_path)


def test_a_page_tells_of_adapters_and_the_tags_they_say_they_give(tmp_path: Path) -> None:
    class Sizes(EventAdapter):
        """Tags what is large."""

        tags = ("large", "small")

    text = page(codec(today(Sizes())), tmp_path)
    assert "* `Sizes`: Tags what is large. Tags: `large`, `small`.\n" in text


def test_a_page_is_written_once(tmp_path: Path) -> None:
    assert write_page(codec(Today), tmp_path) == (tmp_path / "purse" / "README.md", True)
    assert write_page(codec(Today), tmp_path) == (tmp_path / "purse" / "README.md", False)
