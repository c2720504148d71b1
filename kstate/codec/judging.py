"""Whether today's code reads what was written by that of other days, type by type.

Avro's resolution is known from the schemas alone.  Adapters are code: they are tried with made-up
data of each stored schema (`kstate.codec.samples`), or with their own examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from kstate.codec import limits
from kstate.codec.adapted import Adapted, given_fields, is_flat, is_record, short
from kstate.codec.avro import AvroCodec
from kstate.codec.book import check_same_meaning
from kstate.codec.building import compile_builder, field_names
from kstate.codec.differences import type_text
from kstate.codec.forms import Form
from kstate.codec.samples import samples, words_of
from kstate.codec.shapes import Enumerated, Record
from kstate.codec.wire import Malformed, shown
from kstate.codec.writers import Written, fingerprint, parse
from kstate.core.adapters import Stored, names_of
from kstate.core.context import Machine
from kstate.core.policy import Policy
from kstate.errors import DecodeError, EncodeError, SchemaError

Verdict = Literal["ok", "new", "rebuild", "retired", "incompatible", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is said of one type; ``sentence`` names the field and the cure.

    ``new``: of today's code alone.  ``rebuild``: a state whose older snapshots are passed over, so
    that states are rebuilt from the journal.  ``retired``: a command that was published and is no
    longer taken.  ``missing``: no type of today's code.
    """

    type_name: str
    verdict: Verdict
    sentence: str


class Known(NamedTuple):
    """A schema that was frozen or published."""

    type_name: str
    schema: Any
    where: str
    kind: str | None  # command, event, state or reply; None: not told


def findings(codec: AvroCodec, known: Sequence[Known]) -> list[Finding]:
    """One finding for each type that is known or of today's code, sorted."""
    forms = {form.type_name: form for form in codec.forms()}
    former = _by_former_name(codec)
    versions: dict[str, list[Known]] = {}
    for each in known:
        versions.setdefault(each.type_name, []).append(each)
    found = {
        name: _judge(codec, name, forms.get(name) or former.get(name), those)
        for name, those in versions.items()
    }
    for name, form in forms.items():
        if name not in versions:
            found[name] = Finding(name, "new", f"{name} ({form.kind}) is new: freeze it")
    for name, problem in _written_wrong(codec, forms.values()):
        found[name] = Finding(name, "incompatible", problem)
    return sorted(found.values(), key=lambda finding: finding.type_name)


def _by_former_name(codec: AvroCodec) -> dict[str, Form]:
    return {
        short(alias): form
        for form in codec.forms()
        if isinstance(form.shape, Record | Enumerated)
        for alias in form.shape.aliases
    }


def _judge(codec: AvroCodec, name: str, form: Form | None, versions: Sequence[Known]) -> Finding:
    kind = form.kind if form is not None else next((v.kind for v in versions if v.kind), None)
    if name in codec.journal_only:
        form = None  # nothing folds it: an adapter must read it
    adapted, problems, unread = False, [], []
    for version in versions:
        written = parse(version.schema)
        through = _through(codec, kind, written, form)
        meaning = _other_meaning(form, version.schema)
        if meaning is not None:
            problems.append(f"{meaning} ({version.where})")
        elif through is not None:
            adapted = True
            problems += [f"{each} ({version.where})" for each in _tried(through, written, form)]
        elif form is None:
            unread.append(version.where)
        else:
            unresolved = form.decoder(version.schema).problems
            unread += [f"{each} ({version.where})" for each in unresolved]
    if problems:
        return Finding(name, "incompatible", "; ".join(dict.fromkeys(problems)))
    if unread and form is None and all(each.kind in ("command", "reply") for each in versions):
        return Finding(
            name, "retired", f"{name} is taken no longer: one that comes is a dead letter"
        )
    if unread:
        return _unread(codec, name, form, kind, list(dict.fromkeys(unread)))
    how = f"{name} is read through adapters" if adapted else f"{name} reads all that was frozen"
    if form is None:
        return Finding(name, "ok", how)
    if all(fingerprint(version.schema) != fingerprint(form.schema) for version in versions):
        how += ", and has changed: freeze it"
    if adapted:
        return Finding(name, "ok", how)
    doubts = [*(_perhaps_renamed(form, v.schema) for v in versions), _other_default(form, versions)]
    return Finding(name, "ok", how + "".join(dict.fromkeys(doubts)))


def _unread(
    codec: AvroCodec, name: str, form: Form | None, kind: str | None, where: Sequence[str]
) -> Finding:
    """The finding of a type that Avro cannot resolve and that no adapter reads."""
    if kind == "state":
        what = "; ".join(where) if form is not None else f"{name} is no state of today's code"
        return Finding(
            name,
            "rebuild",
            f"{what}; or leave it: its snapshots are passed over and states rebuilt from the "
            "journal; where that does not go back to the first event, make today's state of it in "
            "SnapshotAdapter.from_snapshot",
        )
    if kind == "reply" and form is not None:
        return Finding(
            name,
            "ok",
            f"{name} has changed: who calls again under a command id of before, within the window "
            "of duplicates, may not read the reply that was kept; freeze it",
        )
    if name in codec.journal_only:
        return Finding(
            name,
            "incompatible",
            f"{name} is no type of {codec.processor}'s events and an adapter's writes has it: give "
            "it an @event fold, or make events with a fold of it in EventAdapter.from_journal",
        )
    if form is None:
        return Finding(
            name,
            "missing",
            f"{name} is no type of today's code, so stored data of it cannot be read; bring it "
            "back, name it in avro_aliases of the class that took its place, make today's events "
            "of it in EventAdapter.from_journal if it is one, or today's state in "
            "SnapshotAdapter.from_snapshot, or remove "
            f"{' and '.join(where)} when no data of it is left",
        )
    cures = {
        "event": "; or make today's event of it in EventAdapter.from_journal",
        "command": "; or make it a new class, and go on taking the old one until none is left",
    }
    return Finding(name, "incompatible", "; ".join(where) + cures.get(kind or "", ""))


def _perhaps_renamed(form: Form, schema: Any) -> str:
    """A doubt: Avro drops a field that went and gives one that came its default, silently."""
    written = parse(schema)
    record = written.follow(written.schema)
    if not isinstance(form.shape, Record) or written.kind(record) != "record":
        return ""
    was = {item["name"]: type_text(written, item["type"]) for item in record["fields"]}
    today = form.written.follow(form.written.schema)
    now = {item["name"]: type_text(form.written, item["type"]) for item in today["fields"]}
    gone = {name: text for name, text in was.items() if name not in field_names(form.shape)}
    for item in form.shape.fields:
        if item.default is None or item.name in was or any(a in was for a in item.aliases):
            continue
        former = next((name for name, text in gone.items() if text == now[item.name]), None)
        if former is not None:
            return (
                f"; {former} went and {item.name} came with a default: if it was renamed, write "
                f'Annotated[…, Aliases("{former}")], or the stored {former} is lost'
            )
    return ""


def _other_default(form: Form, versions: Sequence[Known]) -> str:
    """A doubt: data from before a field has the default of today, whatever that was yesterday."""
    if not isinstance(form.shape, Record):
        return ""
    stored: list[dict[str, Any]] = []
    for version in versions:
        written = parse(version.schema)
        record = written.follow(written.schema)
        if written.kind(record) == "record":
            stored.append({item["name"]: item for item in record["fields"]})
    for item in form.shape.fields:
        if item.default is None or not item.default.constant:
            continue
        names = {item.name, *item.aliases}
        held = [fields[name] for fields in stored for name in names & fields.keys()]
        defaults = [each["default"] for each in held if "default" in each]
        if len(held) < len(stored) and defaults and item.default.json not in defaults:
            was, now = (
                json.dumps(each, ensure_ascii=False) for each in (defaults[-1], item.default.json)
            )
            return (
                f"; stored data without {item.name} was read with {was} and is read with {now} now"
            )
    return ""


def _other_meaning(form: Form | None, schema: Any) -> str | None:
    """What is wrong when a stored schema has today's fingerprint and other logical types."""
    if form is not None and fingerprint(schema) == fingerprint(form.schema):
        try:
            check_same_meaning(schema, form.schema, form.type_name)
        except SchemaError as error:
            return str(error)
    return None


# -- through adapters ------------------------------------------------------------------------------


def _through(
    codec: AvroCodec, kind: str | None, written: Written, form: Form | None
) -> Adapted | None:
    """Whose adapters data of a schema passes."""
    if not is_record(written):
        return None
    name = short(written.name() or "")
    if kind in ("event", None) and codec.adapted_events.chain.concerns(name):
        return codec.adapted_events
    if kind in ("state", None) and codec.adapted_states.chain.concerns(name):
        today = form is not None and fingerprint(written.schema) == fingerprint(form.schema)
        return None if today else codec.adapted_states
    return None


def _tried(adapted: Adapted, written: Written, form: Form | None) -> list[str]:
    """What goes wrong with made-up data, or with the adapters' examples of the type."""
    name, given = short(written.name() or ""), given_fields(written)
    try:
        limits.check(written)
    except limits.Beyond as error:
        return [f"{name}: of its schema, {error}; have it written with a schema within the limits"]
    examples = [e.data for e in adapted.chain.examples.get(name, ()) if e.data.keys() == given]
    for data in examples or samples(written, adapted.words):
        stored = Stored(name, MappingProxyType(data))
        try:
            for made in adapted.chain.run(stored):
                if made is stored and form is not None:
                    problems = form.decoder(written.schema).problems
                    if problems:
                        return [str(problem) for problem in problems]
                if made is not stored or form is None or not is_flat(written):
                    adapted.build(made, given)
        except Malformed as error:
            shortly = ", ".join(f"{key}={shown(value)}" for key, value in data.items())
            cure = "mend the adapter, or give it examples() of what is stored"
            return [f"{name}: {error}; tried with {shortly or 'no fields'}: {cure}"]
    return []


# -- what is written in the place of an event ------------------------------------------------------


def _written_wrong(codec: AvroCodec, forms: Iterable[Form]) -> Iterable[tuple[str, str]]:
    """The events in whose place adapters store what reads back as something else.

    A state in memory is folded from the event itself, a recovered one from what comes back.
    """
    machine = Machine(codec.definition, codec, Policy())
    if not machine.to_journal:
        return
    for form in forms:
        if form.kind != "event" or form.type_name in codec.journal_only:
            continue
        build = compile_builder(form.shape)
        for data in samples(form.written, words_of([form.shape])):
            try:
                event = build(data, form.type_name)
                problem = _differs(machine, codec, event)
            except EncodeError:
                continue  # no value that the class, or a schema, takes
            if problem is not None:
                yield form.type_name, problem
                break


def _differs(machine: Machine, codec: AvroCodec, event: Any) -> str | None:
    name = type(event).__name__
    try:
        stored, _ = machine.stored(event)
    except Exception:  # noqa: BLE001 - the adapter is the user's; a made-up event may not suit it
        return None
    if stored is event:
        return None
    as_what = f"{name} is stored as {type(stored).__name__}"
    try:
        back = codec.decode_event(codec.encode_event(stored))
    except DecodeError as error:
        return f"{as_what}, and {error}"
    if back == event or _folds_alike(machine, event, back):
        return None
    return (
        f"{as_what} and comes back as {names_of(back)}, which folds to another state than "
        f"{name} itself: a state would be another one after a restart"
    )


def _folds_alike(machine: Machine, event: Any, back: Any) -> bool:
    try:
        state = machine.init("kstate")
        before = machine.fold("kstate", state, event)
    except Exception:  # noqa: BLE001 - the fold is the user's; a made-up event may not suit it
        return True
    try:
        return bool(machine.fold("kstate", state, back) == before)
    except Exception:  # noqa: BLE001 - what the event itself does not do
        return False
