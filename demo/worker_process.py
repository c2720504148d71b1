"""A worker in a process of its own, as ``kstate run`` starts it, to be watched and killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kstate import KStateError

ROOT = Path(__file__).resolve().parents[1]
STOP_S = 20.0


class WorkerProcess:
    """One ``kstate run``, started as often as it is killed.

    What it says goes to ``output``, one run after the other.  It has a session of its own: a Ctrl-C
    on the terminal reaches only whoever started it, who stops it.
    """

    def __init__(
        self,
        target: str,
        log: str,
        prefix: str,
        data: Path,
        output: Path,
        options: Sequence[str] = (),
    ) -> None:
        self.output = output
        self.peak_kb = 0  # of all runs; 0 where there is no /proc
        arguments = ("--log", log, "--prefix", prefix, "--data", str(data), *options)
        self._command = [sys.executable, "-m", "kstate.cli.main", "run", target, *arguments]
        # processors are found from any working directory
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; returns at once."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises `KStateError` when it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise KStateError(
                f"the worker ended by itself with exit code {self._process.returncode}: "
                f"{self._last_line()}"
            )

    def kill(self) -> None:
        """SIGKILL, now; returns when it is gone."""
        process = self._running()
        self.measure()
        process.kill()
        code = process.wait()
        if code != -signal.SIGKILL:
            raise KStateError(f"the worker had ended with {code} before it was killed")
        self._process = None

    def stop(self) -> int | None:
        """SIGTERM, and SIGKILL when that does not help; its exit code, None when none was running.

        An interrupt meanwhile kills it at once.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.terminate()
            return process.wait(STOP_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def measure(self) -> None:
        """Notes the most memory that the running process has used so far."""
        try:
            status = Path(f"/proc/{self._running().pid}/status").read_text()
        except FileNotFoundError:
            return
        found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
        if found:
            self.peak_kb = max(self.peak_kb, int(found[1]))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise KStateError("the worker is not running")
        return self._process

    def _last_line(self) -> str:
        lines = self.output.read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")
