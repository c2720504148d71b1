"""What tests of clients share."""

from __future__ import annotations

from counter import Counter, Look
from world import World

from kstate import Client
from kstate.core.messages import Write
from kstate.log.port import Producer, Sender


class _Misdirecting:
    """A producer that sends what has one key to a topic that is not there: the log refuses it."""

    def __init__(self, real: Producer, key: bytes) -> None:
        self._real = real
        self._key = key
        self.flush = real.flush
        self.close = real.close

    def send(self, write: Write, sender: Sender | None = None) -> None:
        if write.key == self._key:
            write = write._replace(topic="never-created", partition=0)
        self._real.send(write, sender)


def refuse_records_of(client: Client, persist_id: bytes) -> None:
    """The log is going to refuse the client's commands for this persist id, after it took them."""
    make = client._log.producer
    client._log.producer = lambda: _Misdirecting(make(), persist_id)  # type: ignore[method-assign]


def connected_without_a_worker(world: World) -> None:
    """The client has been answered once: what it sends now is sent, and has no answer."""
    world.run(Counter)
    world.call(Counter, "a", Look())
    world.stop()
