"""The golden files are what they were, and what kstate writes today is what it wrote then."""

from __future__ import annotations

import hashlib
from pathlib import Path

import golden
import pytest
from golden import DIRECTORY, GENERATIONS
from write import SUMS, keep, live

KEPT = dict(reversed(line.split()) for line in (DIRECTORY / SUMS).read_text().splitlines())
LIMIT = 200_000


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_golden_file_has_the_bytes_that_were_written_then(name: str) -> None:
    assert hashlib.sha256((DIRECTORY / name).read_bytes()).hexdigest() == KEPT[name]


def test_every_golden_file_has_its_sum() -> None:
    files = {path.name for path in DIRECTORY.iterdir()} - {SUMS}
    assert files == set(KEPT)
    assert files == {path.name for each in GENERATIONS for path in golden.paths(each)}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_golden_file_is_small(name: str) -> None:
    assert (DIRECTORY / name).stat().st_size < LIMIT


@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_is_kept_is_not_written_again(generation: str) -> None:
    with pytest.raises(FileExistsError):
        keep(generation)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_same_commands_write_the_same_journal_today(generation: str, tmp_path: Path) -> None:
    records, states = live(generation, tmp_path)
    kept = golden.read(generation)

    def journal(of: dict[str, list[golden.Record]]) -> list[tuple[bytes | None, bytes | None, int]]:
        return [(each.key, each.value, each.timestamp) for each in of["journal"]]

    assert journal(records) == journal(kept.records)
    assert states == {key: noted._asdict() for key, noted in kept.states.items()}


def test_a_copy_of_records_with_a_hole_is_refused() -> None:
    first, second = golden.read("2024").records["journal"][:2]
    with pytest.raises(ValueError, match="0:2 follows 0"):
        golden.assert_without_holes([first, second._replace(offset=2)])
