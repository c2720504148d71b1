"""Registries that ask who is there: TLS, names and passwords, tokens, certificates."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from registry_gate import HOST, USER, Authority, Gate, gate
from registry_tools import fresh_name

from kstate.codec.book import Book
from kstate.codec.registry import Ids
from kstate.codec.registry_client import RegistryClient
from kstate.errors import ConfigError, KStateError, LogUnavailable

TOKEN = "t0ken-s3cret"
CLIENT = "id:s3cret"


@pytest.fixture
def certified(registry_url: str, authority: Authority) -> Iterator[Gate]:
    """TLS, for clients with a certificate alone."""
    with gate(registry_url, authority.issue("registry"), authority.file) as made:
        yield made


def register(url: str, properties: dict[str, str]) -> int:
    """The id of a new schema."""
    with RegistryClient(url, properties).session() as session:
        return session.register(fresh_name(), "long", "a reply")


def refusal(url: str, properties: dict[str, str], kind: type[KStateError] = ConfigError) -> str:
    """The one sentence with which a first question fails; it tells no secret."""
    with pytest.raises(kind) as refused:
        register(url, properties)
    said = str(refused.value)
    assert "s3cret" not in f"{said} {refused.value!r}"
    assert "\n" not in said
    return said


# -- a name and a password -------------------------------------------------------------------------


def test_a_name_and_a_password_open_a_registry_over_tls(
    guarded: Gate, trusted: dict[str, str]
) -> None:
    assert register(guarded.url, {**trusted, "basic.auth.user.info": USER})
    assert guarded.asked


def test_they_may_stand_in_the_url(guarded: Gate, trusted: dict[str, str]) -> None:
    assert register(guarded.url.replace("https://", f"https://{USER}@"), trusted)


def test_a_wrong_password_is_one_sentence(guarded: Gate, trusted: dict[str, str]) -> None:
    said = refusal(guarded.url, {**trusted, "basic.auth.user.info": "me:s3cretive"})
    assert said.startswith(f"the schema registry at {guarded.url} does not let us ")
    assert said.endswith("(status 401): check the name and the password")


def test_whoever_names_nobody_is_told_the_property(guarded: Gate, trusted: dict[str, str]) -> None:
    said = refusal(guarded.url, trusted)
    assert said.endswith("set basic.auth.user.info (KSTATE_SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO)")


def test_secrets_are_in_no_log(
    guarded: Gate, trusted: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    register(guarded.url, {**trusted, "basic.auth.user.info": USER})
    assert "s3cret" not in caplog.text


# -- certificates ----------------------------------------------------------------------------------


def test_a_certificate_that_is_not_trusted_is_one_sentence_with_the_property(
    guarded: Gate,
) -> None:
    said = refusal(guarded.url, {"basic.auth.user.info": USER})
    assert said.startswith(
        f"the certificate of the schema registry at {guarded.url} is not trusted"
    )
    assert said.endswith(
        "name the file of its authority in ssl.ca.location (KSTATE_SCHEMA_REGISTRY_SSL_CA_LOCATION)"
    )


@pytest.mark.parametrize(
    ("address", "days", "why"),
    [("127.0.0.9", 1, "IP address mismatch"), (HOST, -1, "certificate has expired")],
)
def test_a_certificate_of_another_host_or_time_needs_no_other_authority(
    registry_url: str,
    authority: Authority,
    trusted: dict[str, str],
    address: str,
    days: int,
    why: str,
) -> None:
    with gate(registry_url, authority.issue("wrong", address, days=days)) as made:
        said = refusal(made.url, trusted)
    assert why in said
    assert "ssl.ca.location" not in said


def test_a_certificate_of_the_client_opens_the_registry(
    certified: Gate, authority: Authority, trusted: dict[str, str]
) -> None:
    mine, key = authority.issue("client")
    own = {"ssl.certificate.location": str(mine), "ssl.key.location": str(key)}
    assert register(certified.url, {**trusted, **own})


def test_a_registry_that_misses_the_clients_certificate_is_told_with_the_property(
    certified: Gate, trusted: dict[str, str]
) -> None:
    said = refusal(certified.url, trusted)
    assert said.startswith(f"no TLS with the schema registry at {certified.url} (")
    assert "ssl.certificate.location, ssl.key.location" in said


def test_the_password_of_the_key_is_passed_on_and_never_asked_for(
    certified: Gate, authority: Authority, trusted: dict[str, str]
) -> None:
    mine, key = authority.issue("client", password="s3cret")
    own = {"ssl.certificate.location": str(mine), "ssl.key.location": str(key), **trusted}
    assert register(certified.url, {**own, "ssl.key.password": "s3cret"})
    for wrong in ({}, {"ssl.key.password": "s3cretive"}):
        said = refusal(certified.url, {**own, **wrong})
        assert "refuses its properties" in said


def test_a_registry_without_tls_under_https_is_one_sentence(registry_url: str) -> None:
    said = refusal(registry_url.replace("http://", "https://"), {})
    assert "check whether it is https" in said


# -- tokens ----------------------------------------------------------------------------------------


def test_a_token_opens_the_registry_and_names_the_cluster(
    registry_url: str, authority: Authority, trusted: dict[str, str]
) -> None:
    given = {
        **trusted,
        "bearer.auth.credentials.source": "STATIC_TOKEN",
        "bearer.auth.token": TOKEN,
        "bearer.auth.logical.cluster": "lsrc-1",
    }
    with gate(registry_url, authority.issue("registry"), token=TOKEN, cluster="lsrc-1") as made:
        assert register(made.url, given)
        said = refusal(made.url, {**given, "bearer.auth.token": "an0ther-s3cret"})
    assert said.endswith("(status 401): check the token")


def oauth(made: Gate, **other: str) -> dict[str, str]:
    name, _, secret = CLIENT.partition(":")
    return {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": name,
        "bearer.auth.client.secret": secret,
        "bearer.auth.scope": "schemas",
        "bearer.auth.issuer.endpoint.url": made.token_url,
        "bearer.auth.logical.cluster": "lsrc-1",
    } | {f"bearer.auth.{name.replace('_', '.')}": value for name, value in other.items()}


@pytest.fixture
def issuing(registry_url: str) -> Iterator[Gate]:
    """Gives tokens, and lets nobody pass without one."""
    with gate(registry_url, token=TOKEN, client=CLIENT) as made:
        yield made


def test_a_token_is_fetched_from_its_issuer(issuing: Gate) -> None:
    assert register(issuing.url, oauth(issuing))


def test_an_issuer_that_refuses_is_one_sentence(issuing: Gate) -> None:
    said = refusal(issuing.url, oauth(issuing, client_secret="s3cretive"))
    assert "its issuer refuses (invalid_client): check bearer.auth.client.id" in said


def test_an_issuer_that_is_away_is_waited_for(issuing: Gate) -> None:
    away = oauth(issuing, issuer_endpoint_url="http://127.0.0.1:9/token")
    assert "its issuer does not answer" in refusal(issuing.url, away, LogUnavailable)


# -- the way there ---------------------------------------------------------------------------------


def test_a_proxy_that_refuses_is_one_sentence(guarded: Gate, issuing: Gate) -> None:
    proxy = f"http://me:s3cret@{issuing.url.split('/')[2]}"
    said = refusal(guarded.url, {"proxy": proxy})
    assert said.endswith("check the name and the password in the property proxy")


def test_the_timeout_bounds_a_question() -> None:
    with socket.create_server((HOST, 0)) as silent:  # takes connections and never answers
        began = time.monotonic()
        url = f"http://{HOST}:{silent.getsockname()[1]}"
        assert "does not answer" in refusal(url, {"timeout": "0.2"}, LogUnavailable)
        assert time.monotonic() - began < 2.0


# -- properties that cannot be used ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        (
            {"basic.auth.userinfo": "me:s3cret"},
            "no property basic.auth.userinfo: did you mean basic.auth.user.info?",
        ),
        ({"nonsense": "s3cret"}, "no property nonsense; there are basic.auth.user.info, "),
        ({"basic.auth.user.info": "s3cret"}, "basic.auth.user.info is to be NAME:PASSWORD"),
        (
            {"basic.auth.user.info": "me:s3cret\n"},
            "basic.auth.user.info has a character that cannot stand there, such as a line break",
        ),
        ({"bearer.auth.token": "s3cret"}, "source is to be one of STATIC_TOKEN, OAUTHBEARER"),
        (
            {"bearer.auth.credentials.source": "STATIC_TOKEN", "basic.auth.user.info": USER},
            "a name and a password (basic.auth.user.info) or a token",
        ),
        (
            {"bearer.auth.credentials.source": "STATIC_TOKEN"},
            "Missing required bearer configuration properties: bearer.auth.logical.cluster",
        ),
        (
            {"ssl.ca.location": "/nowhere/ca.pem"},
            "ssl.ca.location is '/nowhere/ca.pem', which cannot be read: No such file",
        ),
        ({"ssl.ca.location": __file__}, "refuses its properties: [X509: NO_CERTIFICATE"),
        ({"ssl.key.location": __file__}, "ssl.certificate.location required"),
        ({"timeout": "soon"}, "timeout is to be a number of seconds, at most 60, not 'soon'"),
        ({"timeout": "-1"}, "timeout is to be a number of seconds, at most 60, not '-1'"),
        (
            {"proxy": "nonsense://me:s3cret@host"},
            "refuses its properties: Unknown scheme for proxy URL",
        ),
        ({"proxy": "http://[s3cret"}, "proxy is to be a URL like http://HOST:3128"),
        ({"ssl.certificate.location": "/"}, "which cannot be read: Is a directory"),
        ({"max.retries": "9"}, "max.retries cannot be set: the worker tries again by itself"),
        ({"cache.capacity": "9"}, "cache.capacity cannot be set"),
        ({"url": "http://s3cret"}, "url cannot be set: it is the setting schema_registry"),
    ],
)
def test_properties_that_cannot_be_used_are_one_sentence(
    properties: dict[str, str], sentence: str
) -> None:
    assert sentence in refusal("http://127.0.0.1:9", properties)


@pytest.mark.parametrize(
    ("url", "properties"),
    [
        ("http://me:s3cret@127.0.0.1:9", {"basic.auth.user.info": USER}),
        ("http://me:s3cret@127.0.0.1:9,http://you:s3cret@127.0.0.1:10", {}),
    ],
)
def test_a_password_that_is_given_twice_is_refused(url: str, properties: dict[str, str]) -> None:
    assert "are given twice" in refusal(url, properties)


def test_a_line_break_in_the_password_of_a_url_is_told() -> None:
    said = refusal("http://me:s3cret%0A@127.0.0.1:9", {})
    assert "such as a line break" in said


# -- later -----------------------------------------------------------------------------------------


def test_a_refusal_is_told_as_such_until_the_registry_has_answered_once(
    guarded: Gate, trusted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.codec.registry.RETRY_S", 0.0)
    given = {**trusted, "basic.auth.user.info": USER}
    number = register(guarded.url, given)
    ids = Ids(RegistryClient(guarded.url, given), Book())
    guarded.user = "me:renewed"
    with pytest.raises(ConfigError, match="check the name and the password"):
        ids.entry(number)
    guarded.user = USER
    assert ids.entry(number).schema == "long"
    # what was right once may be right again: a worker waits
    guarded.user = "me:renewed"
    with pytest.raises(LogUnavailable, match="check the name and the password"):
        ids.entry(number + 1_000_000)
