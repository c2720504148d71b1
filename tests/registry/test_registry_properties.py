"""Properties of the registry's client: in the file, in the environment, in Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from counter import Add, Counter
from registry_gate import USER, Authority, Gate
from world import World

import kstate
from kstate.cli.main import kstate as program
from kstate.codec.registry_properties import PROPERTIES
from kstate.config import Config, load_config
from kstate.errors import ConfigError
from kstate.wiring import open_registry

PAGE = (Path(__file__).parents[2] / "docs" / "schema-registry.md").read_text("utf-8")
SECTION = PAGE.partition("## Passwords, tokens, certificates\n")[2].partition("\n## ")[0]
CODE = str(Path(__file__).parents[1])
CA = "KSTATE_SCHEMA_REGISTRY_SSL_CA_LOCATION"
PASSWORD = "KSTATE_SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"


def settings(world: World, guarded: Gate, user: str, trusted: dict[str, str]) -> dict[str, str]:
    """The environment of a command."""
    found = {
        "KSTATE_LOG": world.url,
        "KSTATE_PREFIX": world.prefix,
        "KSTATE_SCHEMA_REGISTRY": guarded.url,
        PASSWORD: user,
    }
    if trusted:
        found[CA] = trusted["ssl.ca.location"]
    return found


def started(directory: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kstate.cli.main", "run", "counter:Counter", "--partitions", "1"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": CODE, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def shell(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(program, arguments, env=environment)


# -- from end to end -------------------------------------------------------------------------------


def test_a_worker_takes_them_from_the_file_and_the_environment(
    world: World, guarded: Gate, trusted: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "kstate.toml").write_text(
        f'log = "{world.url}"\nprefix = "{world.prefix}"\n'
        f'[schema_registry]\nurl = "{guarded.url}"\n'
        f'ssl.ca.location = "{trusted["ssl.ca.location"]}"\n'
        'basic.auth.user.info = "overridden:by the variable"\n'
    )
    process = started(tmp_path, {PASSWORD: USER})
    assert process.stderr is not None
    with process:
        try:
            ready = any("counter: ready" in line for line in process.stderr)
            assert ready
            called = shell(
                settings(world, guarded, USER, trusted), "call", "counter", "a", "Add", "amount=3",
                "times=1",
            )  # fmt: skip
        finally:
            process.terminate()
    assert called.stdout == "3\n", called.output
    assert {record.value[:1] for record in world.journal(Counter) if record.value} == {b"\0"}


@pytest.mark.parametrize(
    ("user", "trusts", "sentence"),
    [
        ("me:s3cretive", True, "(status 401): check the name and the password\n"),
        (USER, False, f"name the file of its authority in ssl.ca.location ({CA})\n"),
    ],
)
def test_a_run_that_the_registry_refuses_ends_at_once(
    world: World,
    guarded: Gate,
    trusted: dict[str, str],
    tmp_path: Path,
    user: str,
    trusts: bool,
    sentence: str,
) -> None:
    environment = settings(world, guarded, user, trusted if trusts else {})
    with started(tmp_path, environment) as process:
        said = process.communicate(timeout=60)[1]
    assert process.returncode == ConfigError.exit_code
    assert said.endswith(sentence)
    assert said.count("kstate: ") == 1
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("call", "counter", "a", "Add", "amount=3", "times=1"),
        ("query", "counter", "--id", "a"),
        ("schema", "list", "counter:Counter", "--count"),
    ],
)
def test_a_command_that_the_registry_refuses_ends_with_one_sentence(
    world: World, guarded: Gate, trusted: dict[str, str], arguments: tuple[str, ...]
) -> None:
    conf = {**trusted, "url": guarded.url, "basic.auth.user.info": USER}
    world.run(
        Counter,
        schema_registry=guarded.url,
        registry_properties={**trusted, "basic.auth.user.info": USER},
    )
    with kstate.connect(world.url, prefix=world.prefix, schema_registry=conf) as client:
        assert client.call(Counter, "a", Add(2), timeout=20.0) == 2
    done = shell(settings(world, guarded, "me:s3cretive", trusted), *arguments)
    assert done.exit_code == ConfigError.exit_code, done.output
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith("(status 401): check the name and the password")
    assert "s3cret" not in done.output


def test_a_client_takes_those_of_the_environment(
    world: World, guarded: Gate, trusted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter)
    for name, value in settings(world, guarded, USER, trusted).items():
        monkeypatch.setenv(name, value)
    with kstate.connect(world.url, prefix=world.prefix) as client:
        client.messages(Counter).encode_command("counter", Add(1))
    assert guarded.asked


def test_a_client_is_told_that_its_registry_has_no_url(world: World) -> None:
    with pytest.raises(ConfigError, match="to be a URL"):
        kstate.connect(world.url, schema_registry={"basic.auth.user.info": USER})


# -- settings --------------------------------------------------------------------------------------


def load(text: str, directory: Path, flags: dict[str, str], **environment: str) -> Config:
    file = directory / "kstate.toml"
    file.write_text(text)
    return load_config(flags, environment, file)


def test_a_variable_comes_before_the_file_property_by_property(tmp_path: Path) -> None:
    text = '[schema_registry]\nurl = "http://a"\ntimeout = 5\nbasic.auth.user.info = "a:b"\n'
    config = load(text, tmp_path, {}, **{PASSWORD: USER})
    assert config.registry == {
        "url": "http://a", "timeout": "5", "basic.auth.user.info": USER,
    }  # fmt: skip


def test_the_url_comes_from_the_flag_before_the_variable_before_the_table(tmp_path: Path) -> None:
    text = '[schema_registry]\nurl = "http://a"\n'
    variable = {"KSTATE_SCHEMA_REGISTRY": "http://b"}
    assert load(text, tmp_path, {}).registry == {"url": "http://a"}
    assert load(text, tmp_path, {}, **variable).registry == {"url": "http://b"}
    flag = {"schema_registry": "http://c"}
    assert load(text, tmp_path, flag, **variable).registry == {"url": "http://c"}


def test_properties_without_a_url_anywhere_are_refused(tmp_path: Path) -> None:
    text = '[schema_registry]\nbasic.auth.user.info = "me:s3cret"\n'
    with pytest.raises(ConfigError, match=r"\[schema_registry\] and no url"):
        load(text, tmp_path, {})
    assert load(text, tmp_path, {"schema_registry": ""}).registry == {}


def test_without_a_url_there_is_no_registry(tmp_path: Path) -> None:
    assert load("", tmp_path, {}, **{PASSWORD: USER}).registry == {}


def test_settings_are_shown_without_the_properties_of_clients(tmp_path: Path) -> None:
    text = '[schema_registry]\nurl = "http://me:s3cret@a"\n[kafka]\nsasl.password = "s3cret"\n'
    assert "s3cret" not in repr(load(text, tmp_path, {}, **{PASSWORD: USER}))


def test_a_kafka_that_is_no_table_is_refused_without_its_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it is a table, \[kafka\]") as refused:
        load('kafka = "s3cret"\n', tmp_path, {})
    assert "s3cret" not in str(refused.value)


# -- the page --------------------------------------------------------------------------------------


def test_the_page_has_every_property_and_no_other() -> None:
    table = "".join(re.findall(r"^\| `.*$", SECTION, re.M))
    named = {name for name in re.findall(r"`([a-z]+(?:\.[a-z]+)*)`", table) if name != "url"}
    assert named == set(PROPERTIES)


def test_the_settings_on_the_page_can_be_used(tmp_path: Path, authority: Authority) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", SECTION, re.M | re.S)
    text = block.replace("/etc/kstate/ca.pem", str(authority.file))
    config = load(text, tmp_path, {})
    assert len(config.registry) == 3
    assert open_registry(config.registry) is not None
