"""A processor with what the command line has to cope with: nested values, times, tags, failures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from kstate import Command, Context, EventAdapter, Processor, Rejected, command, event, tagged


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True)
class Item:
    name: str
    count: int
    size: Size = Size.SMALL


@dataclass(frozen=True)
class Order:
    """The state."""

    total: int = 0
    items: tuple[Item, ...] = ()
    notes: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Put(Command[int]):
    """The reply is how many there are in all."""

    count: int
    name: str = "thing"


@dataclass(frozen=True)
class PutAll(Command[Item]):
    """The reply is the last item."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class When(Command[datetime]):
    """The reply is a time."""


@dataclass(frozen=True)
class Header(Command[str]):
    """The reply is a header of the command."""

    name: str


@dataclass(frozen=True)
class Cancel(Command[None]):
    """Deletes the order."""


@dataclass(frozen=True)
class Refuse(Command[None]):
    """A business no."""


@dataclass(frozen=True)
class Fail(Command[None]):
    """Raises."""


@dataclass(frozen=True)
class Sleep(Command[None]):
    """Does not return for long."""

    seconds: float


@dataclass(frozen=True)
class Added:
    item: Item


class Tags(EventAdapter):
    def to_journal(self, event: Any) -> Any:
        return tagged(event, "many") if getattr(event.item, "count", 0) >= 100 else event


class Shop(Processor[Order]):
    name = "shop"
    snapshot_every = 3
    adapters = (Tags(),)

    def init(self, persist_id: str) -> Order:
        return Order()

    @command
    def put(self, ctx: Context[Order], cmd: Put) -> int:
        ctx.persist(Added(Item(cmd.name, cmd.count)))
        return ctx.state.total

    @command
    def put_all(self, ctx: Context[Order], cmd: PutAll) -> Item:
        for item in cmd.items:
            ctx.persist(Added(item))
        return cmd.items[-1]

    @command
    def when(self, ctx: Context[Order], cmd: When) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC)

    @command
    def header(self, ctx: Context[Order], cmd: Header) -> str:
        return ctx.headers[cmd.name].decode()

    @command
    def cancel(self, ctx: Context[Order], cmd: Cancel) -> None:
        ctx.delete()

    @command
    def refuse(self, ctx: Context[Order], cmd: Refuse) -> None:
        raise Rejected("the shop is closed", code="closed")

    @command
    def fail(self, ctx: Context[Order], cmd: Fail) -> None:
        raise ValueError("no luck")

    @command
    def sleep(self, ctx: Context[Order], cmd: Sleep) -> None:
        time.sleep(cmd.seconds)

    @event
    def added(self, state: Order, event: Added) -> Order:
        return replace(
            state, total=state.total + event.item.count, items=(*state.items, event.item)
        )
