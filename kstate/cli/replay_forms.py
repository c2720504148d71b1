"""What `kstate replay` prints, in each of its forms."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from kstate.cli.differences import changes
from kstate.cli.output import as_json, event_fields, event_line, plain
from kstate.query.comparing import Compared
from kstate.query.events import StoredEvent
from kstate.query.states import UNKNOWN

COLUMNS = (
    "persist_id",
    "seq",
    "type",
    "tags",
    "at",
    "command_id",
    "partition",
    "offset",
    "event",
)
"""Of ``--csv``; tags are separated by spaces, the event is JSON."""


def csv_row(values: Sequence[Any]) -> str:
    """One line of CSV, without its end (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def csv_event(stored: StoredEvent) -> str:
    """An event as a line of CSV."""
    fields = {
        **event_fields(stored),
        "tags": " ".join(stored.tags),
        "event": as_json(stored.event),
    }
    return csv_row(tuple(fields[name] for name in COLUMNS))


class Steps:
    """The state after each event of one entity, and what of it the event has changed."""

    def __init__(self, as_jsons: bool, initial: Any) -> None:
        self._as_jsons = as_jsons
        self._before = initial

    def beginning(self, persist_id: str, seq: int, state: Any) -> str:
        """The state before the first of the events."""
        return final_line(persist_id, seq, state, self._as_jsons)

    def line(self, stored: StoredEvent, state: Any) -> str:
        """The next event and the state after it."""
        known = state is not UNKNOWN
        found = changes(self._before, state) if known and self._before is not UNKNOWN else []
        self._before = state
        if self._as_jsons:
            told = {
                **event_fields(stored),
                "state": state if known else None,
                "changed": {each.path: [each.before, each.after] for each in found},
            }
            return as_json(told)
        lines = [event_line(stored, False)]
        lines += [f"    {each}" for each in found]
        lines.append(f"    = {plain(state) if known else repr(state)}")
        return "\n".join(lines)


def final_line(persist_id: str, seq: int, state: Any, as_jsons: bool) -> str:
    """An entity and its last state."""
    if as_jsons:
        return as_json({"persist_id": persist_id, "seq": seq, "state": state})
    return f"{persist_id}@{seq}  {plain(state)}"


def compared_line(compared: Compared, as_jsons: bool) -> str:
    """A snapshot with which something is wrong."""
    if compared.verdict != "differs":
        return _not_compared(compared, as_jsons)
    found = changes(compared.folded, compared.snapshot)
    if as_jsons:
        told = {
            "persist_id": compared.persist_id,
            "seq": compared.seq,
            "differs": {
                each.path: {"events": each.before, "snapshot": each.after} for each in found
            },
        }
        return as_json(told)
    lines = [f"{compared.persist_id}@{compared.seq}  the snapshot is not what the events make"]
    lines += [
        f"    {each.path or 'state'}: events {plain(each.before)}, snapshot {plain(each.after)}"
        for each in found
    ]
    return "\n".join(lines)


ABSENT = "there is no event of it and no snapshot"


def _not_compared(compared: Compared, as_jsons: bool) -> str:
    persist_id, seq = compared.persist_id, compared.seq or None
    if as_jsons:
        why = ABSENT if compared.verdict == "absent" else compared.reason
        return as_json({"persist_id": persist_id, "seq": seq, compared.verdict: why})
    if compared.verdict == "absent":
        return f"{persist_id}  {ABSENT}"
    name = persist_id if seq is None else f"{persist_id}@{seq}"
    what = "read" if compared.verdict == "unreadable" else "compared"
    return f"{name}  the snapshot cannot be {what}: {compared.reason}"


def compared_total(equal: int, trusted: int, of_others: int) -> str:
    """How many snapshots were compared, when nothing is wrong, and how many were not."""
    told = [f"{equal:,} snapshot{'' if equal == 1 else 's'} compared"]
    if equal:
        told[0] += ", all as their events make them"
    if trusted:
        told.append(f"{trusted:,} taken as true, because events before were removed")
    if of_others:
        told.append(f"{of_others:,} of another snapshot_version not compared")
    return "; ".join(told)
