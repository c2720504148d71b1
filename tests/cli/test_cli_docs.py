"""The pages that describe the command line, and its help, say what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from kstate import errors
from kstate.cli.errors import EXIT_INTERRUPTED, EXIT_LATE, EXIT_OUTPUT, EXIT_UNEXPECTED
from kstate.cli.main import COMMANDS, kstate
from kstate.config import Config
from kstate.core.policy import Policy
from kstate.errors import KStateError
from kstate.runtime.watchdog import EXIT_HUNG

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text("utf-8")
SETTINGS = (DOCS / "settings.md").read_text("utf-8")


def tree(
    group: click.Group, path: tuple[str, ...] = ("kstate",)
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name; the group itself first."""
    yield " ".join(path), group
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from tree(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


ALL = dict(tree(kstate))
SHARED = ("log", "prefix", "schema_registry", "file")
"""Options that `kstate.cli.options.common` gives."""
every_command = pytest.mark.parametrize("name", list(ALL))


def section(title: str) -> str:
    """The text of a section of the page, up to the next heading."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert found is not None, f"docs/cli.md has no section {title!r}"
    return found[1]


def help_of(name: str) -> str:
    command = ALL[name]
    return command.get_help(click.Context(command, info_name=name))


@every_command
def test_help_has_an_example_of_the_command(name: str) -> None:
    shown = help_of(name).partition("Example")[2]
    assert re.search(rf"^    {name} ", shown, re.M), help_of(name)


@every_command
def test_examples_are_not_filled_into_paragraphs(name: str) -> None:
    shown = help_of(name).partition("Example")[2].splitlines()[1:]
    assert shown
    assert all(line.startswith("    kstate ") for line in shown)


@every_command
def test_every_option_says_what_it_does(name: str) -> None:
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help
            assert parameter.help.endswith("."), parameter.name


@every_command
def test_every_command_and_option_is_on_the_page(name: str) -> None:
    text = section(f"`{name}`")
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            shared = name != "kstate" and parameter.name in SHARED
            where = section("Options of most commands") if shared else text
            assert f"`{parameter.opts[0]}" in where, parameter.opts[0]


@every_command
def test_the_page_names_no_option_that_is_not_there(name: str) -> None:
    command = ALL[name]
    known = {option for parameter in command.params for option in parameter.opts}
    table = re.findall(r"^\| `(--[a-z-]+)", section(f"`{name}`"), re.M)
    assert set(table) <= known | {"--version", "--help"}


@every_command
def test_the_usage_on_the_page_is_that_of_the_help(name: str) -> None:
    if isinstance(ALL[name], click.Group):
        return
    usage = " ".join(help_of(name).partition("\n\n")[0].removeprefix("Usage: ").split())
    assert usage in section(f"`{name}`")


def test_the_list_of_commands_says_what_their_help_says() -> None:
    for name, (_, summary) in COMMANDS.items():
        command = kstate.get_command(click.Context(kstate), name)
        assert command is not None
        assert command.get_short_help_str(limit=200) == summary


# -- exit codes ----------------------------------------------------------------------------------


def classes(root: type[KStateError]) -> Iterator[type[KStateError]]:
    yield root
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from classes(each)


def table() -> dict[int, str]:
    """Exit code → its line in the table."""
    rows = re.findall(r"^\| (\d+) \|(.*)$", section("Exit codes"), re.M)
    assert len({code for code, _ in rows}) == len(rows)
    return {int(code): text for code, text in rows}


@pytest.mark.parametrize("error", list(classes(KStateError)))
def test_every_error_stands_at_its_exit_code(error: type[KStateError]) -> None:
    named = {code for code, text in table().items() if f"`{error.__name__}`" in text}
    assert named == {error.exit_code}


def test_the_table_has_no_code_that_is_not_used() -> None:
    used = {error.exit_code for error in classes(KStateError)}
    assert set(table()) == used | {
        0, 2, EXIT_UNEXPECTED, EXIT_OUTPUT, EXIT_LATE, EXIT_HUNG, EXIT_INTERRUPTED,
    }  # fmt: skip


def test_every_setting_is_on_its_page_with_its_default() -> None:
    """All that a file may set, in the words of the page."""
    others = {"kafka", "registry_properties", "policy", "max_record_bytes"}
    values = {
        each.name: getattr(defaults, each.name)
        for defaults in (Config(), Policy())
        for each in fields(defaults)
        if each.name not in others
    }
    shown = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", SETTINGS, re.M))
    assert shown == {name: in_words(value) for name, value in values.items()}


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.0f}" if value else "as many as there are"
    return f"`{value}`" if value else "none"
