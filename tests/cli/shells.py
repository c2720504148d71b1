"""``kstate`` as the tests use it: in this process, and in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from world import PATIENCE_S

from kstate.cli.main import kstate

Shell = Callable[..., Result]


def shell_on(environment: dict[str, str]) -> Shell:
    """``shell("call", "shop", …)`` as a shell with this environment would have it."""

    def shell(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(
            kstate, arguments, input=stdin, env=environment, prog_name="kstate"
        )

    return shell


class Processes:
    """``kstate`` in processes of its own, with an embedded log in the working directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = "sqlite:log.db?sync=normal"
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, code: bool = True, **options: Any) -> subprocess.Popen[str]:
        """Starts ``kstate``; ``code``: the modules of the tests can be imported."""
        environment = {**os.environ, "KSTATE_LOG": self.log}
        environment.pop("PYTHONUNBUFFERED", None)  # output is buffered, as it is for users
        environment["PYTHONPATH"] = str(Path(__file__).parent) if code else ""
        process = subprocess.Popen(
            [sys.executable, "-m", "kstate.cli.main", *arguments],
            cwd=self.directory,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self._running.append(process)
        return process

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        """A worker of the shop, that has answered a first call."""
        process = self.start("run", "shop:Shop", "--partitions", "2", *arguments)
        told(process, "running on" if "--workers" not in arguments else "is ready")
        self.out("call", "shop", "probe", "When", "--timeout", str(PATIENCE_S))
        return process

    def out(self, *arguments: str, code: bool = True) -> str:
        """What a command prints that succeeds."""
        process = self.start(*arguments, code=code)
        out, err = process.communicate(timeout=3 * PATIENCE_S)
        assert process.returncode == 0, err
        return out

    def close(self) -> None:
        """Ends what a failed test left behind."""
        for process in self._running:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr, process.stdin):
                if stream is not None:
                    stream.close()


def told(process: subprocess.Popen[str], text: str) -> str:
    """Reads the standard error of a process up to a line with this text."""
    assert process.stderr is not None
    read = []
    for line in process.stderr:
        read.append(line)
        if text in line:
            return line
    raise AssertionError(f"never said {text!r}, but: {''.join(read)}")


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for the end of a process: its exit code, and what was not yet read of its output."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err
