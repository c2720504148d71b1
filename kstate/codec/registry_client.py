"""A Confluent Schema Registry over HTTP, through confluent-kafka's own client.

Nothing here retries: whoever asks knows how long waiting makes sense.  Every call has a bound, and
exactly one function knows the client's errors.
"""

from __future__ import annotations

import importlib
import json
import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from kstate.codec.limits import MAX_SCHEMA_BYTES
from kstate.codec.registry import UnknownId
from kstate.codec.registry_properties import (
    CA,
    CERTIFICATE,
    KEY,
    SOURCE,
    USER,
    client_conf,
    secrets_of,
    shown,
    variable,
)
from kstate.codec.writers import canonical, logical_form
from kstate.errors import ConfigError, KStateError, LogError, RegistryUnavailable, SchemaError

INSTALL = 'a schema registry needs its client: pip install "kstate[registry]"'

_AWAY = frozenset({408, 429, 500, 502, 503, 504})
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""A connection that ended in the middle: that may pass, other errors of TLS do not."""
_NO_CURE = frozenset({9, 10, 62, 64})
"""What OpenSSL says of certificates that another authority would not help: not valid yet or any
more, or for another host."""


class RegistryClient:
    """Implements `kstate.codec.registry.Registry`.  May be used by many threads.

    ``url`` may be several, separated by commas, and may hold a name and a password, which are never
    printed.  ``properties`` are those of confluent-kafka's client (``basic.auth.user.info``,
    ``ssl.ca.location`` …: `kstate.codec.registry_properties`).  Raises `ConfigError` for what
    cannot be used; nothing is asked yet.
    """

    def __init__(self, url: str, properties: Mapping[str, str] | None = None) -> None:
        self.url = shown(url)
        self._conf = client_conf(url, properties or {})
        self._secrets = secrets_of(self._conf)
        self._library, self._transport = _library()
        with self.session():
            pass  # wrong properties are told now

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Something to ask, over connections that end with the block: it is needed rarely."""
        try:
            client = self._library.SchemaRegistryClient(self._conf)
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(
                f"the client of the schema registry at {self.url} refuses its properties: "
                f"{self._said(error)}"
            ) from None
        try:
            yield Session(client, self)
        finally:
            client.close()
            _close_issuer(client)

    def translated(self, error: Exception, doing: str) -> KStateError:
        """What an error of the client means; the only place that knows them."""
        if isinstance(error, self._library.error.OAuthTokenError):
            return self._without_token(error)
        tls = _tls_fault(error)
        if tls is not None:
            return self._refused_by_tls(tls)
        if isinstance(error, self._transport):
            if "407" in str(error) and type(error).__name__ == "ProxyError":
                return ConfigError(
                    f"the proxy before the schema registry at {self.url} does not let us pass: "
                    "check the name and the password in the property proxy"
                )
            return RegistryUnavailable(
                f"the schema registry at {self.url} does not answer: {self._said(error)}"
            )
        status = getattr(error, "http_status_code", None)
        said = self._said(error)
        if status in _AWAY:
            return RegistryUnavailable(
                f"the schema registry at {self.url} cannot answer now (status {status}): {said}"
            )
        if status in (401, 403):
            return ConfigError(
                f"the schema registry at {self.url} does not let us {doing} (status {status}): "
                f"{self._cure()}"
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

    def _said(self, error: Exception) -> str:
        """The words of an error, unless a secret is among them."""
        words = str(getattr(error, "error_message", "") or error)[:500]
        if not words or any(secret in words for secret in self._secrets):
            return type(error).__name__
        return words

    def _cure(self) -> str:
        if SOURCE in self._conf:
            return "check the token"
        if USER in self._conf:
            return "check the name and the password"
        return f"set {USER} ({variable(USER)})"

    def _refused_by_tls(self, error: ssl.SSLError) -> KStateError:
        if isinstance(error, ssl.SSLCertVerificationError):
            cure = f"; name the file of its authority in {CA} ({variable(CA)})"
            if error.verify_code in _NO_CURE:
                cure = ""
            return ConfigError(
                f"the certificate of the schema registry at {self.url} is not trusted: "
                f"{error.verify_message}{cure}"
            )
        return ConfigError(
            f"no TLS with the schema registry at {self.url} ({error.reason}): check whether it is "
            f"https, and whether it wants a certificate of the client ({CERTIFICATE}, {KEY})"
        )

    def _without_token(self, error: Exception) -> KStateError:
        cause = error.__context__
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        if isinstance(cause, self._transport) or status >= 500:
            return RegistryUnavailable(
                f"there is no token for the schema registry at {self.url}: its issuer does not "
                f"answer ({type(cause).__name__})"
            )
        why = getattr(cause, "error", None) or type(cause).__name__
        return ConfigError(
            f"there is no token for the schema registry at {self.url}: its issuer refuses ({why}): "
            "check bearer.auth.client.id, bearer.auth.client.secret and bearer.auth.scope"
        )


def _close_issuer(client: Any) -> None:
    """Closes the connection to the issuer of tokens, which the library leaves open."""
    rest = getattr(client, "_rest_client", None)
    issuer = getattr(getattr(rest, "bearer_field_provider", None), "client", None)
    if issuer is not None:
        issuer.close()


def _tls_fault(error: BaseException) -> ssl.SSLError | None:
    """What TLS refused; None for other errors, and for connections that were cut."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return None if isinstance(cause, _CUT) else cause
        cause = cause.__cause__ or cause.__context__
    return None


class Session:
    """One open connection to the registry.  Errors: see `RegistryClient.translated`."""

    def __init__(self, client: Any, owner: RegistryClient) -> None:
        self._client = client
        self._owner = owner
        self._schema_class = owner._library.Schema
        errors = owner._library.error
        self._error: type[Exception] = errors.SchemaRegistryError
        self._others = (OSError, ValueError, TypeError, errors.OAuthTokenError, owner._transport)

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
        size = len(found.schema_str.encode())
        if size > MAX_SCHEMA_BYTES:
            raise UnknownId(
                number,
                f"it has {size:,} bytes, more than {MAX_SCHEMA_BYTES:,} (MAX_SCHEMA_BYTES)",
            )
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
        except self._others as error:
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
