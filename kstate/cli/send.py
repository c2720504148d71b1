"""``kstate call`` and ``kstate cast``: commands from the shell, by their schemas alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from kstate.cli.options import common, reference
from kstate.cli.output import show
from kstate.config import Config
from kstate.core.topics import Topics
from kstate.errors import BadCommand, ConfigError
from kstate.processor import name_of


def _arguments(function: Any) -> Any:
    for decorate in (
        click.option("--header", "headers", metavar="NAME=VALUE", multiple=True,
                     help="A header of the command; may be repeated."),
        click.option("--expected-seq", type=click.IntRange(0), metavar="N",
                     help="Run it only while the entity is at this seq."),
        click.option("--command-id", metavar="ID", help="Its id: the same id, the same answer."),
        click.option("--fields", "document", metavar="JSON",
                     help="The command's fields as a JSON object; '-' reads standard input."),
        click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]..."),
        click.argument("command"),
        click.argument("persist_id", metavar="ID"),
        click.argument("target", metavar="PROCESSOR"),
    ):  # fmt: skip
        function = decorate(function)
    return function


@click.command(epilog="Example: kstate call bank acct-1 Deposit amount=5")
@common
@_arguments
@click.option("--timeout", type=float, default=10.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the reply as JSON.")
def call(
    config: Config,
    target: str,
    persist_id: str,
    command: str,
    fields: tuple[str, ...],
    document: str | None,
    command_id: str | None,
    expected_seq: int | None,
    headers: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Send a command and print its reply.

    PROCESSOR is a name (its code is not needed) or module:Class; COMMAND is the name of one of its
    commands, FIELD=VALUE its fields.
    """
    from kstate.codec.generic import decode_datum
    from kstate.wiring import connect

    with connect(config.log, prefix=config.prefix) as client:
        name = name_of(reference(target, config))
        value, book = encoded(config, name, command, fields, document)
        begun = client.begin_encoded(
            name,
            persist_id,
            value,
            lambda reply: decode_datum(reply, book)[1] if reply else None,
            command_id,
            expected_seq,
            parse_headers(headers),
        )
        show(client.wait(name, begun, timeout), as_json)


@click.command(epilog="Example: kstate cast bank acct-1 Deposit amount=5")
@common
@_arguments
def cast(
    config: Config,
    target: str,
    persist_id: str,
    command: str,
    fields: tuple[str, ...],
    document: str | None,
    command_id: str | None,
    expected_seq: int | None,
    headers: tuple[str, ...],
) -> None:
    """Send a command without waiting for a reply; prints its command id once it is stored."""
    from kstate.wiring import connect

    with connect(config.log, prefix=config.prefix) as client:
        name = name_of(reference(target, config))
        value, _ = encoded(config, name, command, fields, document)
        sent = client.cast_encoded(
            name,
            persist_id,
            value,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=parse_headers(headers),
        )
        client.flush()
    click.echo(sent)


def encoded(
    config: Config, name: str, command: str, fields: Sequence[str], document: str | None
) -> tuple[bytes, Any]:
    """A command as bytes, by its newest published schema; and the book of schemas."""
    from kstate.codec.jsonform import encode_json
    from kstate.codec.texts import from_text, parse_json
    from kstate.codec.writers import header
    from kstate.wiring import learned_book, open_log

    log = open_log(config.log)
    try:
        book = learned_book(log, _existing(log, name, config))
    finally:
        log.close()
    schemas = {entry.type_name: entry.schema for entry in book if entry.kind == "command"}
    schemas = {known: each for known, each in schemas.items() if known != "GetState"}
    if command not in schemas:
        known = ", ".join(sorted(schemas)) or "none"
        raise BadCommand(f"{name} has no command {command!r}; it has {known}", "unknown-type")
    schema = schemas[command]
    if document is not None:
        if fields:
            raise click.UsageError("give the fields as FIELD=VALUE or with --fields, not both")
        content = sys.stdin.read() if document == "-" else document
        values = parse_json(content.encode())
    else:
        values = from_text(schema, dict(_pair(each, "FIELD=VALUE") for each in fields))
    return header(schema) + encode_json(schema, values), book


def _existing(log: Any, name: str, config: Config) -> Topics:
    from kstate.query import missing

    topics = Topics.of(name, config.prefix)
    if topics.schemas not in log.topics([topics.schemas]):
        raise ConfigError(missing(topics))
    return topics


def parse_headers(headers: Sequence[str]) -> dict[str, bytes]:
    """``NAME=VALUE`` options as headers."""
    return {name: value.encode() for name, value in (_pair(h, "NAME=VALUE") for h in headers)}


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{text!r} is not of the form {form}")
    return name, value
