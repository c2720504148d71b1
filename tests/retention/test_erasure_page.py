"""docs/erasure.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

from pathlib import Path

from pages import Shell, blocks, follow

from kstate.core.policy import Policy
from kstate.core.topics import Topics
from kstate.log.kafka_topics import settings_of
from kstate.runtime.topic_check import (
    COMMAND_RETENTION_MS,
    DAY_MS,
    DEAD_LETTER_RETENTION_MS,
    REPLY_RETENTION_MS,
    TOMBSTONE_AGE_MS,
    topic_specs,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "erasure.md"
TEXT = PAGE.read_text("utf-8")


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(blocks(PAGE), tmp_path, shell) > 5
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_the_times_of_the_page_are_those_of_the_topics() -> None:
    assert (COMMAND_RETENTION_MS, TOMBSTONE_AGE_MS) == (7 * DAY_MS, 7 * DAY_MS)
    assert (REPLY_RETENTION_MS, DEAD_LETTER_RETENTION_MS) == (3_600_000, 30 * DAY_MS)
    settings = {spec.name: settings_of(spec) for spec in topic_specs(Topics.of("meters"), 1)}
    assert settings["meters.journal"]["min.cleanable.dirty.ratio"] == "0.8"
    assert settings["meters.snapshots"]["min.cleanable.dirty.ratio"] == "0.1"
    assert "0.8 of a\njournal, 0.1 of snapshots" in TEXT


def test_the_number_of_tombstones_is_the_policys() -> None:
    assert f"{Policy().max_tombstones:,} tombstones" in TEXT
