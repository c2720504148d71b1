"""A page about a processor, made of its types, their docstrings and their frozen versions."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from kstate.codec.avro import AvroCodec
from kstate.codec.differences import type_text
from kstate.codec.forms import Form
from kstate.codec.schemas import replace_file
from kstate.codec.shapes import Array, Enumerated, Record, Shape, Table, Union, schema_of
from kstate.codec.versions import Version, versions
from kstate.codec.writers import Written, parse
from kstate.core.adapters import Adapter, EventAdapter, SnapshotAdapter, overrides


def write_page(codec: AvroCodec, directory: Path) -> tuple[Path, bool]:
    """Writes ``<directory>/<processor>/README.md``; its path, and whether it has changed."""
    path = directory / codec.processor / "README.md"
    text = page(codec, directory)
    if path.exists() and path.read_text("utf-8") == text:
        return path, False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text)
    return path, True


def page(codec: AvroCodec, directory: Path) -> str:
    """The page as Markdown; the versions are those frozen under ``directory``."""
    return "\n".join(_Page(codec, directory).lines()) + "\n"


class _Page:
    def __init__(self, codec: AvroCodec, directory: Path) -> None:
        self.codec = codec
        self.forms = codec.forms()
        self.versions: dict[str, list[Version]] = {}
        for version in versions(codec, directory):
            self.versions.setdefault(version.type_name, []).append(version)

    def lines(self) -> Iterator[str]:
        name, definition = self.codec.processor, self.codec.definition
        yield f"# {name}"
        yield ""
        yield "Written by `kstate schema docs`: change the code and write it again."
        for title, kind in (("State", "state"), ("Commands", "command"), ("Events", "event")):
            yield from ("", f"## {title}")
            for form in sorted(self._of(kind), key=lambda form: form.type_name):
                yield from self._type(form)
        others = list(self._others())
        if others:
            yield from ("", "## Types inside")
            for shape in others:
                yield from self._inner(shape)
        past = self.versions.keys() - {form.type_name for form in self.forms}
        if past:
            yield from ("", "## Types of the past", "")
            yield "Frozen, and no types of today's code: adapters read what is stored of them."
            for type_name in sorted(past):
                yield from ("", f"### {type_name}", "")
                yield from self._frozen_fields(self.versions[type_name][-1])
                yield from self._versions(type_name)
        adapters: list[Adapter] = [*definition.adapters, *definition.snapshot_adapters]
        if adapters:
            yield from ("", "## Adapters", "")
            for adapter in adapters:
                yield from self._adapter(adapter)

    def _of(self, kind: str) -> list[Form]:
        return [form for form in self.forms if form.kind == kind]

    def _type(self, form: Form) -> Iterator[str]:
        yield from ("", f"### {form.type_name}", "")
        if isinstance(form.shape, Record):
            if text := _doc(form.shape.cls):
                yield from (text, "")
            yield from self._fields(form)
        if form.kind == "command":
            yield f"Reply: {self._reply(form)}."
            yield ""
        if form.type_name in self.codec.journal_only:
            yield from ("It is only stored: an adapter puts it in the place of another event.", "")
        yield from self._versions(form.type_name)
        reply = f"{form.type_name}.reply"
        if any(each.path is not None and not each.today for each in self.versions.get(reply, ())):
            yield from ("", "Its reply:", "")
            yield from self._versions(reply)

    def _reply(self, command: Form) -> str:
        for form in self._of("reply"):
            if form.type_name == f"{command.type_name}.reply":
                schema = form.written.follow(form.written.schema)
                if isinstance(schema, dict) and str(schema.get("name", "")).endswith(".Reply"):
                    schema = schema["fields"][0]["type"]  # what a bare logical type is carried in
                return f"`{type_text(form.written, schema)}`"
        return "nothing"

    def _fields(self, form: Form) -> Iterator[str]:
        return _fields_of(form.written)

    def _frozen_fields(self, version: Version) -> Iterator[str]:
        """Those of a type without a class, as its file has them."""
        if version.path is not None:
            written = parse(json.loads(version.path.read_text("utf-8")))
            if written.kind(written.follow(written.schema)) == "record":
                yield from _fields_of(written)

    def _versions(self, type_name: str) -> Iterator[str]:
        yield from ("| version | fingerprint | |", "|---|---|---|")
        for each in self.versions.get(type_name, ()):
            where = "not frozen" if each.path is None else f"[{each.path.name}]({each.path.name})"
            today = ", today's" if each.today else ""
            yield f"| {each.number or '-'} | `{each.fingerprint}` | {where}{today} |"

    def _others(self) -> Iterator[Shape]:
        """The named types that stand in fields, each once, by name."""
        mine = {form.shape.name for form in self.forms if isinstance(form.shape, Record)}
        found: dict[str, Enumerated | Record] = {}
        waiting: list[Shape] = [form.shape for form in self.forms]
        while waiting:
            match waiting.pop():
                case Array(inner) | Table(inner):
                    waiting.append(inner)
                case Union(branches):
                    waiting += branches
                case Record() as record:
                    if record.name not in found:
                        found[record.name] = record
                        waiting += [item.shape for item in record.fields]
                case Enumerated() as each:
                    found.setdefault(each.name, each)
        yield from (found[name] for name in sorted(found.keys() - mine))

    def _inner(self, shape: Shape) -> Iterator[str]:
        assert isinstance(shape, Enumerated | Record)
        yield from ("", f"### {shape.name.rpartition('.')[2]}", "")
        if text := _doc(shape.cls):
            yield from (text, "")
        if isinstance(shape, Enumerated):
            yield ", ".join(f"`{member.name}`" for member in shape.members)
            return
        yield from ("| field | type | default |", "|---|---|---|")
        yield from self._record(shape)

    def _record(self, shape: Record) -> Sequence[str]:
        written = parse(schema_of(shape))
        fields = written.follow(written.schema)["fields"]
        return [_field(item, type_text(written, item["type"])) for item in fields]

    def _adapter(self, adapter: Adapter) -> Iterator[str]:
        text = f"* `{type(adapter).__name__}`"
        if doc := _doc(type(adapter)):
            text += f": {doc}"
        if isinstance(adapter, EventAdapter) and adapter.tags:
            text += f" Tags: {', '.join(f'`{tag}`' for tag in adapter.tags)}."
        reads = "from_snapshot" if isinstance(adapter, SnapshotAdapter) else "from_journal"
        if overrides(adapter, reads):
            names = sorted(adapter.reads) if adapter.reads is not None else []
            text += f" Reads {', '.join(f'`{name}`' for name in names) or 'what is stored'}."
        yield text


def _fields_of(written: Written) -> Iterator[str]:
    fields = written.follow(written.schema)["fields"]
    if not fields:
        yield from ("No fields.", "")
        return
    yield from ("| field | type | default |", "|---|---|---|")
    for item in fields:
        yield _field(item, type_text(written, item["type"]))
    yield ""


def _field(item: Any, text: str) -> str:
    default = f"`{json.dumps(item['default'], ensure_ascii=False)}`" if "default" in item else ""
    return f"| `{item['name']}` | {text} | {default} |"


def _doc(cls: type) -> str:
    """A class's docstring, unless it is the one that `dataclass` makes up."""
    text = inspect.cleandoc(cls.__doc__ or "")
    made_up = is_dataclass(cls) and text.startswith(f"{cls.__name__}(")
    inherited = text == "An enumeration."
    return "" if made_up or inherited else text
