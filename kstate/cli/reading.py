"""Reading a topic from some offsets to its present end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kstate.core.messages import Record
from kstate.log.port import Choice, Log

CHUNK = 1_000
WAIT_S = 0.2


def committed(
    log: Log,
    topic: str,
    starts: Mapping[int, int] | None = None,
    watch: Callable[[int], object] | None = None,
    only: Choice | None = None,
) -> Iterator[Record]:
    """The committed records from these offsets (by default: all) to what is the end now; with
    ``only`` those for whose headers it is true.

    ``watch`` is called with the number of records read, chunk by chunk.  Raises `TopicError` when
    there is no such topic.
    """
    ends = log.ends(topic)
    begin = {p: each.start for p, each in ends.items()} if starts is None else starts
    begin = {p: start for p, start in begin.items() if start < ends[p].stable}
    if not begin:
        return
    waiting = set(begin)
    reader = log.reader()
    try:
        reader.assign(topic, begin, only)
        while waiting:
            chunk = reader.poll(CHUNK, WAIT_S)
            yield from chunk.records
            if watch is not None:
                watch(len(chunk.records))
            waiting -= {p for p, reached in chunk.ends.items() if reached >= ends[p].stable}
    finally:
        reader.close()
