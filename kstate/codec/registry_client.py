"""A Confluent Schema Registry over HTTP, through confluent-kafka's own client.

Nothing here retries: whoever asks knows how long waiting makes sense.  Every call has a bound, and
exactly one function knows the client's errors.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from kstate.codec.registry import UnknownId
from kstate.codec.writers import canonical, logical_form
from kstate.errors import ConfigError, KStateError, LogError, LogUnavailable, SchemaError

CONNECT_S = 1.0
ANSWER_S = 3.0
"""How long one request may take: it is asked in a worker's loop, too, for an unknown id."""

INSTALL = 'a schema registry needs its client: pip install "kstate[registry]"'

_FIXED = {
    "url": "it is the setting schema_registry",
    "timeout": "a worker's loop may not wait longer",
    "max.retries": "the worker tries again by itself",
    "retries.wait.ms": "the worker tries again by itself",
    "retries.max.wait.ms": "the worker tries again by itself",
}
"""Properties of the client that cannot be set, and why."""

_AWAY = frozenset({408, 429, 500, 502, 503, 504})


class RegistryClient:
    """Implements `kstate.codec.registry.Registry`.  May be used by many threads.

    ``url`` may be several, separated by commas, and may hold a name and a password, which are never
    printed.  ``properties`` are those of confluent-kafka's client (``basic.auth.user.info``,
    ``ssl.ca.location`` …).  Raises `ConfigError` for what cannot be used; nothing is asked yet.
    """

    def __init__(self, url: str, properties: Mapping[str, str] | None = None) -> None:
        parts = [_split(each) for each in url.split(",")]
        self.url = ",".join(_without_secrets(each) for each in parts)
        given = dict(properties or {})
        for name, why in _FIXED.items():
            if name in given:
                raise ConfigError(f"the registry's {name} cannot be set: {why}")
        user = parts[0].username
        if user is not None:
            given.setdefault(
                "basic.auth.user.info", f"{unquote(user)}:{unquote(parts[0].password or '')}"
            )
        # httpx tells of each request, with its URL: no secret may be in it
        bare = ",".join(urlunsplit(each._replace(netloc=_host(each))) for each in parts)
        self._conf: dict[str, Any] = {
            **given,
            "url": bare,
            "timeout": (CONNECT_S, ANSWER_S, ANSWER_S, CONNECT_S),  # connect, read, write, pool
            "max.retries": 0,
        }
        self._library, self._transport = _library()
        with self.session():
            pass  # wrong properties are told now

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Something to ask, over connections that end with the block: it is needed rarely."""
        try:
            client = self._library.SchemaRegistryClient(self._conf)
        except (ValueError, TypeError, OSError) as error:
            # the values may be secrets, and the library's sentence may hold one
            names = ", ".join(sorted(self._conf.keys() - _FIXED.keys())) or "none but the URL"
            raise ConfigError(
                f"the client of the schema registry at {self.url} refuses its properties "
                f"({names}): {type(error).__name__}"
            ) from None
        try:
            yield Session(client, self)
        finally:
            client.close()

    def translated(self, error: Exception, doing: str) -> KStateError:
        """What an error of the client means; the only place that knows them."""
        if isinstance(error, self._transport):
            why = str(error) or type(error).__name__
            return LogUnavailable(f"the schema registry at {self.url} does not answer: {why}")
        status = getattr(error, "http_status_code", None)
        said = str(getattr(error, "error_message", "") or error)[:500]
        if status in _AWAY:
            return LogUnavailable(
                f"the schema registry at {self.url} cannot answer now (status {status}): {said}"
            )
        if status in (401, 403):
            return ConfigError(
                f"the schema registry at {self.url} does not let us {doing} (status {status}): "
                "check the name and the password"
            )
        if status == 409:
            return SchemaError(
                f"the schema registry at {self.url} refuses to {doing}, as incompatible with "
                f"what is there: {said}; change the type compatibly, or the subject's "
                "compatibility in the registry"
            )
        if status == 422:
            return SchemaError(f"the schema registry at {self.url} refuses to {doing}: {said}")
        if status in (404, 405):
            return ConfigError(
                f"{self.url} has no schema registry that could {doing}: check the path, like "
                "http://HOST:8081 or http://HOST:8080/apis/ccompat/v7"
            )
        return LogError(
            f"the schema registry at {self.url} could not {doing}: {type(error).__name__}: {said}"
        )


class Session:
    """One open connection to the registry.  Errors: see `RegistryClient.translated`."""

    def __init__(self, client: Any, owner: RegistryClient) -> None:
        self._client = client
        self._owner = owner
        self._schema_class = owner._library.Schema
        self._error: type[Exception] = owner._library.error.SchemaRegistryError

    def find(self, subject: str, schema: Any) -> int | None:
        """The id of exactly this schema under a subject; None where it is not registered."""
        doing = f"look a schema of the subject {subject} up"
        found = self._ask(doing, self._client.lookup_schema, subject, self._made(schema))
        if found is None:
            return None
        self._check(subject, schema, found.schema_id, found.schema.schema_str)
        return int(found.schema_id)

    def register(self, subject: str, schema: Any, what: str) -> int:
        """Registers a schema that is not there yet; its id.

        ``what`` names the type in errors.  Raises `SchemaError` for one that is refused.
        """
        doing = f"register {what} under the subject {subject}"
        made = self._made(schema)
        found = self._ask(doing, self._client.register_schema, subject, made, absent=False)
        there = self._ask(doing, self._client.get_schema, found, absent=False)
        self._check(subject, schema, found, there.schema_str)
        return int(found)

    def schema(self, number: int) -> Any:
        """The schema of an id, as JSON gives it; raises `UnknownId` where there is none."""
        found = self._ask(f"tell the schema with id {number}", self._client.get_schema, number)
        if found is None:
            raise UnknownId(number, f"the schema registry at {self._owner.url} has none")
        if (found.schema_type or "AVRO") != "AVRO":
            raise UnknownId(number, f"it is of type {found.schema_type}, not Avro")
        if found.references:
            raise UnknownId(number, "it refers to schemas of other subjects: inline them")
        try:
            return json.loads(found.schema_str)
        except (ValueError, RecursionError) as error:
            raise UnknownId(number, "the registry's text of it is no JSON") from error

    def _made(self, schema: Any) -> Any:
        text = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
        return self._schema_class(text, "AVRO")

    def _ask(self, doing: str, function: Any, *arguments: Any, absent: bool = True) -> Any:
        """What the registry answers; None where it says that there is none, with ``absent``."""
        try:
            return function(*arguments)
        except self._error as error:
            # a registry's own codes: a path that is none's has a plain 404
            if absent and getattr(error, "error_code", None) in (40401, 40402, 40403):
                return None
            raise self._owner.translated(error, doing) from error
        except (OSError, ValueError, TypeError, self._owner._transport) as error:
            raise self._owner.translated(error, doing) from error

    def _check(self, subject: str, schema: Any, number: int, text: str) -> None:
        """Raises `SchemaError` if the registry holds another schema than it was asked for: data
        would be read wrongly ever after."""
        there = json.loads(text)
        if canonical(there) != canonical(schema) or logical_form(there) != logical_form(schema):
            raise SchemaError(
                f"the schema registry at {self._owner.url} has another schema as {number} than "
                f"the one asked for under {subject}: let it compare schemas by their full text"
            )


def _split(url: str) -> SplitResult:
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


def _library() -> tuple[ModuleType, type[Exception]]:
    """confluent-kafka's client, and the error of its transport; raises `ConfigError`."""
    try:
        library = importlib.import_module("confluent_kafka.schema_registry")
    except ImportError as error:
        raise ConfigError(INSTALL) from error
    for name in ("httpx2", "httpx"):  # as the client itself prefers them
        try:
            http = importlib.import_module(name)
        except ImportError:
            continue
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)  # it tells of each request
        transport: type[Exception] = http.TransportError
        return library, transport
    raise ConfigError(INSTALL)
