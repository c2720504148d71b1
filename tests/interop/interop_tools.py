"""A bank's topics as programs see them that are not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from java_programs import Java
from world import World

PARTITIONS = 8
"""Of the bank: as many as a new processor gets, for the page shows some of their numbers."""


class JavaClient:
    """The programs of ``java/``, on the topics of a processor in a world."""

    def __init__(self, java: Java, world: World, processor: str = "bank") -> None:
        self._java = java
        self._where = world.url.removeprefix("kafka://"), f"{world.prefix}{processor}"

    def send(self, schema: Path, *commands: tuple[str, str, Any]) -> dict[str, int]:
        """Sends persist id, command id and datum of each; where they lie, by command id."""
        lines = [f"{key}\t{number}\t{json.dumps(datum)}\n" for key, number, datum in commands]
        printed = self._java.run("SendCommands", *self._where, str(schema), stdin="".join(lines))
        return {number: int(partition) for number, partition in map(_pair, printed)}

    def journal(self) -> list[dict[str, Any]]:
        """The events, in the order of persist id and seq."""
        found = [json.loads(line) for line in self._java.run("ReadJournal", *self._where)]
        return sorted(found, key=lambda each: (each["persist_id"], each["seq"]))

    def replies(self, *command_ids: str) -> dict[str, dict[str, Any]]:
        """Waits for the replies to these commands, by command id."""
        found = [
            json.loads(each) for each in self._java.run("ReadReplies", *self._where, *command_ids)
        ]
        return {each.pop("command_id"): each for each in found}


def _pair(line: str) -> tuple[str, str]:
    command_id, _, partition = line.partition("\t")
    return command_id, partition
