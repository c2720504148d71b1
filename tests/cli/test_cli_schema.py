"""``kstate schema``."""

from __future__ import annotations

import json
from pathlib import Path

from shells import shell_on

shell = shell_on({})


def test_freezing_writes_a_file_per_type(directory: Path) -> None:
    result = shell("schema", "freeze", "shop:Shop")
    assert result.exit_code == 0, result.stderr
    assert "written    schemas/shop/Put.avsc\n" in result.stdout
    assert json.loads((directory / "schemas/shop/Put.avsc").read_text())["name"] == "Put"


def test_freezing_again_changes_nothing(directory: Path) -> None:
    shell("schema", "freeze", "shop:Shop")
    result = shell("schema", "freeze", "shop:Shop")
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"unchanged"}


def test_the_directory_can_be_named(directory: Path) -> None:
    shell("schema", "freeze", "shop:Shop", "--dir", "elsewhere")
    assert (directory / "elsewhere/shop/Put.avsc").exists()


def test_what_was_frozen_is_read(directory: Path) -> None:
    shell("schema", "freeze", "shop:Shop")
    result = shell("schema", "check", "shop:Shop")
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}


def test_what_is_not_frozen_is_new_and_no_error(directory: Path) -> None:
    result = shell("schema", "check", "shop:Shop")
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"new"}


def test_an_incompatible_change_fails_and_names_the_field(directory: Path) -> None:
    shell("schema", "freeze", "shop:Shop")
    frozen = directory / "schemas/shop/Put.avsc"
    frozen.write_text(frozen.read_text().replace('"long"', '"string"'))
    checked = shell("schema", "check", "shop:Shop")
    assert checked.exit_code == 24
    assert "incompatible  shop: " in checked.stdout
    assert "count" in checked.stdout
    assert checked.stderr.startswith("kstate: 1 of ")
    assert shell("schema", "freeze", "shop:Shop").exit_code == 24


def test_a_type_that_is_gone_fails(directory: Path) -> None:
    shell("schema", "freeze", "shop:Shop")
    (directory / "schemas/shop/Put.avsc").rename(directory / "schemas/shop/Take.avsc")
    result = shell("schema", "check", "shop:Shop", "--json")
    assert result.exit_code == 24
    verdicts = {e["type"]: e["verdict"] for e in map(json.loads, result.stdout.splitlines())}
    assert (verdicts["Take"], verdicts["Put"]) == ("missing", "new")


def test_a_name_is_looked_up_in_the_settings(directory: Path) -> None:
    assert shell("schema", "check", "shop").exit_code == 3
    (directory / "kstate.toml").write_text('processors = ["shop:Shop"]\n')
    assert shell("schema", "check", "shop").exit_code == 0
