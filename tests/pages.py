"""Pages whose code blocks are run: what stands in them, and a shell to type it to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

END = "-- end of a command --"
NOTICE = re.compile(r"bash: line \d+: +\d+ (Killed|Terminated) |kstate: waiting for a worker of ")
"""What the shell tells of a worker that is gone, and kstate of one that takes its time."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Block(NamedTuple):
    language: str
    text: str


class Step(NamedTuple):
    command: str
    output: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = page.read_text("utf-8")
    return [Block(*each) for each in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)]


def steps(text: str) -> Iterator[Step]:
    """The commands of a console block, each with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield Step(command, output)


class Shell:
    """A shell in a directory, to which one types."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env={"PATH": path, "HOME": str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, command: str) -> str:
        """What a command prints."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{command}\necho '{END}'\n")
        process.stdin.flush()
        lines: list[str] = []
        for line in process.stdout:
            if line.rstrip("\n") == END:
                return "".join(lines)
            if not NOTICE.match(line):
                lines.append(line)
        raise AssertionError(f"the shell ended in {command}: {lines}")

    def close(self) -> None:
        """Ends the shell and what it started."""
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.stdin.write("kill -9 $(jobs -p) 2> /dev/null; exit\n")
            self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def follow(found: list[Block], directory: Path, shell: Shell) -> int:
    """Does what a page says, in its order: writes the Python blocks to the files that they name,
    types the commands, and holds what these print against the page.  How many commands there were.
    """
    ran = 0
    for language, text in found:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            assert name, f"a Python block without the name of its file: {text[:40]}"
            (directory / name[1]).write_text(text)
        elif language == "console":
            for command, expected in steps(text):
                printed = shell.type(command)
                told = f"{command} prints:\n{printed}"
                assert TIME.sub("TIME", printed) == TIME.sub("TIME", expected), told
                ran += 1
    return ran
