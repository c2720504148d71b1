"""How the registry is reached, and what is said of it."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from registry_tools import fresh_name

from kstate.codec.book import Book
from kstate.codec.limits import MAX_SCHEMA_BYTES
from kstate.codec.registry import UNKNOWN_S, Ids, UnknownId
from kstate.codec.registry_client import RegistryClient
from kstate.errors import ConfigError, LogUnavailable

NOBODY = "http://127.0.0.1:9"
"""The port of `discard`, which nothing listens on."""


@pytest.mark.parametrize("url", ["", "registry:8081", "ftp://registry", "http://", "http://a:b:c"])
def test_a_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match="to be a URL like http://HOST:8081"):
        RegistryClient(url)


def test_a_password_in_the_url_is_not_told() -> None:
    client = RegistryClient("http://me:s3cret@127.0.0.1:9/api?token=s3cret")
    assert client.url == "http://127.0.0.1:9/api"
    with client.session() as session, pytest.raises(LogUnavailable) as away:
        session.find("a", "long")
    assert "s3cret" not in f"{away.value!s} {away.value!r} {client!r}"


def test_a_password_in_the_url_is_in_no_log(
    registry_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = registry_url.replace("http://", "http://me:s3cret@")
    with RegistryClient(url).session() as session:
        session.find(fresh_name(), "long")
    assert "s3cret" not in caplog.text


def test_a_registry_that_is_away_is_named() -> None:
    with (
        RegistryClient(NOBODY).session() as session,
        pytest.raises(LogUnavailable, match=f"the schema registry at {NOBODY} does not answer"),
    ):
        session.schema(1)


def test_a_path_that_has_no_registry_is_told_with_the_cure(registry_url: str) -> None:
    with (
        RegistryClient(f"{registry_url}/nowhere").session() as session,
        pytest.raises(ConfigError, match="check the path"),
    ):
        session.register(fresh_name(), "long", "a reply")


def test_a_missing_library_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)
    with pytest.raises(ConfigError, match=r'pip install "kstate\[registry\]"'):
        RegistryClient(NOBODY)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Counting(RegistryClient):
    """Counts its connections."""

    asked = 0

    def session(self) -> Any:
        self.asked += 1
        return super().session()


def test_a_known_id_is_asked_for_once(registry_url: str) -> None:
    client = Counting(registry_url)
    with client.session() as session:
        number = session.register(fresh_name(), "long", "a reply")
    ids, before = Ids(client, Book()), client.asked
    assert {ids.entry(number).schema for _ in range(3)} == {"long"}
    assert client.asked == before + 1


def test_an_unknown_id_is_not_asked_for_again_at_once(registry_url: str) -> None:
    client, clock = Counting(registry_url), Clock()
    ids, before = Ids(client, Book(), clock), client.asked
    for _ in range(3):
        with pytest.raises(UnknownId):
            ids.entry(2**31)
    assert client.asked == before + 1
    clock.now += UNKNOWN_S
    with pytest.raises(UnknownId):
        ids.entry(2**31)
    assert client.asked == before + 2


def test_a_schema_of_more_bytes_than_a_topic_may_have_is_refused(registry_url: str) -> None:
    schema = {"type": "fixed", "name": "F", "size": 4, "doc": "x" * MAX_SCHEMA_BYTES}
    with RegistryClient(registry_url).session() as session:
        number = session.register(fresh_name(), schema, "a type")
        with pytest.raises(UnknownId, match="MAX_SCHEMA_BYTES"):
            session.schema(number)


def test_a_registry_that_is_away_is_not_asked_for_each_record() -> None:
    client, clock = Counting(NOBODY), Clock()
    ids, before = Ids(client, Book(), clock), client.asked
    for number in range(10):
        with pytest.raises(LogUnavailable):
            ids.entry(number)
    assert client.asked == before + 1
    clock.now += 31.0
    with pytest.raises(LogUnavailable):
        ids.entry(1)
    assert ids.away_s == 31.0
