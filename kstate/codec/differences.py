"""What distinguishes two versions of a type, field by field, and how a type reads in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kstate.codec.writers import Written, parse


def type_text(written: Written, schema: Any) -> str:
    """A type in a few words: ``long``, ``string or null``, ``list of Line``, ``decimal(38, 2)``."""
    schema = written.follow(schema)
    logical = written.logical(schema)
    if logical == "decimal":
        return f"decimal({schema['precision']}, {schema.get('scale', 0)})"
    match written.kind(schema):
        case "union":
            return " or ".join(type_text(written, each) for each in schema)
        case "array":
            return f"list of {type_text(written, schema['items'])}"
        case "map":
            return f"map of {type_text(written, schema['values'])}"
        case "record" | "enum" | "fixed":
            return str(schema["name"]).rpartition(".")[2]
        case kind:
            return logical or kind


def field_text(written: Written, item: Mapping[str, Any]) -> str:
    """A field with its type and its default."""
    default = f" = {json.dumps(item['default'], ensure_ascii=False)}" if "default" in item else ""
    return f"{item['name']}: {type_text(written, item['type'])}{default}"


def differences(old: Any, new: Any) -> list[str]:
    """What to do to the old schema to have the new one, a line for each place.

    ``+`` a field or a symbol that came, ``-`` one that went, ``~`` one that changed; fields of
    records inside are named with their path.
    """
    before, now = parse(old), parse(new)
    return list(_Walk(before, now).walk(before.schema, now.schema, ""))


class _Walk:
    def __init__(self, before: Written, now: Written) -> None:
        self.before = before
        self.now = now
        self.seen: set[tuple[str, str]] = set()

    def walk(self, old: Any, new: Any, path: str) -> Iterator[str]:
        old, new = self.before.follow(old), self.now.follow(new)
        kinds = self.before.kind(old), self.now.kind(new)
        if kinds == ("record", "record"):
            yield from self.record(old, new, path)
        elif kinds == ("enum", "enum"):
            yield from self.enum(old, new, path)
        elif kinds in (("array", "array"), ("map", "map")):
            inner = "items" if kinds[0] == "array" else "values"
            yield from self.walk(old[inner], new[inner], f"{path}[…]")
        elif self.text(old) != type_text(self.now, new):
            yield f"~ {path}: {self.text(old)} → {type_text(self.now, new)}".replace("~ :", "~")
        elif kinds == ("union", "union"):
            yield from self.union(old, new, path)

    def text(self, schema: Any) -> str:
        return type_text(self.before, schema)

    def record(self, old: Any, new: Any, path: str) -> Iterator[str]:
        if (old["name"], new["name"]) in self.seen:
            return
        self.seen.add((old["name"], new["name"]))
        if self.text(old) != type_text(self.now, new):
            yield f"~ {path}{': ' if path else ''}{self.text(old)} → {type_text(self.now, new)}"
        was = {item["name"]: item for item in old["fields"]}
        for item in new["fields"]:
            name = f"{path}.{item['name']}" if path else item["name"]
            former = next((a for a in item.get("aliases", ()) if a in was), None)
            source = was.pop(item["name"], None) or (was.pop(former) if former else None)
            if source is None:
                yield f"+ {name.removesuffix(item['name'])}{field_text(self.now, item)}"
                continue
            if source["name"] != item["name"]:
                yield f"~ {name.removesuffix(item['name'])}{source['name']} → {item['name']}"
            yield from self.walk(source["type"], item["type"], name)
            yield from self.default(source, item, name)
        for gone in was.values():
            yield f"- {path}{'.' if path else ''}{field_text(self.before, gone)}"

    def default(self, old: Any, new: Any, path: str) -> Iterator[str]:
        def text(item: Any) -> str:
            return json.dumps(item["default"]) if "default" in item else "none"

        if text(old) != text(new):
            yield f"~ {path}: default {text(old)} → {text(new)}"

    def enum(self, old: Any, new: Any, path: str) -> Iterator[str]:
        if self.text(old) != type_text(self.now, new):
            yield f"~ {path}{': ' if path else ''}{self.text(old)} → {type_text(self.now, new)}"
        where = f"{path}: " if path else ""
        yield from (f"+ {where}{each}" for each in new["symbols"] if each not in old["symbols"])
        yield from (f"- {where}{each}" for each in old["symbols"] if each not in new["symbols"])

    def union(self, old: Any, new: Any, path: str) -> Iterator[str]:
        """The branches bear the same names; what is in them may differ."""
        for before, now in zip(old, new, strict=True):
            yield from self.walk(before, now, path)
