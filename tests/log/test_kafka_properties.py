"""What the protocol fixes cannot be set, under no name; functions and objects cannot be texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kstate.config import load_config
from kstate.errors import ConfigError
from kstate.log.kafka import KafkaLog
from kstate.log.kafka_config import FIXED, Settings, check_properties
from kstate.log.kafka_transaction import Transactions

ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
    "delivery.timeout.ms": "message.timeout.ms",
    "auto.commit.enable": "enable.auto.commit",
}
"""Those that librdkafka's CONFIGURATION.md has for fixed properties."""
CODE = [
    *("logger", "error_cb", "stats_cb", "throttle_cb", "oauth_cb", "on_delivery", "on_commit"),
    *("log_cb", "rebalance_cb", "dr_msg_cb", "partitioner_cb", "ssl.certificate.verify_cb"),
    *("opaque", "default_topic_conf", "default.topic.config"),
]


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_property_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_properties({name: "1"}, "kstate.toml")
    assert str(refused.value) == f"kstate.toml sets {name}, which cannot be set: {FIXED[name]}"


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_a_fixed_property_is_refused_by_the_name_that_was_written(alias: str, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        KafkaLog("localhost:1", {"client.rack": "a", alias: "1"})
    told = f"the configuration sets {alias}, which cannot be set: {FIXED[name]}"
    assert str(refused.value) == told


def in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kstate.toml"
    file.write_text("[kafka]\nmessage.max.bytes = 2000\n")
    KafkaLog.from_url("kafka://localhost:1", load_config({}, {}, file).kafka)


def in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_config({}, {"KSTATE_KAFKA_MESSAGE_MAX_BYTES": "2000"})
    KafkaLog.from_url("kafka://localhost:1", found.kafka)


def in_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KafkaLog.from_url("kafka://localhost:1?message.max.bytes=2000")


@pytest.mark.parametrize("place", [in_the_table, in_the_environment, in_the_url])
def test_the_largest_message_is_refused_wherever_it_stands_and_the_cure_is_told(
    place: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"message\.max\.bytes.*URL.*\?max_record_bytes="):
        place(tmp_path, monkeypatch)


def test_the_cure_that_is_told_bounds_the_records_and_the_clients_messages() -> None:
    log = KafkaLog.from_url("kafka://localhost:1?max_record_bytes=2000")
    assert log.max_record_bytes == 2000
    assert "'message.max.bytes': 2588" in repr(log)


@pytest.mark.parametrize("name", CODE)
def test_what_is_a_function_or_an_object_is_refused_as_a_text(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        KafkaLog("localhost:1", {name: "print"})
    reason = "it is a function or an object, and no text"
    assert str(refused.value) == f"the configuration sets {name}, which cannot be set: {reason}"


def test_a_function_that_a_program_hands_over_passes_through() -> None:
    def token(asked: str) -> tuple[str, float]:
        return asked, 0.0

    given: dict[str, str] = {"oauth_cb": token}  # type: ignore[dict-item]
    assert check_properties(given, "the configuration") == given


def test_a_timeout_that_is_no_number_is_told_as_a_mistake_in_the_configuration() -> None:
    settings = Settings("localhost:1", {"transaction.timeout.ms": "soon"}, 2588)
    with pytest.raises(ConfigError, match=r"transaction\.timeout\.ms"):
        Transactions(settings, "bank-0")
