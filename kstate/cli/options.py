"""The options that most commands share, and what they come to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kstate.config import Config, load_config, unknown_variables
from kstate.errors import ConfigError, KStateError

if TYPE_CHECKING:
    from kstate.client import Client, ProcessorRef
    from kstate.log.port import Log
    from kstate.processor import Processor

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS = (
    "store",
    "data",
    "partitions",
    "batch_records",
    "batch_ms",
    "max_entities",
    "stop_timeout_s",
    "hang_timeout_s",
    "skip_lost",
)
"""Options of commands that are settings, too: flags come before the environment and the file."""


def examples(*lines: str) -> str:
    """The end of a command's help; ``\\b`` keeps click from filling the lines."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])


config_file = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of settings; kstate.toml by default, where there is one.",
)
"""``--config``: the command gets a path, or None, as ``file``."""


def json_flag(what: str) -> Callable[[F], F]:
    """``--json``: print ``what`` for machines; the command gets ``as_jsons``."""
    return click.option("--json", "as_jsons", is_flag=True, help=f"Print {what}.")


def data_directory(what: str) -> Callable[[F], F]:
    """``--data``: where ``what`` are kept."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help=f"Where {what} are kept; .kstate by default.",
    )


partitions = click.option(
    "--partitions",
    type=click.IntRange(1),
    metavar="N",
    help="Partitions of a new processor, fixed for its life; 8 by default.",
)
"""``--partitions``: a setting."""


class Time(click.ParamType):  # type: ignore[type-arg]
    """ISO 8601; UTC where no offset is given."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write it like 2026-03-01T12:00:00Z", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def timeout(what: str) -> Callable[[F], F]:
    """``--timeout``: how many seconds to wait for ``what``."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=10.0,
        show_default=True,
        metavar="S",
        help=f"How many seconds to wait for {what}.",
    )


def common(function: F) -> F:
    """``--log``, ``--prefix``, ``--schema-registry`` and ``--config``; the command gets a `Config`
    as ``config``.

    Options of the command whose names are in `SETTINGS` belong to the configuration, too.
    """

    @click.option(
        "--log",
        metavar="URL",
        help="The log: kafka://HOST:PORT or sqlite:FILE (KSTATE_LOG; sqlite:kstate.db by default).",
    )
    @click.option(
        "--prefix", metavar="TEXT", help="What the topics' names begin with (KSTATE_PREFIX)."
    )
    @click.option(
        "--schema-registry",
        metavar="URL",
        help="Schema registry whose ids records bear (KSTATE_SCHEMA_REGISTRY; none by default).",
    )
    @config_file
    @functools.wraps(function)
    def wrapped(
        file: Path | None,
        log: str | None,
        prefix: str | None,
        schema_registry: str | None,
        **rest: Any,
    ) -> Any:
        if not rest.get("crew"):  # the parent of several workers has told it
            warn_of_unknown_variables()
        settings = {name: rest.pop(name) for name in SETTINGS if name in rest}
        given = {"log": log, "prefix": prefix, "schema_registry": schema_registry, **settings}
        config = load_config(given, file=file)
        return function(config=config, **rest)

    return wrapped  # type: ignore[return-value]


def warn_of_unknown_variables() -> None:
    """Tells of variables that look like settings and are none, a line each."""
    for sentence in unknown_variables():
        click.echo(f"kstate: warning: {sentence}", err=True)


def opened(config: Config) -> Log:
    """The log that the settings name, for a command that must not make one of a mistyped name.

    Raises `NoSuchLog` when the embedded log has no file.
    """
    from kstate.wiring import open_log

    return open_log(config.log, config.kafka, create=False)


def connected(config: Config) -> Client:
    """A client of the log that the settings name; raises as `opened` does."""
    from kstate.wiring import connect

    return connect(
        config.log,
        prefix=config.prefix,
        kafka=config.kafka,
        schema_registry=config.registry,
        index=config.index,
    )


def reference(target: str, config: Config) -> ProcessorRef:
    """A processor as a client takes it: a class for ``module:Class``, else the name as it is."""
    return code_of(target, config) if ":" in target else target


def code_of(target: str, config: Config) -> type[Processor[Any]]:
    """The class of a processor given as ``module:Class`` or by its name in ``kstate.toml``.

    Raises `ConfigError`, also for a module that raises while it is imported.
    """
    from kstate.wiring import load_processor

    try:
        return load_processor(target, config.processors)
    except KStateError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{target} cannot be imported: it raised {type(error).__name__}: {error} "
            "(kstate --debug … shows where)"
        ) from error
