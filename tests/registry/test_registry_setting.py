"""The setting ``schema_registry``: of workers, of clients and of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from counter import Add, Added, Counter
from world import World

import kstate
from kstate.cli.main import kstate as program
from kstate.config import Config, load_config
from kstate.testing.registry_local import LocalRegistry

NOBODY = "http://127.0.0.1:9"


def run(world: World, *arguments: str, registry: str | None = None) -> str:
    options = ["--log", world.url, "--prefix", world.prefix]
    options += ["--schema-registry", registry] if registry else []
    done = CliRunner().invoke(program, [*arguments, *options])
    return done.output


@pytest.fixture
def busy(world: World, registry_url: str) -> World:
    """A worker and a client that use the registry."""
    world.run(Counter, schema_registry=registry_url)
    world._client = kstate.connect(world.url, prefix=world.prefix, schema_registry=registry_url)
    assert world.call(Counter, "a", Add(2)) == 2
    return world


def test_a_worker_and_a_client_with_the_setting_write_ids(busy: World) -> None:
    commands = busy.read(busy.topics(Counter).commands)
    assert {r.value[:1] for r in [*commands, *busy.journal(Counter)] if r.value} == {b"\0"}
    assert busy.events(Counter, "a") == [(1, Added(2))]


def test_a_client_takes_the_registry_of_the_environment(
    busy: World, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSTATE_SCHEMA_REGISTRY", registry_url)
    with kstate.connect(busy.url, prefix=busy.prefix) as client:
        assert [e.event for e in client.events.by_id("counter", "a")] == [{"amount": 2}]


def test_the_command_line_calls_by_name(busy: World, registry_url: str) -> None:
    said = run(busy, "call", "counter", "a", "Add", "amount=3", "times=1", registry=registry_url)
    assert said.strip() == "5"
    assert {r.value[:1] for r in busy.read(busy.topics(Counter).commands) if r.value} == {b"\0"}


def test_the_command_line_queries_and_replays_by_name(busy: World, registry_url: str) -> None:
    for command in (("query", "counter", "--id", "a"), ("replay", "counter", "a")):
        assert "Added amount=2" in run(busy, *command, registry=registry_url)


def test_without_the_setting_the_command_line_names_it(busy: World) -> None:
    assert "set schema_registry (KSTATE_SCHEMA_REGISTRY)" in run(
        busy, "query", "counter", "--id", "a"
    )


def test_the_setting_is_not_printed_with_the_others() -> None:
    config = load_config({"schema_registry": "http://me:s3cret@host"}, environment={})
    assert config.schema_registry == "http://me:s3cret@host"
    assert "s3cret" not in repr(config)
    assert "s3cret" not in repr(Config(schema_registry="http://me:s3cret@host"))


def test_a_run_waits_for_a_registry_that_is_away_and_says_so_once(
    world: World, own: LocalRegistry, tmp_path: Path
) -> None:
    own.stop()
    secret = own.url.replace("http://", "http://me:s3cret@")
    command = [
        sys.executable, "-m", "kstate.cli.main", "run", "counter:Counter", "--log", world.url,
        "--data", str(tmp_path / "cli"), "--prefix", world.prefix, "--partitions", "1",
    ]  # fmt: skip
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env={"PATH": "", "KSTATE_SCHEMA_REGISTRY": secret, "PYTHONPATH": ":".join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = []
        try:
            for line in process.stderr:
                said.append(line)
                if "does not answer" in line:  # a log that is busy is waited for, too
                    own.start()
                if "counter: ready" in line:
                    break
        finally:
            process.terminate()
            said += process.stderr.readlines()
    text = "".join(said)
    assert process.returncode == 0
    assert text.count(f"the schema registry at {own.url} does not answer") == 1
    assert "ready" in text
    assert "s3cret" not in text
