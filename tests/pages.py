"""Pages whose code blocks are run: what stands in them, and a shell to type it to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
END = "-- end of a command --"
NOTICE = re.compile(r"bash: line \d+: +\d+ (Killed|Terminated) |kstate: waiting for a worker of ")
"""What the shell tells of a worker that is gone, and kstate of one that takes its time."""
FILE = re.compile(r"# (\w+\.py)\n")
"""The first line of a Python block that is a file."""
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


def as_told(expected: str, printed: str) -> bool:
    """Whether a page has what was printed, but for times; ``…`` stands for anything on a line, and
    alone for any number of lines."""
    pattern = re.escape(TIME.sub("TIME", expected)).replace(re.escape("…"), ".*")
    flags = re.S if expected == "…\n" else 0
    return re.fullmatch(pattern, TIME.sub("TIME", printed), flags) is not None


def follow(found: Sequence[Block], directory: Path, shell: Shell) -> int:
    """Does what a page says, in its order: writes the Python blocks that begin with the name of
    their file, runs the others, types the commands, and holds what is printed against the page.
    How many commands and programs there were.
    """
    ran = 0
    printed = ""
    for language, text in found:
        if language == "python" and (name := FILE.match(text)):
            (directory / name[1]).write_text(text)
        elif language == "python":
            printed = _run(text, directory)
            ran += 1
        elif language == "output":
            assert as_told(text, printed), f"the program prints:\n{printed}"
        elif language == "console":
            for command, expected in steps(text):
                printed = shell.type(command)
                assert as_told(expected, printed), f"{command} prints:\n{printed}"
                ran += 1
    return ran


def _run(program: str, directory: Path) -> str:
    """What a program prints on the log ``kstate.db``."""
    done = subprocess.run(
        [sys.executable, "-c", f'LOG = "sqlite:kstate.db"\n{program}'],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_blocks(page: Path, languages: set[str]) -> None:
    """Every block is one that `follow` does something with."""
    found = blocks(page)
    assert len(found) == len(re.findall(r"^```\w+", page.read_text("utf-8"), re.M))
    assert {language for language, _ in found} == languages


def check_types(found: Sequence[Block], directory: Path) -> None:
    """mypy is content with the Python blocks: of one file that is written twice, with the last."""
    names = set()
    for language, text in found:
        if language == "python" and (name := FILE.match(text)):
            names.add(name[1])
            (directory / name[1]).write_text(text)
    assert names
    # one cache for all pages: what is kstate's own is looked at once
    cache = f"--cache-dir={ROOT / '.mypy_cache' / 'pages'}"
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", cache]
    checked = subprocess.run(
        [*command, *sorted(names)],
        cwd=directory,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def check_links(page: Path) -> None:
    """What a page links to in this repository is there."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
    assert links
    for each in links:
        if not each.startswith("https://"):
            assert (page.parent / each).exists(), each
