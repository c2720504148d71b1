"""The matrix of docs/schema-evolution.md: what stands there, and the text that should.

``python tests/evolution/matrix_page.py`` performs every change and writes the page anew.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "schema-evolution.md"
HEADS = (
    "change",
    "`check` says",
    "an old event is",
    "an old snapshot is",
    "an old command is",
    "a reply of before is",
)
KINDS = {
    "event": "event",
    "state": "state",
    "command": "command",
    "reply": "reply to a command `Ask`",
}
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from matrix_changes import CHANGES, Change  # noqa: E402 - found once the paths above are known
from matrix_run import Row, performed  # noqa: E402
from world import World  # noqa: E402


def perform(change: Change, directory: Path) -> Row:
    """Performs one change on embedded logs below a directory."""
    with ExitStack() as worlds:
        made = 0

        def world() -> World:
            nonlocal made
            made += 1
            place = directory / str(made)
            place.mkdir(parents=True)
            return worlds.enter_context(closing(World(f"sqlite:{place}/log.db?sync=normal", place)))

        return performed(change, world, directory / "schemas")


def text_of(rows: Sequence[Row]) -> str:
    """The generated part of the page."""
    lines = [
        "",
        f"| {' | '.join(HEADS)} |",
        "|---|---|---|---|---|---|",
        *(row.cells() for row in rows),
        "",
        "What `check` says of each kind, where it is not content or has a doubt.",
        "",
    ]
    for kind, title in KINDS.items():
        lines += [f"Of the {title}:", "", *sentences(rows, kind), ""]
    return "\n".join(lines) + "\n"


def sentences(rows: Sequence[Row], kind: str) -> list[str]:
    """What check says of one kind; a sentence that several changes have stands there once."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if kind in row.words:
            found.setdefault(row.words[kind], []).append(f"*{row.change}*")
    return [f"* {', '.join(changes)}: {words}" for words, changes in found.items()]


def written() -> str:
    """The generated part as it stands on the page."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def rows_written() -> dict[str, str]:
    """The rows of the page by their change."""
    return dict(re.findall(r"^(?=\| ([^|]+) \|)(\| .*)$", written(), re.M))


def words_written() -> dict[str, dict[str, str]]:
    """What the page has `check` say: change → kind → sentence."""
    found: dict[str, dict[str, str]] = {}
    for kind, title in KINDS.items():
        part = written().partition(f"\nOf the {title}:\n\n")[2].partition("\n\n")[0]
        for line in part.splitlines():
            changes, words = line.removeprefix("* *").split("*: ", 1)
            for change in changes.split("*, *"):
                found.setdefault(change, {})[kind] = words
    return found


def main() -> None:
    """Writes the page anew."""
    with tempfile.TemporaryDirectory() as directory:
        rows = [
            perform(change, Path(directory) / str(number)) for number, change in enumerate(CHANGES)
        ]
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + text_of(rows) + END + after, "utf-8")


if __name__ == "__main__":
    main()
