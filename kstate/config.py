"""Settings, validated once and frozen: flags, then ``KSTATE_*``, then ``kstate.toml``."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kstate.core.policy import Policy
from kstate.errors import ConfigError

DEFAULT_LOG = "sqlite:kstate.db"
CONFIG_FILE = "kstate.toml"
DEFAULT_PARTITIONS = 8
ALL = "all"
HANG_TIMEOUT_S = 300.0
"""As long as Kafka lets a consumer be silent before it gives its partitions to others."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set.  Times in seconds or, where the name says so, milliseconds."""

    log: str = DEFAULT_LOG
    prefix: str = ""
    # where ids of schemas come from, "": nowhere; it may hold a password
    schema_registry: str = field(default="", repr=False)
    registry_properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    index: str = ""  # the directory of local indexes of journals, "": none are kept
    data: Path = Path(".kstate")
    store: str = "sqlitedict"
    standby: str = "0"  # how many partitions of others have their stores kept warm; or ALL
    partitions: int = 0  # 0: as many as there are, DEFAULT_PARTITIONS for a new processor
    processors: tuple[str, ...] = ()  # targets ("processors.bank:Bank") that a name may mean
    reply_topics: tuple[str, ...] = ()  # topics that may be replied on, beside the processor's own
    batch_records: int = 5_000
    batch_bytes: int = 4_194_304
    batch_ms: int = 200
    stop_timeout_s: float = 10.0
    hang_timeout_s: float = HANG_TIMEOUT_S
    skip_lost: bool = False
    # properties of librdkafka's clients; some are secrets
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        for name in ("batch_records", "batch_bytes", "batch_ms"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.partitions < 0:
            raise ConfigError(f"partitions must be at least 1, not {self.partitions}")
        for name in ("stop_timeout_s", "hang_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name):g}")
        if self.standby != ALL and not (self.standby.isascii() and self.standby.isdigit()):
            raise ConfigError(f"standby is a number of partitions, or {ALL!r}, not {self.standby}")

    @property
    def standby_limit(self) -> int | None:
        """How many partitions of others have their stores kept warm; None: all of them."""
        return None if self.standby == ALL else int(self.standby)

    @property
    def registry(self) -> dict[str, str]:
        """The ``url`` of the schema registry and the properties of its client; empty: none."""
        if not self.schema_registry:
            return {}
        return {**self.registry_properties, "url": self.schema_registry}


def load_config(
    flags: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Config:
    """The settings of this run; ``flags`` that are None count as not given.

    ``file`` defaults to ``kstate.toml`` in the working directory, if there is one.  Raises
    `ConfigError` for a name or value that is not known, saying where it stands.
    """
    path = file or Path(CONFIG_FILE)
    values: dict[str, Any] = {}
    kafka: Any = {}
    registry: dict[str, str] = {}
    if file is not None or path.exists():
        content = _content(path)
        kafka = content.pop("kafka", {})
        if not isinstance(kafka, Mapping):
            raise ConfigError(f"{path} sets 'kafka' to a value: it is a table, [kafka]")
        if isinstance(content.get("schema_registry"), Mapping):
            registry = _flat(content.pop("schema_registry"))
            if "url" in registry:
                content["schema_registry"] = registry.pop("url")
        values |= {name: _convert(name, value, str(path)) for name, value in content.items()}
    kafka = kafka_properties(kafka, environment)
    values |= _from_environment(os.environ if environment is None else environment)
    values |= {
        name: _convert(name, value, "the command line")
        for name, value in flags.items()
        if value is not None
    }
    if registry and "schema_registry" not in values:
        raise ConfigError(f"{path} sets properties in [schema_registry] and no url")
    registry |= _variables(_REGISTRY, environment)
    limits = {name: values.pop(name) for name in list(values) if name in _POLICY}
    return Config(**values, kafka=kafka, registry_properties=registry, policy=Policy(**limits))


def kafka_properties(
    table: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """librdkafka's properties from the ``[kafka]`` table, overridden by ``KSTATE_KAFKA_*``.

    A variable names a property in capitals with ``_`` for each dot: ``KSTATE_KAFKA_SASL_PASSWORD``.
    """
    return _flat(table or {}) | _variables(_KAFKA, environment)


def registry_of(
    url: str | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The ``url`` of the schema registry that the environment names, or another one, and the
    properties of its client that are there; empty without a URL.

    They are named as those of Kafka are: ``KSTATE_SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO``.
    """
    variables = os.environ if environment is None else environment
    found = variables.get("KSTATE_SCHEMA_REGISTRY", "") if url is None else url
    return {**_variables(_REGISTRY, variables), "url": found} if found else {}


def index_of(environment: Mapping[str, str] | None = None) -> str:
    """The directory of local indexes that the environment names; "" without one."""
    return (os.environ if environment is None else environment).get("KSTATE_INDEX", "")


def _variables(prefix: str, environment: Mapping[str, str] | None) -> dict[str, str]:
    """Properties that variables give: in capitals, with ``_`` for each dot."""
    return {
        name.removeprefix(prefix).lower().replace("_", "."): value
        for name, value in (os.environ if environment is None else environment).items()
        if name.startswith(prefix)
    }


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """TOML reads the dots of ``sasl.password = …`` as tables within tables."""
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


_POLICY = {each.name for each in fields(Policy)} - {"max_record_bytes"}  # the log's URL says it
_KNOWN = (
    {each.name for each in fields(Config)} - {"policy", "kafka", "registry_properties"}
) | _POLICY
_KAFKA = "KSTATE_KAFKA_"
_REGISTRY = "KSTATE_SCHEMA_REGISTRY_"
_OTHER_VARIABLES = ("KSTATE_DEBUG",)
_OTHER_PREFIXES = (_KAFKA, _REGISTRY, "KSTATE_TEST_")
"""Variables that mean something and are no settings."""


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that begins like a setting and is none: its name, the nearest
    one that is known, and never its value."""
    known = [f"KSTATE_{name.upper()}" for name in sorted(_KNOWN)] + list(_OTHER_VARIABLES)
    sentences = []
    for variable in os.environ if environment is None else environment:
        theirs = variable in known or variable.startswith(_OTHER_PREFIXES)
        if variable == f"{_REGISTRY}URL" or (variable.startswith("KSTATE_") and not theirs):
            near = difflib.get_close_matches(variable, [*known, _KAFKA], 1)
            hint = f": did you mean {near[0]}?" if near else ""
            sentences.append(f"{variable} is no setting{hint}")
    return sentences


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for variable, value in environment.items():
        name = variable.removeprefix("KSTATE_").lower()
        # others may use the prefix for their own purposes: `unknown_variables` tells of them
        if variable.startswith("KSTATE_") and name in _KNOWN:
            values[name] = _convert(name, value, variable)
    return values


def _convert(name: str, value: Any, where: str) -> Any:
    if name not in _KNOWN:
        raise ConfigError(f"{where} sets {name!r}, which is no setting")
    default = getattr(Policy() if name in _POLICY else Config(), name)
    try:
        if isinstance(default, bool):
            return _boolean(value)
        if isinstance(default, tuple):
            return tuple(value.split(",")) if isinstance(value, str) else tuple(map(str, value))
        if isinstance(default, int) and isinstance(value, float | bool):
            raise ValueError("not a whole number")
        return type(default)(value)
    except (TypeError, ValueError) as error:
        kind = "a path" if isinstance(default, Path) else f"of type {type(default).__name__}"
        raise ConfigError(f"{where} sets {name} to {value!r}, which is not {kind}") from error


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError(value)
