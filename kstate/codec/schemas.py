"""Schemas under version control: freeze them, check today's code against them; and those of a log.

``schemas/<processor>/<Type>.avsc`` is the newest version of a type; a version that was frozen
before and differs stays beside it as ``<Type>.<number>.<fingerprint>.avsc``, numbered from 1 on,
for what was written with it may still be stored.  The reply of a command is
``<Command>.reply.avsc``.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.forms import Form
from kstate.codec.judging import Finding, Known, findings
from kstate.codec.port import SchemaRecord
from kstate.codec.writers import fingerprint
from kstate.core.messages import RESERVED_NAMESPACE
from kstate.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Frozen:
    """One schema in the directory."""

    type_name: str
    schema: Any
    path: Path
    number: int  # versions of a type are numbered from 1 on
    newest: bool  # not one of the older versions beside it


@dataclass(frozen=True, slots=True)
class Written:
    """What `freeze` did with one type."""

    type_name: str
    path: Path
    outcome: Literal["written", "unchanged", "changed"]


_FILE = re.compile(
    r"(?P<type>[A-Za-z_]\w*(\.reply)?)(\.(?P<number>[1-9][0-9]{0,5})\.[0-9a-f]{16})?\.avsc", re.A
)


def frozen(directory: Path, processor: str) -> list[Frozen]:
    """Every schema of a processor under ``directory``, by type and number.

    Raises `SchemaError` for a file that is none.
    """
    found: list[Frozen] = []
    newest: dict[str, Frozen] = {}
    for path in sorted((directory / processor).glob("*.avsc")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise SchemaError(
                f"{path} is not named <Type>.avsc or <Type>.<number>.<fingerprint>.avsc"
            )
        try:
            schema = json.loads(path.read_text("utf-8"))
            fingerprint(schema)
        except (ValueError, RecursionError, SchemaError) as error:
            raise SchemaError(f"{path} holds no Avro schema: {error}") from error
        if match["number"] is None:
            newest[match["type"]] = Frozen(match["type"], schema, path, 1, True)
        else:
            found.append(Frozen(match["type"], schema, path, int(match["number"]), False))
    older = Counter[str]()
    for each in found:
        older[each.type_name] = max(older[each.type_name], each.number)
    found += [replace(each, number=older[name] + 1) for name, each in newest.items()]
    return sorted(found, key=lambda each: (each.type_name, each.number, each.path))


def check(codec: AvroCodec, directory: Path, published: Book | None = None) -> list[Finding]:
    """Whether today's code reads everything frozen under ``directory``; one finding per type.

    ``published``: and everything in this book.  Raises `SchemaError` when a file is no schema.
    """
    known = [
        Known(each.type_name, each.schema, str(each.path), None)
        for each in frozen(directory, codec.processor)
    ]
    return findings(codec, [*known, *(_known(published) if published is not None else ())])


def check_book(codec: AvroCodec, book: Book) -> list[Finding]:
    """The same against the schemas in a book: what a worker asks before it touches a partition."""
    return findings(codec, _known(book))


def _known(book: Book) -> list[Known]:
    return [
        Known(entry.type_name, entry.schema, f"the schema {entry.fingerprint.hex()}", entry.kind)
        for entry in book
        if entry.kind != "snapshot" and not is_reserved_schema(entry.schema)
    ]


def freeze(codec: AvroCodec, directory: Path) -> list[Written]:
    """Writes today's schemas; one outcome per type.

    Raises `SchemaError` with every incompatible change, and has then written no file.  Types that
    are only in the directory are left alone.
    """
    incompatible = [f.sentence for f in check(codec, directory) if f.verdict == "incompatible"]
    if incompatible:
        raise SchemaError("; ".join(incompatible))
    folder = directory / codec.processor
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {
        each.type_name: each.number for each in frozen(directory, codec.processor) if each.newest
    }
    return [
        _write(form, folder, numbers.get(form.type_name, 0)) for form in _by_type(codec).values()
    ]


def _write(form: Form, folder: Path, number: int) -> Written:
    path = folder / f"{form.type_name}.avsc"
    text = pretty(form.schema)
    if not path.exists():
        replace_file(path, text)
        return Written(form.type_name, path, "written")
    old = path.read_text("utf-8")
    if old == text:
        return Written(form.type_name, path, "unchanged")
    before, now = fingerprint(json.loads(old)), fingerprint(form.schema)
    if before != now:
        replace_file(folder / f"{form.type_name}.{number}.{before.hex()}.avsc", old)
    replace_file(path, text)
    for again in folder.glob(f"{form.type_name}.*.{now.hex()}.avsc"):
        again.unlink()  # a version that came back is the newest again
    return Written(form.type_name, path, "changed")


def pretty(schema: Any) -> str:
    """A schema as it stands in a file: stable, readable in a diff, ended by a newline."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def replace_file(path: Path, text: str) -> None:
    """Writes a file beside the old one and puts it in its place: it is never half there."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, "utf-8", newline="\n")
    os.replace(beside, path)


def _by_type(codec: AvroCodec) -> dict[str, Form]:
    return {form.type_name: form for form in codec.forms()}


def is_reserved_schema(schema: Any) -> bool:
    """Whether a schema is of one of kstate's own types."""
    return isinstance(schema, dict) and schema.get("namespace") == RESERVED_NAMESPACE


def load(records: Iterable[tuple[bytes | None, bytes | None, Any]], book: Book) -> int:
    """Teaches a book the records of a schemas topic; how many were schemas.

    Tombstones and records of other keys (such as ``meta``) are passed over.  Raises
    `SchemaError` for a record under a fingerprint that is not its schema's.
    """
    count = 0
    for key, value, headers in records:
        if value is not None and key is not None and re.fullmatch(rb"[0-9a-f]{16}", key):
            book.learn(SchemaRecord(key, value, headers))
            count += 1
    return count
