"""Clients that keep a history of their own: what they asked for, and what they were told."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from crash_load import Planned, plan
from crash_model import Reply

from kstate import CallTimeout, Client, CommandFailed, Rejected
from kstate.client import Call
from kstate.errors import LogUnavailable

INVOKE, OK, FAIL, UNKNOWN, STORED = "invoke", "ok", "fail", "unknown", "stored"
CALL, CAST = "call", "cast"

CHAPTER = 1_000
"""Commands of a stream that are drawn at once."""


class History:
    """One JSON line for each thing that a client did or was told, as it happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1)

    def note(self, what: str, command_id: str, **more: Any) -> None:
        line = {"at": round(time.time(), 3), "what": what, "id": command_id, **more}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._file.close()


class Witness:
    """A client as the load uses it, whose history is kept."""

    def __init__(self, client: Client, history: History) -> None:
        self._client = client
        self._history = history
        self._casts = threading.local()

    def cast(self, processor: Any, persist_id: str, command: Any, *, command_id: str) -> None:
        self._history.note(INVOKE, command_id, how=CAST, to=persist_id, command=repr(command))
        self._client.cast(processor, persist_id, command, command_id=command_id)
        vars(self._casts).setdefault("ids", set()).add(command_id)

    def flush(self) -> None:
        self._client.flush()
        for command_id in sorted(vars(self._casts).pop("ids", ())):
            self._history.note(STORED, command_id)

    def begin(self, processor: Any, persist_id: str, command: Any, command_id: str) -> Call:
        self._history.note(INVOKE, command_id, how=CALL, to=persist_id, command=repr(command))
        try:
            return self._client.begin(processor, persist_id, command, command_id)
        except (LogUnavailable, CallTimeout) as error:
            self._history.note(UNKNOWN, command_id, why=str(error))
            raise

    def wait(self, processor: Any, call: Call, timeout_s: float) -> Any:
        note = self._history.note
        try:
            value = self._client.wait(processor, call, timeout_s)
        except Rejected as no:
            note(FAIL, call.command_id, status="rejected", value=no.code)
            raise
        except CommandFailed as error:
            note(FAIL, call.command_id, status="error", value=str(error))
            raise
        except CallTimeout as error:
            note(UNKNOWN, call.command_id, why=str(error))
            raise
        note(OK, call.command_id, status="ok", value=value)
        return value


class Stream:
    """Commands without end, at a steady rate, until it is closed.

    ``stream[n::k]`` is the n-th of k parts, each for one thread; the same name and seed give the
    same commands.
    """

    def __init__(self, name: str, accounts: int, per_second: float) -> None:
        self._name = name
        self._accounts = accounts
        self._per_second = per_second
        self._closed = threading.Event()
        self._began = time.monotonic()

    def close(self) -> None:
        """Ends all parts."""
        self._closed.set()

    def __getitem__(self, part: slice) -> Iterator[Planned]:
        for chapter in count():
            planned = plan(CHAPTER, self._accounts, f"{self._name}-{chapter}")
            for number in range(part.start, CHAPTER, part.step):
                due = self._began + (chapter * CHAPTER + number) / self._per_second
                if self._closed.wait(max(0.0, due - time.monotonic())):
                    return
                yield planned[number]


class Told:
    """What histories say, read back from their files."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.invoked: set[str] = set()
        self.answered: dict[str, list[Reply]] = defaultdict(list)
        self.stored: set[str] = set()
        self.unknown = 0
        for path in paths:
            with path.open() as lines:
                for line in lines:
                    self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        what, command_id = line["what"], line["id"]
        if what == INVOKE:
            self.invoked.add(command_id)
        elif what == STORED:
            self.stored.add(command_id)
        elif what == UNKNOWN:
            self.unknown += 1
        else:
            self.answered[command_id].append(Reply(line["status"], line["value"], 0))
