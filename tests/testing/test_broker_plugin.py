"""A run of tests without a broker: each test that needs one says why there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
def test_one(bootstrap): pass
def test_two(bootstrap): pass
def test_three(): pass
"""
FAILING = """
import os
from kstate.testing import broker

def started():
    with open(os.environ["STARTS"], "a") as file:
        file.write("x")
    return True

broker.docker_runs = started
"""
"""A machine whose engine answers the command line alone."""
REASON = "no Kafka to test with: KSTATE_TEST_BOOTSTRAP is not set, "


def run(directory: Path, *arguments: str, **environment: str) -> str:
    """What pytest says of the tests."""
    (directory / "test_them.py").write_text(TESTS)
    (directory / "failing.py").write_text(FAILING)
    unset = ("KSTATE_TEST_BOOTSTRAP", "CI", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    variables |= {
        "PATH": str(directory),
        "DOCKER_HOST": f"unix://{directory}/nobody.sock",
        "STARTS": str(directory / "starts"),
        "PYTHONPATH": str(directory),
    }
    command = [
        *(sys.executable, "-m", "pytest", "-rs", "-W", "error", "-c", os.devnull),
        *("--rootdir", str(directory), "-p", "no:cacheprovider"),
        *arguments, "-p", "kstate.testing.plugin", str(directory),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=directory, env=variables | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "two"])
def test_tests_without_a_broker_are_skipped_with_the_reason(
    tmp_path: Path, processes: tuple[str, ...]
) -> None:
    said = run(tmp_path, *processes)
    assert "1 passed, 2 skipped" in said
    assert f"{REASON}no Docker engine answers, and there is no java; set it" in said


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "two"])
def test_a_failed_start_is_a_reason_and_happens_once(
    tmp_path: Path, processes: tuple[str, ...]
) -> None:
    said = run(tmp_path, "-p", "failing", *processes)
    assert "1 passed, 2 skipped" in said
    assert f"{REASON}Docker does not run apache/kafka:4.2.0 (DockerException: " in said
    assert "and there is no java; set it, start Docker, or " in said
    assert (tmp_path / "starts").read_text() == "x"


def test_in_ci_tests_without_a_broker_fail_with_the_reason(tmp_path: Path) -> None:
    said = run(tmp_path, "-n", "2", CI="1")
    assert "1 passed, 2 errors" in said
    assert f"Failed: {REASON}no Docker engine answers" in said
