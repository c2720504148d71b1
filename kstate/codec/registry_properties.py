"""The properties of a schema registry's client: which there are, and what their values may be.

They are those of confluent-kafka's ``SchemaRegistryClient``.  Those whose values are functions are
left out, and those that kstate decides.  Errors tell no values: most of them are secrets.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from kstate.errors import ConfigError

CONNECT_S = 1.0
ANSWER_S = 3.0
"""How long one request may take: it is asked in a worker's loop, too, for an unknown id."""
MAX_TIMEOUT_S = 60.0

VARIABLES = "KSTATE_SCHEMA_REGISTRY_"
USER = "basic.auth.user.info"
CA = "ssl.ca.location"
CERTIFICATE = "ssl.certificate.location"
KEY = "ssl.key.location"
KEY_PASSWORD = "ssl.key.password"
SOURCE = "bearer.auth.credentials.source"
_BEARER = "bearer.auth."
_SOURCES = ("STATIC_TOKEN", "OAUTHBEARER", "OAUTHBEARER_AZURE_IMDS")

PROPERTIES = (
    USER,
    CA,
    CERTIFICATE,
    KEY,
    KEY_PASSWORD,
    "proxy",
    "timeout",
    SOURCE,
    "bearer.auth.token",
    "bearer.auth.logical.cluster",
    "bearer.auth.identity.pool.id",
    "bearer.auth.client.id",
    "bearer.auth.client.secret",
    "bearer.auth.scope",
    "bearer.auth.issuer.endpoint.url",
    "bearer.auth.issuer.endpoint.query",
)

FIXED = {
    "url": "it is the setting schema_registry",
    "max.retries": "the worker tries again by itself",
    "retries.wait.ms": "the worker tries again by itself",
    "retries.max.wait.ms": "the worker tries again by itself",
    "cache.capacity": "ids are kept for the life of the process",
    "cache.latest.ttl.sec": "the latest version of a subject is never asked for",
}
"""Properties of the client that cannot be set, and why."""


def variable(name: str) -> str:
    """The environment variable of a property."""
    return VARIABLES + name.upper().replace(".", "_")


def shown(url: str) -> str:
    """One or several URLs of a registry without secrets; raises `ConfigError` for what is none."""
    return ",".join(_without_secrets(each) for each in _split(url))


def client_conf(url: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """What the client is made with; raises `ConfigError` for what cannot be used.

    A name and a password in the URL become a property: the client's library tells of each request,
    with its URL, and no secret may be in it.
    """
    for name, value in properties.items():
        _check(name, value)
    conf: dict[str, Any] = dict(properties)
    parts = _split(url)
    users = {each.netloc.rpartition("@")[0] for each in parts if "@" in each.netloc}
    if len(users) + (USER in conf) > 1:
        raise ConfigError(
            f"the registry's name and password are given twice, in its URL and in {USER} or in two "
            "URLs: leave them in one place"
        )
    for user in users:
        name, _, password = user.partition(":")
        conf[USER] = f"{unquote(name)}:{unquote(password)}"
        _check(USER, conf[USER])
    _check_together(conf)
    connect_s = answer_s = _seconds(conf.pop("timeout", None))
    if connect_s is None or answer_s is None:
        connect_s, answer_s = CONNECT_S, ANSWER_S
    if CERTIFICATE in conf:
        # without one OpenSSL asks the terminal for the password of a key that has one
        conf.setdefault(KEY_PASSWORD, "")
    return {
        **conf,
        "url": ",".join(urlunsplit(each._replace(netloc=_host(each))) for each in parts),
        "timeout": (connect_s, answer_s, answer_s, connect_s),  # connect, read, write, pool
        "max.retries": 0,
    }


def secrets_of(conf: Mapping[str, Any]) -> list[str]:
    """What must stand in no message."""
    names = ("bearer.auth.token", "bearer.auth.client.secret", KEY_PASSWORD)
    proxy = urlsplit(conf.get("proxy", "")).netloc.rpartition("@")[0]
    found = [conf.get(name, "") for name in names]
    return [each for each in (*found, *_passwords(conf.get(USER, "")), *_passwords(proxy)) if each]


def _passwords(user: str) -> tuple[str, str]:
    """A name with its password, and the password."""
    return user, user.partition(":")[2]


def _check(name: str, value: str) -> None:
    if name in FIXED:
        raise ConfigError(f"the registry's {name} cannot be set: {FIXED[name]}")
    if name not in PROPERTIES:
        near = difflib.get_close_matches(name, PROPERTIES, 1)
        hint = f": did you mean {near[0]}?" if near else f"; there are {', '.join(PROPERTIES)}"
        raise ConfigError(f"the schema registry's client has no property {name}{hint}")
    if not value.isprintable() or (name.startswith(_BEARER) and not value.isascii()):
        raise ConfigError(
            f"the registry's {name} has a character that cannot stand there, such as a line break "
            "at its end"
        )
    if name == "proxy" and not _is_url(value):
        raise ConfigError("the registry's proxy is to be a URL like http://HOST:3128")
    if name.endswith(".location") and not (name == CA and os.path.isdir(value)):
        try:
            with open(value, "rb"):
                pass
        except OSError as error:
            raise ConfigError(
                f"the registry's {name} is {value!r}, which cannot be read: {error.strerror}"
            ) from error


def _check_together(conf: Mapping[str, Any]) -> None:
    """Refuses what the client would refuse less clearly, or pass over."""
    bearer = [name for name in conf if name.startswith(_BEARER)]
    if bearer and conf.get(SOURCE) not in _SOURCES:
        raise ConfigError(f"the registry's {SOURCE} is to be one of {', '.join(_SOURCES)}")
    if bearer and USER in conf:
        raise ConfigError(
            f"the registry's client takes a name and a password ({USER}) or a token "
            f"({SOURCE}), not both"
        )
    if ":" not in conf.get(USER, ":"):
        raise ConfigError(f"the registry's {USER} is to be NAME:PASSWORD")


def _seconds(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise ConfigError(
            f"the registry's timeout is to be a number of seconds, at most {MAX_TIMEOUT_S:g}, not "
            f"{value!r}"
        )
    return seconds


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _split(url: str) -> list[SplitResult]:
    return [_split_one(each) for each in url.split(",")]


def _split_one(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("schema_registry is to be a URL like http://HOST:8081")
    return parts


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _without_secrets(parts: SplitResult) -> str:
    return urlunsplit((parts.scheme, _host(parts), parts.path, "", ""))
