"""``kstate call`` and ``kstate cast``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from shells import Processes, Shell, shell_on
from shop import Shop
from world import World, header

from kstate import Command, Context, Processor, command, event
from kstate.client_commands import RESERVED_HEADERS


def test_a_call_prints_the_reply(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Put", "count=5")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "5\n", "")


def test_a_field_with_a_default_may_be_left_out_or_given(shell: Shell, world: World) -> None:
    shell("call", "shop", "o-1", "Put", "count=5", "name=a=b")
    ((_, added),) = world.events(Shop, "o-1")
    assert added.item.name == "a=b"


def test_a_class_is_called_by_its_own_schemas(shell: Shell) -> None:
    result = shell("call", "shop:Shop", "o-1", "Put", "count=5")
    assert (result.exit_code, result.stdout) == (0, "5\n")


def test_a_name_needs_no_code(processes: Processes) -> None:
    processes.worker()
    assert processes.out("call", "shop", "o-1", "Put", "count=5", code=False) == "5\n"


def test_a_record_is_printed_field_by_field(shell: Shell) -> None:
    items = '{"items": [{"name": "two words", "count": 2}]}'
    result = shell("call", "shop", "o-1", "PutAll", "--fields", items)
    assert result.stdout == 'name="two words" count=2 size=SMALL\n'


def test_json_prints_the_reply_and_its_position(shell: Shell, world: World) -> None:
    items = '{"items": [{"name": "a", "count": 2, "size": "LARGE"}]}'
    result = shell("call", "shop", "o-1", "PutAll", "--fields", items, "--json")
    told = json.loads(result.stdout)
    assert told.keys() == {"reply", "position"}
    assert told["reply"] == {"name": "a", "count": 2, "size": "LARGE"}
    (event,) = world.journal(Shop)
    assert told["position"] == header(event, "source")
    world.client.events.wait_for(Shop, told["position"])


@pytest.mark.parametrize("target", ["shop", "shop:Shop"])
def test_json_of_a_single_value_has_the_position_too(shell: Shell, target: str) -> None:
    told = json.loads(shell("call", target, "o-1", "Put", "count=5", "--json").stdout)
    assert told["reply"] == 5
    assert re.fullmatch(r"\d:\d+", told["position"])


def test_a_nested_field_is_written_as_json(shell: Shell, world: World) -> None:
    result = shell("call", "shop", "o-1", "PutAll", 'items=[{"name": "a", "count": 7}]')
    assert result.exit_code == 0, result.stderr
    assert world.state(Shop, "o-1").total == 7


@pytest.mark.parametrize("target", ["shop", "shop:Shop"])
def test_fields_are_read_from_standard_input(shell: Shell, target: str) -> None:
    result = shell("call", target, "o-1", "Put", "--fields", "-", stdin='{"count": 4}')
    assert (result.exit_code, result.stdout) == (0, "4\n")


@pytest.mark.parametrize("target", ["shop", "shop:Shop"])
def test_a_time_is_printed_as_itself(shell: Shell, target: str) -> None:
    assert shell("call", target, "o-1", "When").stdout == "2026-03-01T12:00:00+00:00\n"


@pytest.mark.parametrize("target", ["shop", "shop:Shop"])
def test_a_reply_of_none_is_null(shell: Shell, target: str) -> None:
    assert shell("call", target, "o-1", "Cancel").stdout == "null\n"


def test_a_text_that_a_terminal_might_obey_is_quoted(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Header", "name=x", "--header", "x=\x1b[2J")
    assert result.stdout == '"\\u001b[2J"\n'


def test_headers_travel_with_the_command(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Header", "name=x", "--header", "x=y=z")
    assert result.stdout == "y=z\n"


def test_the_same_command_id_gives_the_same_answer(shell: Shell) -> None:
    again = [
        shell("call", "shop", "o-1", "Put", "count=5", "--command-id", "one").stdout
        for _ in range(2)
    ]
    assert again == ["5\n", "5\n"]


def test_an_expected_seq_that_is_not_the_actual_one_is_a_conflict(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Put", "count=5", "--expected-seq", "3")
    assert result.exit_code == 11
    assert result.stderr == "kstate: the entity is at seq 0, not at the expected one\n"


def test_a_rejection_tells_its_code(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Refuse")
    assert result.exit_code == 10
    assert result.stderr == "kstate: rejected (closed): the shop is closed\n"


def test_a_command_that_fails_tells_why(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Fail")
    assert result.exit_code == 13
    assert "no luck" in result.stderr


def test_a_call_that_nobody_answers_times_out_and_names_the_command_id(
    shell: Shell, world: World
) -> None:
    world.stop()
    options = ("--timeout", "3", "--command-id", "c-1")
    result = shell("call", "shop", "o-1", "Put", "count=5", *options)
    assert result.exit_code == 12
    assert "repeat it with command id c-1" in result.stderr


def test_an_unknown_command_lists_the_known_ones(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Pull")
    assert result.exit_code == 20
    assert result.stderr == (
        "kstate: shop has no command 'Pull'; it has: "
        "Cancel, Fail, Header, Put, PutAll, Refuse, Sleep, When\n"
    )


@pytest.mark.parametrize("command", ["GetState", "Noted"])
def test_kstates_own_messages_are_no_commands(shell: Shell, command: str) -> None:
    assert shell("call", "shop", "o-1", command).exit_code == 20


@pytest.mark.parametrize("target", ["shop", "shop:Shop"])
def test_a_wrong_field_is_named_with_the_known_ones(shell: Shell, target: str) -> None:
    result = shell("call", target, "o-1", "Put", "cuont=5")
    assert result.exit_code == 20
    assert result.stderr == "kstate: cuont is no field of Put; its fields are count, name\n"


def test_a_missing_field_is_named_with_the_known_ones(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Put")
    assert result.exit_code == 20
    assert result.stderr == "kstate: count is missing; the fields of Put are: count, name\n"


def test_a_value_of_another_type_is_refused(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Put", "count=many")
    assert result.exit_code == 20
    assert "count is to be an integer" in result.stderr


def test_json_that_is_none_is_refused(shell: Shell) -> None:
    result = shell("call", "shop", "o-1", "Put", "--fields", "{count: 5}")
    assert result.exit_code == 20
    assert "the JSON cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("count=5", "count=6"), "count is given twice"),
        (("count",), "is not of the form FIELD=VALUE"),
        (("count=5", "--fields", "{}"), "not both"),
        *(
            (("count=5", "--header", f"{name}=x"), f"the header {name} is kstate's own")
            for name in sorted(RESERVED_HEADERS)
        ),
        (("count=5", "--header", "x"), "is not of the form NAME=VALUE"),
        (("count=5", "--timeout", "0"), "--timeout"),
        (("count=5", "--command-id", "a\nb"), "--command-id"),
    ],
)
def test_a_usage_error_ends_with_2(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    result = shell("call", "shop", "o-1", "Put", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_empty_persist_id_is_refused(shell: Shell) -> None:
    assert shell("call", "shop", "", "Put", "count=5").exit_code == 21


def test_a_cast_prints_the_command_id_and_the_command_runs(shell: Shell, world: World) -> None:
    result = shell("cast", "shop", "o-1", "Put", "count=5")
    assert result.exit_code == 0
    world.settled(Shop)
    (event,) = world.client.events.by_id(Shop, "o-1")
    assert event.command_id == result.stdout.strip()


def test_a_processor_without_topics_says_what_to_do(shell: Shell) -> None:
    for name in ("call", "cast"):
        result = shell(name, "shoes", "o-1", "Put", "count=5", "--timeout", "2")
        assert result.exit_code == 32
        assert "start a worker" in result.stderr


def test_a_log_that_is_not_there_is_not_made(directory: Path) -> None:
    shell = shell_on({"KSTATE_LOG": "sqlite:nowhere.db"})
    for arguments in (
        ("call", "shop", "o-1", "Put", "--timeout", "0.1"),
        ("cast", "shop", "o-1", "Put", "--timeout", "0.1"),
        ("state", "shop", "o-1", "--timeout", "0.1"),
        ("query", "shop"), ("replay", "shop"), ("status",),
    ):  # fmt: skip
        result = shell(*arguments)
        assert result.exit_code == 3
        assert "there is no log at sqlite:nowhere.db" in result.stderr
    assert list(directory.iterdir()) == []


@dataclass(frozen=True)
class Shelf:
    text: str = ""


@dataclass(frozen=True)
class Said:
    text: str


def shelf(said: Any) -> type[Processor[Shelf]]:
    """A processor with one command, ``Say``, of this class."""

    class Shelves(Processor[Shelf]):
        name = "shelf"

        def init(self, persist_id: str) -> Shelf:
            return Shelf()

        @command
        def say(self, ctx: Context[Shelf], cmd: said) -> str:  # type: ignore[valid-type]
            ctx.persist(Said(repr(cmd)))
            return ctx.state.text

        @event
        def said(self, state: Shelf, event: Said) -> Shelf:
            return Shelf(event.text)

    return Shelves


def test_of_several_published_versions_the_newest_counts(world: World, directory: Path) -> None:
    def version(fields: dict[str, Any]) -> type[Processor[Shelf]]:
        body = {"__annotations__": {n: type(v) for n, v in fields.items()}, **fields}
        base = Command[str]
        say = type("Say", (Command,), {**body, "__orig_bases__": (base,), "__module__": __name__})
        return shelf(dataclass(frozen=True)(say))

    world.run(version({"a": 1}))
    world.restart(version({"a": 1, "b": 2}))
    shell = shell_on({"KSTATE_LOG": world.url, "KSTATE_PREFIX": world.prefix})
    result = shell("call", "shelf", "x", "Say", "b=7")
    assert (result.exit_code, result.stdout) == (0, "Say(a=1, b=7)\n")
