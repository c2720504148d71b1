"""Projections and handlers in threads, beside a world's workers, and a look at their database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Table, create_engine, select
from world import World

from kstate import EventHandler, Projection
from kstate.config import Config
from kstate.projection.control import Status, status
from kstate.projection.rebuild import Rebuild
from kstate.projection.site import Site
from kstate.wiring import build_handler, build_projection, open_log


class Thread:
    """Something that runs until it is stopped or fails."""

    def __init__(self, work: Any, close: Callable[[], object]) -> None:
        self.work = work
        self.failure: BaseException | None = None
        self._close = close
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.work.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.failure = error

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> BaseException | None:
        """Stops it; what it failed with."""
        self.work.stop()
        self._thread.join()
        self._close()
        return self.failure


class Stage:
    """A world's projections."""

    def __init__(self, world: World, database: str) -> None:
        self.world = world
        self.database = database
        self.config = Config(log=world.url, prefix=world.prefix, data=world.data)
        self._engine = create_engine(database)
        self._running: list[Thread] = []
        self._sites: list[Site] = []

    def site(self, projection: type[Projection], **config: Any) -> Site:
        """A projection with a log of its own."""
        settings = Config(
            log=self.world.url, prefix=self.world.prefix, data=self.world.data, **config
        )
        made = build_projection(settings, open_log(self.world.url), projection, self.database)
        self._sites.append(made)
        return made

    def run(self, projection: type[Projection], **config: Any) -> Thread:
        """Starts a process of a projection."""
        site = self.site(projection, **config)
        return self._start(site.runner())

    def rebuild(self, projection: type[Projection]) -> bool:
        """Rebuilds, in this thread."""
        return Rebuild(self.site(projection)).run()

    def handle(self, handler: type[EventHandler]) -> Thread:
        """Starts a process of a handler."""
        log = open_log(self.world.url)
        return self._start(build_handler(self.config, log, handler), log.close)

    def _start(self, work: Any, close: Callable[[], object] = lambda: None) -> Thread:
        thread = Thread(work, close)
        self._running.append(thread)
        return thread

    def failure(self, thread: Thread) -> BaseException:
        """What a process ended with; waits for it."""
        self.world.until(thread.ended, "the process ended")
        self._running.remove(thread)
        failure = thread.stop()
        assert failure is not None, "it ended without a failure"
        return failure

    def stop(self, *threads: Thread) -> None:
        """Stops processes, by default all, which must not have failed."""
        for each in threads or tuple(self._running):
            self._running.remove(each)
            failure = each.stop()
            if failure is not None:
                raise failure

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """A table's rows, sorted."""
        with self._engine.connect() as connection:
            return sorted(tuple(row) for row in connection.execute(select(table)))

    def status(self, projection: type[Projection]) -> Status:
        return status(self.site(projection))

    def caught_up(self, projection: type[Projection]) -> None:
        """Waits until the rows show every event there is."""
        site = self.site(projection)

        def done() -> bool:
            for each in self._running:
                if each.failure is not None:
                    raise each.failure
            return all(not each.lag for each in status(site).partitions)

        self.world.until(done, "the projection had seen everything")

    def close(self) -> None:
        try:
            self.stop()
        finally:
            for site in self._sites:
                site.database.close()
                site.log.close()
            self._engine.dispose()
