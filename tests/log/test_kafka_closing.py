"""A member closes whatever its group is doing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_S = 120.0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_member_closes_at_any_moment_of_a_rebalance(bootstrap: str, seed: int) -> None:
    script = Path(__file__).with_name("kafka_closing.py")
    ended = subprocess.run(
        [sys.executable, str(script), bootstrap, str(seed)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stderr
