"""A TCP proxy on the loopback address, whose connections can be cut, refused, held and delayed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

HOST = "127.0.0.1"
CHUNK = 65_536
ANSWER_S = 10.0

_RESET = struct.pack("ii", 1, 0)  # closing with nothing left to linger for sends a reset

T = TypeVar("T")


class Proxy:
    """Passes connections to `port` on to ``target``, a port of this machine that may be set later.

    Its methods may be called by any thread.  What goes wrong between two ends is for them to see:
    a connection that the target refuses is reset.
    """

    def __init__(self, target: int | None = None) -> None:
        self.target = target
        self.delay_s = 0.0  # for each piece of data, in both directions
        self.accepted = 0  # connections so far
        self.held = 0  # pieces of data that are kept back now
        self._shut = False
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __repr__(self) -> str:
        return f"<Proxy {self.port} → {self.target}: {len(self._pairs)} connections>"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._pairs)

    def cut(self, share: float = 1.0, chance: random.Random | None = None) -> int:
        """Resets connections in the middle of whatever they carry; how many.

        Each with the probability ``share``, drawn from ``chance``; by default all.
        """

        def cut() -> int:
            pairs = [each for each in self._pairs if chance is None or chance.random() < share]
            for pair in pairs:
                for writer in pair:
                    _reset(writer)
            return len(pairs)

        return self._do(cut)

    def shut(self) -> None:
        """Takes no connections until `open`; those that there are stay."""
        self._shut = True

    def open(self) -> None:
        """Takes connections again."""
        self._shut = False

    def hold(self) -> None:
        """Keeps all data back, as a network that went silent, until `release`."""
        self._do(self._flows.clear)

    def release(self) -> None:
        """Lets what was kept back, and all that follows, pass."""
        self._do(self._flows.set)

    def close(self) -> None:
        """Ends all connections and takes none any more; idempotent."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- in the thread of the loop -----------------------------------------------------------

    async def _end(self) -> None:
        self._shut = True  # for those that were just accepted, and are not among the tasks yet
        for each in self._server.sockets:
            self._loop.remove_reader(each.fileno())
        for task in self._tasks:
            task.cancel()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        # at last: asyncio drops, open as it is, what a server accepted just before it was closed
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # a cancellation ends here: the server logs what its handlers end with
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._pass(reader, writer)
        finally:
            _reset(writer)
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._shut or self.target is None:
            return
        back, forth = await asyncio.open_connection(HOST, self.target)
        pair = (writer, forth)
        self._pairs.add(pair)
        self.accepted += 1
        pumps = [asyncio.ensure_future(self._pump(reader, forth))]
        pumps.append(asyncio.ensure_future(self._pump(back, writer)))
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            _reset(forth)  # before anything that a cancellation could end
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            self.held += 1
            try:
                await self._flows.wait()
            finally:
                self.held -= 1
            sink.write(data)
            await sink.drain()

    # -- from other threads ------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_S)

    def _do(self, act: Callable[[], T]) -> T:
        async def work() -> T:
            return act()

        return self._run(work())


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
