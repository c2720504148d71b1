"""The names of the package: which there are, and what it costs to have them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import kstate

HEAVY = {"confluent_kafka", "fastavro", "sqlitedict", "rich"}


def modules_after(code: str) -> set[str]:
    """What a fresh Python has imported after running the code."""
    tell = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", kstate.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(kstate, name).__name__ == name


def test_dir_shows_the_public_names_and_no_others() -> None:
    assert dir(kstate) == sorted(kstate.__all__)


def test_a_star_gives_the_public_names() -> None:
    given: dict[str, object] = {}
    exec("from kstate import *", given)
    assert given.keys() - {"__builtins__"} == set(kstate.__all__)


def test_a_name_is_the_same_wherever_it_comes_from() -> None:
    from kstate.errors import Rejected

    assert kstate.Rejected is Rejected is kstate.errors.Rejected


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'kstate' has no attribute 'Nothing'"):
        _ = kstate.Nothing  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from kstate import Nothing  # type: ignore[attr-defined]  # noqa: F401


def test_the_modules_of_errors_and_of_asyncio_need_no_import_of_their_own() -> None:
    loaded = modules_after("import kstate; kstate.aio.connect; kstate.errors.LogError")
    assert "kstate.aio" in loaded


def test_importing_the_package_loads_nothing_else_of_it() -> None:
    loaded = modules_after("import kstate")
    assert {name for name in loaded if name.startswith("kstate")} == {"kstate"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_neither_a_codec_nor_a_log(arguments: list[str]) -> None:
    loaded = modules_after(
        f"from kstate.cli.main import kstate\nkstate({arguments!r}, standalone_mode=False)"
    )
    assert "kstate.cli.main" in loaded
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith(("kstate.log.", "kstate.codec."))}
