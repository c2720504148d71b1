"""What a handler sees of its entity, and one command's run.

`Context` collects what a command wants; nothing of it counts until the shard takes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kstate.core.adapters import MAX_TAG_BYTES, TAG_HEADER_BYTES, Several, Tagged, overrides
from kstate.core.codec import Codec
from kstate.core.definition import Definition, Fold
from kstate.core.messages import RESERVED_EVENTS, Command, Deleted, Noted, Record
from kstate.core.policy import Policy
from kstate.core.topics import encode_persist_id
from kstate.errors import ConfigError, EncodeError, KStateError, RecordTooLarge

if TYPE_CHECKING:
    from kstate.core.envelope import Envelope

S = TypeVar("S")

Effect = Callable[[], object]

_CURES: dict[type, str] = {
    Deleted: "call ctx.delete() instead",
    Noted: "leave it out, a command that only sends gets one",
}


class Machine:
    """What is the same for all entities of a processor: its definition, codec and limits."""

    def __init__(self, definition: Definition, codec: Codec, policy: Policy) -> None:
        self.definition = definition
        self.codec = codec
        self.policy = policy
        self.name = definition.name
        self.state_type: type[Any] = definition.state_type
        self.handlers = dict(definition.commands)
        self.folds = dict(definition.folds)
        self.reactions = dict(definition.reactions)
        self.to_journal = tuple(
            each.to_journal for each in definition.adapters if overrides(each, "to_journal")
        )
        self._storable = {*self.folds, *(cls for a in definition.adapters for cls in a.writes)}
        self.encode_event = codec.encode_event
        self.max_events = policy.max_events
        self.max_value_bytes = policy.max_value_bytes

    def init(self, persist_id: str) -> Any:
        """The state of a persist id before its first event."""
        state = self.definition.init(persist_id)
        if not isinstance(state, self.state_type):
            raise self.no_state("init", state)
        return state

    def fold(self, persist_id: str, state: Any, event: Any) -> Any:
        """The state after ``event``: the same function live and in recovery."""
        fold = self.folds.get(type(event))
        if fold is None:
            return self._fold_other(persist_id, state, event)
        state = fold(state, event)
        if not isinstance(state, self.state_type):
            raise self.no_state(f"the fold of {type(event).__name__}", state)
        return state

    def _fold_other(self, persist_id: str, state: Any, event: Any) -> Any:
        if type(event) is Deleted:
            return self.init(persist_id)
        if type(event) is Noted:
            return state
        if type(event) is Several:
            for each in event:
                state = self.fold(persist_id, state, each)
            return state
        raise self._without_fold(event)

    def no_state(self, what: str, value: Any) -> TypeError:
        """What is said when ``what`` gives no state."""
        return TypeError(
            f"{what} in {self.name} returned {type(value).__name__}, not {self.state_type.__name__}"
        )

    def _without_fold(self, event: Any) -> ConfigError:
        name = type(event).__name__
        if type(event) in RESERVED_EVENTS:
            return ConfigError(f"{name} is an event of kstate's own: {_CURES[type(event)]}")
        return ConfigError(
            f"{name} has no fold in {self.name}: add a method with @event whose last parameter is "
            f"annotated {name}"
        )

    def stored(self, event: Any) -> tuple[Any, tuple[str, ...]]:
        """What the adapters make of an event for the journal, and its tags.

        Raises `EncodeError` for tags and events that cannot be stored.
        """
        stored: Any = event
        tags: tuple[str, ...] = ()
        for to_journal in self.to_journal:
            stored = to_journal(stored)
            if type(stored) is Tagged:
                stored, more = stored
                tags += more
        if stored is not event and type(stored) not in self._storable:
            raise EncodeError(
                f"an adapter of {self.name} returned {type(stored).__name__} for "
                f"{type(event).__name__}: return the event, tagged(event, ...), or an event that "
                "has a fold or stands in the adapter's writes"
            )
        return stored, self._checked(tags) if tags else ()

    def prepared(self, event: Any) -> tuple[Any, bytes, tuple[str, ...], type, Fold]:
        """A user's event, encoded, with its tags, the type that is stored, and its fold.

        Raises `EncodeError` for what cannot be stored, and `ConfigError` without a fold.
        """
        fold = self.folds.get(type(event))
        if fold is None:
            raise self.unfit(event)
        stored, tags = self.stored(event) if self.to_journal else (event, ())
        value = self.encode_event(stored)
        if len(value) > self.max_value_bytes:
            raise self.too_large(event, value)
        return event, value, tags, type(stored), fold

    def unfit(self, event: Any) -> KStateError:
        """What is said of a user's event that has no fold, which may be no event at all."""
        if type(event) not in RESERVED_EVENTS:
            try:
                self.encode_event(event)
            except EncodeError as error:
                return error
        return self._without_fold(event)

    def too_large(self, event: Any, value: bytes) -> RecordTooLarge:
        """What is said of a user's event whose encoding is too large."""
        return RecordTooLarge(f"the event {type(event).__name__}", len(value), self.max_value_bytes)

    def _checked(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        if any(not isinstance(tag, str) or not tag for tag in tags):
            raise EncodeError(f"the tags {tags!r} are not all non-empty texts")
        if sum(len(tag.encode()) + TAG_HEADER_BYTES for tag in tags) > MAX_TAG_BYTES:
            raise EncodeError(
                f"the tags of an event take more than {MAX_TAG_BYTES} bytes, "
                f"with {TAG_HEADER_BYTES} more for each"
            )
        return tuple(dict.fromkeys(tags))


Persisted = tuple[int, Any, bytes, tuple[str, ...], type]
"""An event that a command persisted: its seq, itself, its encoding, its tags, and the type that is
stored, which is its own unless an adapter put another in its place.

A bare tuple for the same reason as `kstate.core.messages.WriteRow`.
"""


class Context(Generic[S]):
    """What a command handler or a reaction may see and do."""

    __slots__ = (
        "_deleted",
        "_effects",
        "_envelope",
        "_event_seq",
        "_events",
        "_machine",
        "_now",
        "_open",
        "_record",
        "_save",
        "_sent",
        "_seq",
        "_state",
        "persist_id",
    )

    persist_id: str

    def __init__(
        self,
        machine: Machine,
        persist_id: str,
        state: S,
        seq: int,
        now: int,
        record: Record,
        envelope: Envelope,
    ) -> None:
        self._machine = machine
        self.persist_id = persist_id
        self._state = state
        self._seq = seq
        self._now = now
        self._record = record
        self._envelope = envelope
        self._events: list[Persisted] = []
        self._sent: list[tuple[str, bytes, bytes]] | None = None
        self._effects: list[Effect] | None = None
        self._event_seq = 0
        self._save = False
        self._deleted = False
        self._open = True

    # read-only by C getters: a Python property would double the cost of the commonest access
    state: S = property(attrgetter("_state"))  # type: ignore[assignment]
    """The state after the newest event persisted."""

    seq: int = property(attrgetter("_seq"))  # type: ignore[assignment]
    """The seq of the newest event persisted; 0 before the first."""

    @property
    def event_seq(self) -> int:
        """In a reaction: the seq of its event."""
        if not self._event_seq:
            raise AttributeError("event_seq is known in a reaction only; use ctx.seq")
        return self._event_seq

    @property
    def command_id(self) -> str:
        """The command's id, the same in every repetition."""
        return self._envelope.command_id.decode()

    @property
    def headers(self) -> Mapping[str, bytes]:
        """The command record's headers; of a repeated name the last."""
        return dict(self._record.headers)

    @property
    def now(self) -> datetime:
        """The one time of this command, UTC: the timestamp its events carry."""
        return datetime.fromtimestamp(self._now / 1000, UTC)

    def persist(self, event: Any) -> None:
        """Gives the event the next seq and folds it: ``ctx.state`` is new on the next line.

        Raises `EncodeError` for an event that its schema cannot hold, and whatever its fold
        raises; nothing is persisted then.
        """
        if not self._open or self._deleted:
            raise KStateError(self._why_not())
        machine = self._machine
        events = self._events
        if len(events) >= machine.max_events:
            raise KStateError(self._too_many())
        # as `Machine.prepared`, without its call: this is most of what a command costs
        fold = machine.folds.get(type(event))
        if fold is None:
            raise machine.unfit(event)
        stored, tags = machine.stored(event) if machine.to_journal else (event, ())
        value = machine.encode_event(stored)
        if len(value) > machine.max_value_bytes:
            raise machine.too_large(event, value)
        state = fold(self._state, event)
        if not isinstance(state, machine.state_type):
            raise machine.no_state(f"the fold of {type(event).__name__}", state)
        self._state = state
        self._seq = seq = self._seq + 1
        events.append((seq, event, value, tags, type(stored)))

    def persist_all(self, events: Iterable[Any]) -> None:
        """`persist` for each of them, all or none: all are encoded before the first is folded."""
        machine = self._machine
        ready: list[tuple[Any, bytes, tuple[str, ...], type, Fold]] = []
        for event in events:
            if len(self._events) + len(ready) >= machine.max_events:
                raise KStateError(self._too_many())
            ready.append(machine.prepared(event))
        if not ready:
            return
        if not self._open or self._deleted:
            raise KStateError(self._why_not())
        state: Any = self._state
        seq = self._seq
        persisted = []
        for event, value, tags, stored, fold in ready:
            state = fold(state, event)
            if not isinstance(state, machine.state_type):
                raise machine.no_state(f"the fold of {type(event).__name__}", state)
            seq += 1
            persisted.append((seq, event, value, tags, stored))
        self._state = state
        self._seq = seq
        self._events += persisted

    def _note(self, event: Any) -> None:
        """Persists an event of kstate's own."""
        if not self._open or self._deleted:
            raise KStateError(self._why_not())
        machine = self._machine
        if len(self._events) >= machine.max_events:
            raise KStateError(self._too_many())
        value = machine.encode_event(event)
        self._state = machine.fold(self.persist_id, self._state, event)
        self._seq += 1
        self._events.append((self._seq, event, value, (), type(event)))

    def send(self, processor: Any, persist_id: str, command: Command[Any]) -> None:
        """Sends a command to another entity in the same transaction: exactly once.

        ``processor`` is a class or a name declared in ``sends``, or this processor itself.
        """
        if not self._open:
            raise KStateError(self._why_not())
        name = processor if isinstance(processor, str) else getattr(processor, "name", None)
        if name not in self._machine.definition.sends:
            raise ConfigError(
                f"{self._machine.name} sends to {name or processor!r}, which it does not declare: "
                "add it to the class attribute sends"
            )
        value = self._machine.codec.encode_command(name, command)
        if len(value) > self._machine.max_value_bytes:
            raise RecordTooLarge(
                f"the command {type(command).__name__}", len(value), self._machine.max_value_bytes
            )
        if self._sent is None:
            self._sent = []
        if len(self._sent) >= self._machine.max_events:
            raise KStateError(f"one command sent more than {self._machine.max_events} commands")
        self._sent.append((name, encode_persist_id(persist_id), value))

    def after_commit(self, effect: Effect) -> None:
        """Runs ``effect`` in a worker thread once the command is committed: at most once.

        What must not be lost belongs to a consumer of the journal instead.
        """
        if not self._open:
            raise KStateError(self._why_not())
        if self._effects is None:
            self._effects = []
        self._effects.append(effect)

    def save_snapshot(self) -> None:
        """Snapshots the state as it is after this command's last event."""
        if not self._open:
            raise KStateError(self._why_not())
        self._save = True

    def delete(self) -> None:
        """Persists the entity's last event: its state starts anew, its seqs go on."""
        self._note(Deleted())
        self._deleted = True

    def _too_many(self) -> str:
        return (
            f"one command persisted more than {self._machine.max_events} events: "
            "a reaction that persists on its own event never ends"
        )

    def _why_not(self) -> str:
        if not self._open:
            return "this context's command is over: a context cannot be kept"
        return "nothing can be persisted after delete() in the same command"


def execute(context: Context[Any], command: Any) -> Any:
    """Runs a command's handler, then the reactions to its events, first in, first out.

    Returns the handler's reply.  A reaction may persist: those events queue behind.
    """
    machine = context._machine
    reply = machine.handlers[type(command)](context, command)
    reactions = machine.reactions
    if reactions:
        # the list grows while it is walked: that is the queue
        for seq, event, _, _, _ in context._events:
            for reaction in reactions.get(type(event), ()):
                context._event_seq = seq
                reaction(context, event)
    if context._sent and not context._events:
        context._note(Noted())
    return reply
