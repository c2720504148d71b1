"""The options that most commands share, and what they come to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kstate.config import Config, load_config

F = TypeVar("F", bound=Callable[..., Any])


def common(function: F) -> F:
    """``--log``, ``--prefix`` and ``--config``; the command gets a `Config` as ``config``.

    Options of the command whose names are settings belong to the configuration, too.
    """

    @click.option("--log", metavar="URL", help="The log: sqlite:FILE or kafka://HOST:PORT.")
    @click.option("--prefix", metavar="TEXT", help="What the topics' names begin with.")
    @click.option(
        "--config",
        "file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Settings; kstate.toml by default.",
    )
    @functools.wraps(function)
    def wrapped(file: Path | None, log: str | None, prefix: str | None, **rest: Any) -> Any:
        settings = {name: rest.pop(name) for name in SETTINGS if name in rest}
        config = load_config({"log": log, "prefix": prefix, **settings}, file=file)
        return function(config=config, **rest)

    return wrapped  # type: ignore[return-value]


SETTINGS = (
    "store",
    "data",
    "partitions",
    "batch_records",
    "batch_ms",
    "max_entities",
    "stop_timeout_s",
    "skip_lost",
)


def reference(target: str, config: Config) -> Any:
    """A processor as the client takes it: its class where it can be found, else its name."""
    if ":" not in target and not config.processors:
        return target
    from kstate.errors import ConfigError
    from kstate.wiring import load_processor

    try:
        return load_processor(target, config.processors)
    except ConfigError:
        if ":" in target:
            raise
        return target
