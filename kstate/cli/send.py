"""``kstate call`` and ``kstate cast``: commands from the shell, by their schemas alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import click

from kstate.cli.options import common, examples, json_flag, reference, timeout
from kstate.cli.output import line, show
from kstate.cli.waiting import Patience, client_for
from kstate.client import Client, ProcessorRef
from kstate.client_commands import caller_headers
from kstate.config import Config
from kstate.core.messages import RESERVED_NAMESPACE
from kstate.errors import BadCommand, CallTimeout, ConfigError, NotSent
from kstate.processor import definition_of, name_of


class Ready(NamedTuple):
    """A command as bytes, and what makes a value of its reply."""

    value: bytes
    decode_reply: Callable[[bytes], Any]


def _arguments(function: Any) -> Any:
    for decorate in (
        click.option("--header", "headers", metavar="NAME=VALUE", multiple=True,
                     help="A header of the command record; may be repeated."),
        click.option("--expected-seq", type=click.IntRange(0), metavar="N",
                     help="Run the command only while the entity is at this seq."),
        click.option("--command-id", metavar="ID", callback=_utf8,
                     help="The command's id: a repetition with the same id does not run again."),
        click.option("--fields", "document", metavar="JSON",
                     help="The fields as one JSON object, for nested values; - reads it from "
                          "standard input."),
        click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]..."),
        click.argument("command", metavar="COMMAND"),
        click.argument("persist_id", metavar="ID"),
        click.argument("target", metavar="TARGET"),
    ):  # fmt: skip
        function = decorate(function)
    return function


def _utf8(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.isprintable():
        raise click.BadParameter("it is no printable text")
    return value


@click.command(
    epilog=examples(
        "kstate call bank acct-1 Deposit amount=5",
        "kstate call bank acct-1 Transfer to=acct-2 amount=3 --expected-seq 1",
        """kstate call bank acct-1 Deposit --fields '{"amount": 5}'""",
    )
)
@common
@_arguments
@timeout("the processor and its reply")
@json_flag("the reply and its position as JSON")
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
    as_jsons: bool,
) -> None:
    """Send a command and print its reply.

    TARGET is the name of a processor, whose code is not needed: the schemas that its workers
    published say which commands there are. With module:Class the schemas are those of that code.
    ID is the persist id, COMMAND the name of a command, FIELD=VALUE its fields.
    """
    processor = reference(target, config)
    extra = _headers(headers)
    patience = Patience(timeout)
    with client_for(config, processor, patience, isinstance(processor, str)) as client:
        ready = _prepare(client, processor, command, fields, document)
        try:
            begun = client.begin_encoded(
                processor,
                persist_id,
                ready.value,
                ready.decode_reply,
                command_id,
                expected_seq,
                extra,
                patience.left_s,
            )
            reply, position = client.answer(begun, patience.left_s)
        except NotSent:
            raise
        except CallTimeout as error:  # what was left for the last step is not what was asked for
            raise CallTimeout(error.command_id, timeout) from None
    show({"reply": reply, "position": position} if as_jsons else reply, as_jsons)


@click.command(
    epilog=examples(
        "kstate cast bank acct-1 Deposit amount=5",
        "kstate cast bank acct-1 Deposit --fields - < deposit.json",
    )
)
@common
@_arguments
@timeout("the processor and for the command to be stored")
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
    timeout: float,
) -> None:
    """Send a command without waiting for a reply.

    Prints the command's id once the command is stored. The arguments are those of call.
    """
    processor = reference(target, config)
    extra = _headers(headers)
    patience = Patience(timeout)
    with client_for(config, processor, patience, isinstance(processor, str)) as client:
        ready = _prepare(client, processor, command, fields, document)
        sent = client.cast_encoded(
            processor,
            persist_id,
            ready.value,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=extra,
        )
        client.flush(patience.left_s)
    line(sent, at_once=True)


def _prepare(
    client: Client,
    processor: ProcessorRef,
    command: str,
    fields: Sequence[str],
    document: str | None,
) -> Ready:
    """Encodes a command by its schema; raises `BadCommand` for what is not as the schema has it."""
    from kstate.codec.jsonform import encode_json
    from kstate.codec.registry_codec import command_head
    from kstate.codec.texts import from_text, parse_json

    schemas, decode = _known(client, processor, command)
    if command not in schemas:
        known = ", ".join(sorted(schemas)) or "none"
        raise BadCommand(
            f"{name_of(processor)} has no command {command!r}; it has: {known}", "unknown-type"
        )
    if document is not None and fields:
        raise click.UsageError("give the fields as FIELD=VALUE or with --fields, not both")
    schema = schemas[command]
    try:
        if document is None:
            values = from_text(schema, _pairs(fields, "FIELD=VALUE"))
        else:
            given = document.encode(errors="surrogateescape")
            values = parse_json(sys.stdin.buffer.read() if document == "-" else given)
        datum = encode_json(schema, values)
    except BadCommand as error:
        known = ", ".join(field["name"] for field in schema["fields"]) or "none"
        if "is no field of" in str(error):
            raise
        raise BadCommand(f"{error}; the fields of {command} are: {known}", error.code) from error
    messages = client.messages(processor)
    return Ready(command_head(messages, name_of(processor), command, schema) + datum, decode)


def _known(
    client: Client, processor: ProcessorRef, command: str
) -> tuple[Mapping[str, Any], Callable[[bytes], Any]]:
    """The schemas of a processor's commands by name, the newest of each; a decoder of replies."""
    messages: Any = client.messages(processor)
    if isinstance(processor, str):
        messages.book.refresh()
        return _commands(messages.book), partial(_plain_reply, command=command, messages=messages)
    handled = [cls for cls in definition_of(processor).commands if cls.__name__ == command]
    return _commands(messages.schemas()), partial(messages.decode_reply, *handled)


def _commands(entries: Any) -> Mapping[str, Any]:
    # in the order of publication: the newest of several versions stays
    return {
        entry.type_name: entry.schema
        for entry in entries
        if entry.kind == "command" and entry.schema.get("namespace") != RESERVED_NAMESPACE
    }


def _plain_reply(reply: bytes, command: str, messages: Any) -> Any:
    """A reply as plain data; one that is carried in a record of its own (a time) is taken out."""
    from kstate.codec.generic import decode_datum
    from kstate.codec.registry_codec import single_of

    if not reply:
        return None
    name, datum = decode_datum(single_of(messages, reply), messages.book)
    carried = name is not None and name.endswith(f".{command}.Reply")
    return datum["value"] if carried else datum


def _headers(given: Sequence[str]) -> dict[str, bytes]:
    # what a shell gives that is no UTF-8 comes as surrogates, and goes as the bytes it was
    headers = {
        name: value.encode(errors="surrogateescape")
        for name, value in _pairs(given, "NAME=VALUE").items()
    }
    try:
        caller_headers(headers)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    return headers


def _pairs(texts: Sequence[str], form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} is not of the form {form}")
        if name in found:
            raise click.UsageError(f"{name} is given twice")
        found[name] = value
    return found
