"""How a processor is named where its past is read."""

from __future__ import annotations

from typing import Any

from kstate.core.topics import Topics
from kstate.processor import Processor

ProcessorRef = type[Processor[Any]] | str
"""A processor as a class, or its name where the code is not at hand."""


def missing(topics: Topics) -> str:
    """What to say when a processor's topics are not there."""
    return (
        f"{topics.commands} does not exist on this log: start a worker of {topics.group} "
        "(kstate run), or check the log's URL and the prefix"
    )
