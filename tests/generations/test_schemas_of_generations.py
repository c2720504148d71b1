"""``kstate schema check`` of today's bank against all that was frozen or published."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden
import pytest
from click.testing import CliRunner
from generations_tools import EVENTS_ONLY, poured
from golden import GENERATIONS, SCHEMAS
from world import World

from kstate.cli.main import kstate
from kstate.codec.avro import AvroCodec
from kstate.codec.pages import page
from kstate.codec.schemas import check
from kstate.processor import definition_of
from kstate.wiring import load_processor

TARGET = "bank_today:Bank"


def checked(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(
        kstate, ["schema", "check", TARGET, *arguments, "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_todays_code_reads_every_version_that_was_frozen() -> None:
    found = checked("--dir", str(SCHEMAS))
    assert {each["verdict"] for each in found} == {"ok"}
    versions = Counter(path.name.partition(".")[0] for path in (SCHEMAS / "bank").iterdir())
    assert versions["Account"] == 3, "one of each generation"
    assert versions.keys() <= {each["type"].partition(".")[0] for each in found}


def test_former_types_are_read_through_adapters_or_under_their_new_names() -> None:
    said = {each["type"]: each["sentence"] for each in checked("--dir", str(SCHEMAS))}
    for name in ("MoneyOut", "Viewed", "CardIn"):
        assert said[name] == f"{name} is read through adapters"
    assert "MoneyIn" in said


def test_the_page_of_the_bank_tells_of_types_that_are_stored_and_no_longer_in_the_code() -> None:
    text = page(AvroCodec(definition_of(load_processor(TARGET))), SCHEMAS)
    past = text.partition("## Types of the past")[2].partition("\n## ")[0]
    names = re.findall(r"^### (\w+)$", past, re.M)
    assert {"CardIn", "MoneyOut", "Viewed"} <= set(names)
    assert names == sorted(names)
    money_out = past.partition("### MoneyOut\n")[2].partition("\n### ")[0]
    assert "| `cents` | long |" in money_out
    assert "[MoneyOut.avsc](MoneyOut.avsc)" in money_out


@pytest.mark.parametrize("generation", GENERATIONS)
def test_todays_code_reads_what_a_generation_published(
    world: World, generation: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    poured(world, generation)
    monkeypatch.setenv("KSTATE_LOG", world.url)
    monkeypatch.setenv("KSTATE_PREFIX", world.prefix)
    found = checked("--published", "--dir", str(tmp_path))
    assert {each["verdict"] for each in found} <= {"ok", "new"}


def test_without_the_snapshot_adapter_states_alone_are_to_be_rebuilt() -> None:
    verdicts = {
        f.type_name: f.verdict for f in check(AvroCodec(definition_of(EVENTS_ONLY)), SCHEMAS)
    }
    assert verdicts.pop("Account") == "rebuild"
    assert set(verdicts.values()) == {"ok"}


def test_every_type_that_a_generation_published_was_frozen() -> None:
    frozen = {path.name.partition(".avsc")[0] for path in (SCHEMAS / "bank").iterdir()}
    published = {name for each in GENERATIONS for name in _published(each)}
    assert {"Account", "MoneyIn", "Deposited"} <= published
    assert published <= frozen


def _published(generation: str) -> Iterator[str]:
    """The types of a bank's own whose schemas a generation published."""
    for record in golden.read(generation).records["schemas"]:
        schema = json.loads(record.value or b"null")
        if isinstance(schema, dict) and schema.get("namespace") == "bank":
            yield schema["name"]
