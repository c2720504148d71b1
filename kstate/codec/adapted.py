"""Stored records that pass a processor's adapters before they become dataclasses.

Which types that concerns is decided once per schema: data of all others is read as if there were
no adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from kstate.codec.building import Build, compile_builder, field_names
from kstate.codec.decoders import compile_decoder
from kstate.codec.forms import Form, Read
from kstate.codec.samples import words_of
from kstate.codec.scalars import GENERIC
from kstate.codec.shapes import Record
from kstate.codec.wire import Malformed
from kstate.codec.writers import Written
from kstate.core.adapters import EventAdapter, Several, SnapshotAdapter, Stored, overrides
from kstate.core.messages import RESERVED_NAMESPACE
from kstate.errors import EncodeError

_Give = Callable[[Stored], Any]  # the user's: it may give anything


class Chain:
    """The read side of adapters: the one listed last, the farthest from the code, comes first."""

    def __init__(self, links: Sequence[tuple[str, frozenset[str] | None, _Give]]) -> None:
        self._links = links  # what it is called, what it reads (None: all), what it does
        self.examples: Mapping[str, Sequence[Stored]] = {}

    @classmethod
    def of_events(cls, adapters: Sequence[EventAdapter]) -> Chain:
        """`EventAdapter.from_journal` of all that have one."""
        mine = [each for each in reversed(adapters) if overrides(each, "from_journal")]
        chain = cls([(_title(a, "from_journal"), _reads(a), a.from_journal) for a in mine])
        chain.examples = _examples(mine)
        return chain

    @classmethod
    def of_states(cls, adapters: Sequence[SnapshotAdapter]) -> Chain:
        """`SnapshotAdapter.from_snapshot` of all that have one; each gives exactly one state."""
        mine = [each for each in reversed(adapters) if overrides(each, "from_snapshot")]
        chain = cls([(_title(a, "from_snapshot"), _reads(a), _one(a)) for a in mine])
        chain.examples = _examples(mine)
        return chain

    def concerns(self, name: str) -> bool:
        """Whether stored data of this type passes an adapter."""
        return any(reads is None or name in reads for _, reads, _ in self._links)

    def run(self, stored: Stored) -> list[Stored]:
        """What the adapters make of it; raises `Malformed` for an adapter that fails."""
        found = [stored]
        for title, reads, give in self._links:
            given: list[Stored] = []
            for each in found:
                if reads is not None and each.name not in reads:
                    given.append(each)
                    continue
                try:
                    made = give(each)
                    given += () if type(made) is Stored else made  # that one is a tuple, too
                except Exception as error:  # an adapter is the user's and may raise anything
                    raise Malformed(
                        f"{title} raised {type(error).__name__} for a stored {each.name}: {error}",
                        "adapter",
                    ) from error
                if type(made) is Stored:
                    raise _not_stored(title, each)
            for each in given:
                if type(each) is not Stored:
                    raise _not_stored(title, stored)
            found = given
        return found


def _not_stored(title: str, stored: Stored) -> Malformed:
    return Malformed(
        f"{title} gave something else than Stored records for a stored {stored.name}: yield "
        "Stored(name, data), or the record as it is",
        "adapter",
    )


def _one(adapter: SnapshotAdapter) -> _Give:
    return lambda stored: (adapter.from_snapshot(stored),)


def _title(adapter: EventAdapter | SnapshotAdapter, method: str) -> str:
    return f"{type(adapter).__name__}.{method}"


def _reads(adapter: EventAdapter | SnapshotAdapter) -> frozenset[str] | None:
    return None if adapter.reads is None else frozenset(adapter.reads)


def _examples(adapters: Iterable[EventAdapter | SnapshotAdapter]) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = {}
    for adapter in adapters:
        for stored in adapter.examples():
            found.setdefault(stored.name, []).append(stored)
    return found


class Adapted:
    """Reads what is stored of some forms through a chain; see `kstate.codec.forms.Family`."""

    def __init__(self, what: str, chain: Chain, forms: Iterable[Form], today: bool) -> None:
        self.chain = chain
        self._what = what
        self._today = today  # whether data of today's schemas passes the chain, too
        self._builders: dict[str, tuple[Build, frozenset[str]]] = {}
        self.words: dict[str, tuple[str, ...]] = {}  # see `kstate.codec.samples`
        for form in forms:
            self.words |= words_of([form.shape])
            if not isinstance(form.shape, Record):
                continue
            made = compile_builder(form.shape), field_names(form.shape)
            for name in (form.shape.name, *form.shape.aliases):
                self._builders.setdefault(short(name), made)

    def reader(self, written: Written, form: Form | None) -> Read | None:
        """A function that reads data of a schema through the chain; None if it concerns none.

        ``form`` is the type that would read it without adapters.
        """
        name = written.name()
        if name is None or name.startswith(f"{RESERVED_NAMESPACE}."):
            return None
        if not is_record(written) or not self.chain.concerns(short(name)):
            return None
        if not self._today and form is not None and form.written is written:
            return None
        return self._reader(written, short(name), form)

    def _reader(self, written: Written, name: str, form: Form | None) -> Read:
        plain = compile_decoder(written, GENERIC, name).read
        given = given_fields(written)
        run, build = self.chain.run, self.build
        # data that no adapter can have changed in place is read anew, as if there were none
        direct = None
        if form is not None and is_flat(written):
            direct = form.decoder(written.schema).read

        def read(data: bytes, pos: int) -> Any:
            stored = Stored(name, MappingProxyType(plain(data, pos)))
            found = run(stored)
            if len(found) == 1:
                if found[0] is stored and direct is not None:
                    return direct(data, pos)
                return build(found[0], given)
            return Several(build(each, given) for each in found)

        return read

    def build(self, stored: Stored, given: frozenset[str]) -> Any:
        """The dataclass of today's code; raises `Malformed`.

        ``given`` are the fields that the stored record had: what is left of them is passed over,
        as in Avro's resolution, while any other that the class does not have is an error.
        """
        made = self._builders.get(stored.name)
        if made is None:
            raise Malformed(f"{stored.name} is no type of {self._what}", "unknown-type")
        build, known = made
        data = stored.data
        if type(data) is not dict and not isinstance(data, Mapping):
            raise Malformed(
                f"an adapter gave {stored.name} data that is no dict: a {type(data).__name__}",
                "adapter",
            )
        if not (data.keys() <= known or data.keys() <= known | given):
            unknown = min(data.keys() - known - given)
            raise Malformed(
                f"an adapter gave {stored.name} a field {unknown}, which it does not have",
                "adapter",
            )
        try:
            return build(data, stored.name)
        except EncodeError as error:
            raise Malformed(f"what the adapters gave does not fit: {error}", "adapter") from error


def short(name: str) -> str:
    """A type's name without its namespace."""
    return name.rpartition(".")[2]


def is_record(written: Written) -> bool:
    """Whether a schema is a record's: adapters are asked about no others."""
    return written.kind(written.schema) == "record"


def given_fields(written: Written) -> frozenset[str]:
    """The names of a stored record's fields."""
    schema = written.follow(written.schema)
    return frozenset(item["name"] for item in schema.get("fields", ()))


def is_flat(written: Written) -> bool:
    """Whether a record's fields are all scalars: nothing in it can be changed in place."""

    def scalar(schema: Any) -> bool:
        kind = written.kind(schema)
        if kind == "union":
            return all(map(scalar, written.follow(schema)))
        return kind not in ("record", "array", "map")

    return all(scalar(item["type"]) for item in written.follow(written.schema)["fields"])
