"""Environment variables that look like settings and are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from shells import Processes, ended, shell_on, told

from kstate.config import Config, unknown_variables


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("KSTATE_LGO", "KSTATE_LOG"),
        ("KSTATE_PREFX", "KSTATE_PREFIX"),
        ("KSTATE_MAX_ENTITES", "KSTATE_MAX_ENTITIES"),
        ("KSTATE_KAKFA_SASL_PASSWORD", None),
        ("KSTATE_SCHEMA_REGISTRY_URL", "KSTATE_SCHEMA_REGISTRY"),
        ("KSTATE_ZZZZZZ", None),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(
    variable: str, nearest: str | None
) -> None:
    (sentence,) = unknown_variables({variable: "hunter2", "PATH": "/bin"})
    assert sentence.startswith(f"{variable} is no setting")
    if nearest is not None:
        assert sentence == f"{variable} is no setting: did you mean {nearest}?"
    assert "hunter2" not in sentence


def test_settings_and_what_else_kstate_reads_are_known() -> None:
    tables = ("policy", "kafka", "registry_properties")
    known = [f"KSTATE_{name.upper()}" for name in Config.__slots__ if name not in tables]
    others = ["KSTATE_DEBUG", "KSTATE_KAFKA_SASL_PASSWORD", "KSTATE_TEST_BOOTSTRAP"]
    others.append("KSTATE_SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO")
    assert unknown_variables(dict.fromkeys([*known, *others], "x")) == []


def test_a_command_tells_it_in_one_line_and_goes_on(directory: Path) -> None:
    shell = shell_on({"KSTATE_LOG": "sqlite:nowhere.db", "KSTATE_LGO": "hunter2"})
    result = shell("query", "shop")
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "kstate: warning: KSTATE_LGO is no setting: did you mean KSTATE_LOG?",
        (
            "kstate: there is no log at sqlite:nowhere.db: check its name, or start a worker on it "
            "(kstate run)"
        ),
    ]


def test_several_workers_tell_it_once(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSTATE_LGO", "hunter2")
    parent = processes.start("run", "shop:Shop", "--partitions", "2", "--workers", "2")
    told(parent, "KSTATE_LGO")
    told(parent, "is ready")
    parent.terminate()
    code, _, err = ended(parent)
    assert code == 0
    assert "KSTATE_LGO" not in err


@pytest.mark.parametrize("command", ["check", "freeze", "list", "diff", "docs"])
def test_what_is_done_with_schemas_tells_it_as_well(directory: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kstate.cli.main", "schema", command, "nowhere:Shop"],
        env={"KSTATE_LGO": "hunter2"},
        capture_output=True,
        text=True,
    )
    assert "KSTATE_LGO is no setting" in done.stderr
