"""Whether a state can be kept by reference: a failed command is undone by keeping the old one."""

from __future__ import annotations

from collections.abc import Iterator

from kstate.codec.shapes import Array, Record, Shape, Table, Union


def mutable_places(shape: Shape, path: str, seen: set[str] | None = None) -> Iterator[str]:
    """A sentence, with the cure, for each list and dict anywhere inside."""
    seen = set() if seen is None else seen
    match shape:
        case Array(item, container):
            if container == "list":
                yield f"{path} is a list, which can change behind its back; write tuple[T, ...]"
            yield from mutable_places(item, f"{path}[…]", seen)
        case Table(value, container):
            if container == "dict":
                yield (
                    f"{path} is a dict, which can change behind its back; "
                    "write Mapping[str, T] or immutables.Map[str, T]"
                )
            yield from mutable_places(value, f"{path}[…]", seen)
        case Union(branches):
            for branch in branches:
                yield from mutable_places(branch, path, seen)
        case Record() if shape.name not in seen:
            seen.add(shape.name)
            for field in shape.fields:
                yield from mutable_places(field.shape, f"{shape.cls.__name__}.{field.name}", seen)
