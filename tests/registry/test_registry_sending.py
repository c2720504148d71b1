"""Commands of types whose ids are not known yet, while the registry is away."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from counter import Counter
from registry_tools import codec

from kstate import Command
from kstate.codec import registry
from kstate.errors import LogUnavailable
from kstate.testing.registry_local import LocalRegistry


@dataclass(frozen=True)
class Ping(Command[None]):
    number: int


def test_a_worker_sends_to_others_in_single_object_encoding_until_the_registry_is_back(
    own: LocalRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "RETRY_S", 0.0)
    made = codec(Counter, own.url)
    own.stop()
    assert made.encode_command("other", Ping(1))[:2] == b"\xc3\x01"
    assert "a Ping goes to other without a registry's id" in caplog.text
    own.start()
    assert made.encode_command("other", Ping(1))[:1] == b"\0"


def test_a_client_is_told_that_the_registry_is_away_and_goes_on_when_it_is_back(
    own: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "RETRY_S", 0.0)
    made = codec(Counter, own.url, register=False)
    own.stop()
    with pytest.raises(LogUnavailable, match="does not answer"):
        made.encode_command("other", Ping(1))
    own.start()
    assert made.encode_command("other", Ping(1))[:1] == b"\0"
