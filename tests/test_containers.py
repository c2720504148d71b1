"""The image and the compose file fit kstate and each other, as far as that shows without an engine.

What a builder or an engine would only say at the end of a build, or never, is read from the files:
paths that are not sent to the builder, options that a command does not have, names and ports that
differ from one place to the next.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml
from docker.utils.build import exclude_paths

from kstate.cli.crew import GRACE_S
from kstate.cli.main import kstate
from kstate.config import Config, load_config
from kstate.testing.kafka_local import KAFKA_VERSION
from kstate.wiring import load_processor, open_log

ROOT = Path(__file__).parent.parent
DATA = "/var/lib/kstate"
WORKERS = ("bank-1", "bank-2", "bank-3")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs" / "containers.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

Compose = dict[str, Any]


def _stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile: name and the rest of the line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M)
    stages: list[list[tuple[str, str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            stages.append([])
        if name and stages:
            stages[-1].append((name, rest.strip()))
    return stages


STAGES = _stages()


def instructions(stage: int, name: str) -> list[str]:
    """What stands behind each instruction of this name, in their order."""
    return [text for found, text in STAGES[stage] if found == name]


def copied(stage: int) -> list[tuple[str, str]]:
    """Source and destination of what a stage takes from the build context."""
    found: list[tuple[str, str]] = []
    for text in instructions(stage, "COPY"):
        if not text.startswith("--from="):
            *sources, destination = shlex.split(text)
            found += ((source, destination) for source in sources)
    return found


@pytest.fixture(scope="module")
def context() -> set[Path]:
    """The files that are sent to the builder, by docker's own reading of .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    sent = exclude_paths(str(ROOT), patterns, dockerfile="Dockerfile")
    return {Path(each) for each in sent if (ROOT / each).is_file()}


@pytest.fixture(scope="module")
def compose() -> Compose:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def service(compose: Compose, name: str) -> dict[str, Any]:
    return dict(compose["services"][name])


# -- the image -----------------------------------------------------------------------------------


def test_the_builder_is_sent_every_path_that_is_copied(context: set[Path]) -> None:
    for source, _ in [*copied(0), *copied(1)]:
        path = ROOT / source
        there = {path, *path.rglob("*")} - set(path.rglob("*.pyc"))
        wanted = {each.relative_to(ROOT) for each in there if each.is_file()}
        assert wanted, f"{source} is not there"
        assert {each for each in context if each.is_relative_to(source)} == wanted


def test_the_builder_is_sent_nothing_that_is_not_copied(context: set[Path]) -> None:
    wanted = [source for source, _ in [*copied(0), *copied(1)]]
    # docker sends these two for itself
    for each in context - {Path("Dockerfile"), Path(".dockerignore")}:
        assert any(each.is_relative_to(source) for source in wanted), each


def test_the_first_stage_has_what_the_wheel_is_made_of() -> None:
    there = {source for source, _ in copied(0)}
    assert {"pyproject.toml", "kstate", PROJECT["readme"], *PROJECT["license-files"]} <= there


def test_extras_of_the_image_are_extras_of_the_package() -> None:
    (comment,) = re.findall(r"^# extras of pyproject.toml.*: (.*)$", DOCKERFILE, re.M)
    assert set(comment.split(", ")) == set(PROJECT["optional-dependencies"]) - {"bench", "test"}


def test_both_stages_have_one_python_that_the_package_supports() -> None:
    (version,) = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", DOCKERFILE, re.M)
    least = PROJECT["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))
    bases = [text.split()[0] for stage in range(2) for text in instructions(stage, "FROM")]
    assert bases == ["python:${PYTHON_VERSION}-slim"] * 2


def test_the_process_is_kstate_itself_so_that_signals_reach_it() -> None:
    (entry,) = instructions(1, "ENTRYPOINT")
    assert json.loads(entry) == ["kstate"], "a list: a text would be run by a shell"
    assert "kstate" in PROJECT["scripts"]
    assert instructions(1, "STOPSIGNAL") == ["SIGTERM"]


def test_the_user_has_no_rights_and_a_number_that_stays() -> None:
    (user,) = instructions(1, "USER")
    assert user == "10001:10001"
    made = " ".join(instructions(1, "RUN"))
    assert "groupadd --gid 10001 kstate" in made
    assert "useradd --uid 10001 --gid kstate" in made
    after = [name for name, _ in STAGES[1]]
    assert not {"RUN", "COPY", "ADD"} & set(after[after.index("USER") :])


def environment() -> dict[str, str]:
    return dict(each.split("=", 1) for each in shlex.split(*instructions(1, "ENV")))


def test_all_that_is_written_lies_in_the_volume() -> None:
    config = load_config({}, environment())
    (volume,) = instructions(1, "VOLUME")
    assert json.loads(volume) == [DATA]
    assert str(config.data) == DATA
    assert Path(urlsplit(config.log).path).is_relative_to(DATA)
    assert f"--owner=kstate --group=kstate --mode=0750 {DATA}" in instructions(1, "RUN")[0]


def test_what_the_second_stage_copies_is_all_that_the_examples_need(
    context: set[Path], tmp_path: Path
) -> None:
    for source, destination in copied(1):
        for each in context:
            if each.is_relative_to(source):
                target = tmp_path / destination / each.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / each, target)
    targets = ["processors.bank:Bank", "processors.flights:Flights"]
    done = subprocess.run(
        [sys.executable, "-m", "kstate.cli.main", "schema", "check", "--json", *targets],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["processor"] for each in verdicts} == {"bank", "flights"}
    assert {each["verdict"] for each in verdicts} == {"ok"}, "new: its schema was not copied"


# -- the compose file ----------------------------------------------------------------------------


def test_one_service_builds_the_image_and_nobody_pulls_it(compose: Compose) -> None:
    ours = {n: s for n, s in compose["services"].items() if n != "kafka"}
    assert set(ours) == {"topics", *WORKERS}
    assert {each["image"] for each in ours.values()} == {"kstate:dev"}
    assert [name for name, each in ours.items() if "build" in each] == ["topics"]
    assert all(service(compose, name)["pull_policy"] == "never" for name in WORKERS)


def test_kafka_is_the_version_that_kstate_is_tested_with(compose: Compose) -> None:
    assert service(compose, "kafka")["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_a_kafka_of_one_node_asks_for_one_replica_of_everything(compose: Compose) -> None:
    settings = service(compose, "kafka")["environment"]
    for name in (
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
        "KAFKA_DEFAULT_REPLICATION_FACTOR",
        "KAFKA_MIN_INSYNC_REPLICAS",
    ):
        assert settings[name] == 1, name


def listeners(compose: Compose, variable: str) -> dict[str, str]:
    """Name of a listener → its host and port."""
    text = service(compose, "kafka")["environment"][variable]
    return dict(each.split("://") for each in text.split(","))


def test_every_listener_is_named_where_kafka_looks_for_it(compose: Compose) -> None:
    settings = service(compose, "kafka")["environment"]
    bound = listeners(compose, "KAFKA_LISTENERS")
    told = listeners(compose, "KAFKA_ADVERTISED_LISTENERS")
    protocols = dict(
        each.split(":") for each in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert set(bound) == set(protocols) == {"INTERNAL", "EXTERNAL", "CONTROLLER"}
    assert set(told) == {"INTERNAL", "EXTERNAL"}
    assert settings["KAFKA_INTER_BROKER_LISTENER_NAME"] == "INTERNAL"
    assert settings["KAFKA_CONTROLLER_LISTENER_NAMES"] == "CONTROLLER"
    assert settings["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@{bound['CONTROLLER']}"
    assert told["INTERNAL"] == f"kafka{bound['INTERNAL']}"


def test_the_host_reaches_kafka_where_kafka_says_it_is_and_nobody_else_does(
    compose: Compose,
) -> None:
    ports = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert set(ports) == {"kafka"}
    (published,) = ports["kafka"]
    host, _, inside = published.rpartition(":")
    assert host == listeners(compose, "KAFKA_ADVERTISED_LISTENERS")["EXTERNAL"]
    assert host.startswith("127.0.0.1:"), "a port without an address is open to the network"
    assert f":{inside}" == listeners(compose, "KAFKA_LISTENERS")["EXTERNAL"]


@pytest.mark.parametrize("name", ["topics", *WORKERS])
def test_workers_speak_to_kafka_by_the_listener_for_containers(compose: Compose, name: str) -> None:
    told = listeners(compose, "KAFKA_ADVERTISED_LISTENERS")["INTERNAL"]
    assert service(compose, name)["environment"]["KSTATE_LOG"] == f"kafka://{told}"
    assert told in service(compose, "kafka")["healthcheck"]["test"]


@pytest.mark.parametrize("name", ["topics", *WORKERS])
def test_every_variable_of_kstate_is_a_setting(compose: Compose, name: str) -> None:
    given = service(compose, name)["environment"]
    config = load_config({}, environment() | given)
    for variable in given:
        setting = variable.removeprefix("KSTATE_").lower()
        assert getattr(config, setting) != getattr(Config(), setting), variable
    open_log(config.log, config.kafka).close()


def test_no_variable_of_the_compose_file_itself_is_taken_for_a_setting() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    names = re.findall(r"\$\{(\w+)", text)
    assert names
    assert not [name for name in names if name.startswith("KSTATE_")]


def test_each_worker_keeps_its_name_and_its_store_in_a_volume_of_its_own(compose: Compose) -> None:
    mounts = [service(compose, name)["volumes"] for name in WORKERS]
    assert mounts == [[f"{name}:{DATA}"] for name in WORKERS]
    assert set(compose["volumes"]) == {"kafka", *WORKERS}


def test_kafka_keeps_its_records_in_a_volume(compose: Compose) -> None:
    folder = service(compose, "kafka")["environment"]["KAFKA_LOG_DIRS"]
    assert service(compose, "kafka")["volumes"] == [f"kafka:{folder}"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_time_for_a_clean_stop(compose: Compose, name: str) -> None:
    each = service(compose, name)
    timeout_s = load_config({}, environment() | each["environment"]).stop_timeout_s
    (grace_s,) = re.findall(r"^(\d+)s$", each["stop_grace_period"])
    assert int(grace_s) > timeout_s + GRACE_S


@pytest.mark.parametrize("name", ["kafka", *WORKERS])
def test_what_runs_for_ever_is_started_again(compose: Compose, name: str) -> None:
    assert service(compose, name)["restart"] == "unless-stopped"


def test_everything_waits_for_what_it_needs_and_the_waiting_can_end(compose: Compose) -> None:
    assert service(compose, "topics")["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in WORKERS:
        needs = service(compose, name)["depends_on"]
        assert needs == {"topics": {"condition": "service_completed_successfully"}}
    assert "healthcheck" in service(compose, "kafka")
    assert service(compose, "topics")["restart"] == "no", "else it never completes"


def parse(arguments: list[str]) -> dict[str, Any]:
    """What kstate understands when it is called like this; raises `click.UsageError`."""
    command: click.Command = kstate
    rest = arguments
    while isinstance(command, click.Group):
        name, *rest = rest
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{command.name} has no command {name!r}"
        command = found
    return command.make_context(command.name, rest).params


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_runs_the_bank(compose: Compose, name: str) -> None:
    (target,) = parse(service(compose, name)["command"])["targets"]
    assert load_processor(target).name == "bank"


def test_the_topics_created_are_those_of_the_bank_and_enough_for_all_workers(
    compose: Compose,
) -> None:
    given = parse(service(compose, "topics")["command"])
    assert given["targets"] == parse(service(compose, WORKERS[0])["command"])["targets"]
    assert given["partitions"] % len(WORKERS) == 0, "every worker has as much to do"


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_asked_for_the_health_of_what_it_runs(compose: Compose, name: str) -> None:
    each = service(compose, name)
    assert each["healthcheck"]["test"][:2] == ["CMD", "kstate"]
    (target,) = parse(each["command"])["targets"]
    assert parse(each["healthcheck"]["test"][2:])["targets"] == (load_processor(target).name,)


@pytest.mark.parametrize("name", ["topics", *WORKERS])
def test_a_container_may_write_nowhere_but_in_its_volume(compose: Compose, name: str) -> None:
    each = service(compose, name)
    assert each["read_only"] is True
    assert each["tmpfs"] == ["/tmp"]
    assert each["cap_drop"] == ["ALL"]
    assert each["security_opt"] == ["no-new-privileges:true"]


# -- the page about it ---------------------------------------------------------------------------


def calls() -> list[list[str]]:
    """What docs/containers.md has the shell do, in words."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]


def after(words: list[str], *beginning: str) -> list[str]:
    """The words behind the last one of a call that begins like this, or none."""
    found = words[: len(beginning) - 1] == list(beginning[:-1]) and beginning[-1] in words
    return words[words.index(beginning[-1]) + 1 :] if found else []


def test_the_page_calls_kstate_as_its_help_says() -> None:
    called = [
        arguments
        for words in calls()
        for arguments in (
            after(words, "docker", "compose", "exec", "kstate"),
            after(words, "docker", "compose", "run", "topics"),
            after(words, "docker", "exec", "kstate"),
            after(words, "docker", "run", "kstate:dev"),
        )
        if arguments
    ]
    assert {words[0] for words in called} == {"call", "status", "schema", "run"}
    for words in called:
        parse(words)


def test_the_page_and_the_compose_file_name_build_arguments_that_are_there(
    compose: Compose,
) -> None:
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.M))
    assert set(re.findall(r"^\| `([A-Z_]+)` \| a build argument", PAGE, re.M)) == arguments
    assert set(service(compose, "topics")["build"]["args"]) <= arguments


def test_the_page_tells_the_places_and_the_user_of_the_image() -> None:
    (workdir,) = instructions(1, "WORKDIR")
    (user,) = instructions(1, "USER")
    for each in (DATA, workdir, user.split(":")[0], "/opt/kstate"):
        assert each in PAGE, each


def test_the_page_sets_what_can_be_set() -> None:
    (block,) = re.findall(r"^```yaml\nenvironment:\n(.*?)^```$", PAGE, re.M | re.S)
    given = dict(line.strip().split(": ", 1) for line in block.splitlines())
    config = load_config({}, given)
    assert len(config.kafka) == len(given) - 1
    open_log(config.log, config.kafka).close()
    for name in set(re.findall(r"`(KSTATE_[A-Z_]+)`", PAGE)) - {"KSTATE_KAFKA_SESSION_TIMEOUT_MS"}:
        assert hasattr(Config(), name.removeprefix("KSTATE_").lower()), name
