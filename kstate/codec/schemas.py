"""Schemas under version control: freeze them, check today's code against them, publish them.

``schemas/<processor>/<Type>.avsc`` is the newest version of a type; a version that was frozen
before and differs stays beside it as ``<Type>.<fingerprint>.avsc``, for what was written with it
may still be stored.  The reply of a command is ``<Command>.reply.avsc``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
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
    newest: bool  # not one of the older versions beside it


@dataclass(frozen=True, slots=True)
class Written:
    """What `freeze` did with one type."""

    type_name: str
    path: Path
    outcome: Literal["written", "unchanged", "changed"]


_FILE = re.compile(r"(?P<type>[A-Za-z_]\w*(\.reply)?)(\.(?P<version>[0-9a-f]{16}))?\.avsc", re.A)


def frozen(directory: Path, processor: str) -> list[Frozen]:
    """Every schema of a processor under ``directory``, sorted; raises `SchemaError`."""
    found = []
    for path in sorted((directory / processor).glob("*.avsc")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise SchemaError(f"{path} is not named <Type>.avsc or <Type>.<fingerprint>.avsc")
        try:
            schema = json.loads(path.read_text("utf-8"))
            fingerprint(schema)
        except (ValueError, RecursionError, SchemaError) as error:
            raise SchemaError(f"{path} holds no Avro schema: {error}") from error
        found.append(Frozen(match["type"], schema, path, match["version"] is None))
    return found


def check(codec: AvroCodec, directory: Path) -> list[Finding]:
    """Whether today's code reads everything frozen under ``directory``; one finding per type.

    ``new``: not frozen yet.  ``missing``: frozen, but no type of today's code.  Raises
    `SchemaError` when a file is no schema.
    """
    known = frozen(directory, codec.processor)
    return findings(
        codec, [Known(each.type_name, each.schema, str(each.path), None) for each in known]
    )


def check_book(codec: AvroCodec, book: Book) -> list[Finding]:
    """The same against the schemas in a book: what a worker asks before it touches a partition."""
    known = [
        Known(entry.type_name, entry.schema, f"the schema {entry.fingerprint.hex()}", entry.kind)
        for entry in book
        if entry.kind != "snapshot" and not _is_reserved(entry.schema)
    ]
    return findings(codec, known)


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
    return [_write(form, folder) for form in _by_type(codec).values()]


def _write(form: Form, folder: Path) -> Written:
    path = folder / f"{form.type_name}.avsc"
    text = pretty(form.schema)
    if not path.exists():
        _replace(path, text)
        return Written(form.type_name, path, "written")
    old = path.read_text("utf-8")
    if old == text:
        return Written(form.type_name, path, "unchanged")
    before, now = fingerprint(json.loads(old)), fingerprint(form.schema)
    if before != now:
        _replace(folder / f"{form.type_name}.{before.hex()}.avsc", old)
    _replace(path, text)
    # a version that came back is the newest again
    (folder / f"{form.type_name}.{now.hex()}.avsc").unlink(missing_ok=True)
    return Written(form.type_name, path, "changed")


def pretty(schema: Any) -> str:
    """A schema as it stands in a file: stable, readable in a diff, ended by a newline."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, "utf-8", newline="\n")
    os.replace(beside, path)


def _by_type(codec: AvroCodec) -> dict[str, Form]:
    return {form.type_name: form for form in codec.forms()}


def _is_reserved(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("namespace") == RESERVED_NAMESPACE


def publish(codec: AvroCodec) -> list[SchemaRecord]:
    """Today's schemas, the reserved types' included, as records of the schemas topic."""
    return [entry.record() for entry in codec.schemas()]


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
