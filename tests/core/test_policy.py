"""Limits that make no sense are refused."""

from __future__ import annotations

import pytest

from kstate.core.policy import RECORD_OVERHEAD_BYTES, Policy
from kstate.errors import ConfigError

COUNTS = sorted(set(Policy.__slots__) - {"max_record_bytes"})


@pytest.mark.parametrize("name", COUNTS)
def test_every_limit_is_at_least_one(name: str) -> None:
    assert getattr(Policy(**{name: 1}), name) == 1
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, not 0"):
        Policy(**{name: 0})


def test_a_record_has_room_for_more_than_its_key_and_headers() -> None:
    least = 4 * RECORD_OVERHEAD_BYTES
    assert Policy(max_record_bytes=least).max_value_bytes == least - RECORD_OVERHEAD_BYTES
    with pytest.raises(ConfigError, match=f"max_record_bytes must be at least {least}"):
        Policy(max_record_bytes=least - 1)
