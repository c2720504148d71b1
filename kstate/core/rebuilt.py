"""A partition whose states were folded anew because a command, `Rebuild`, asked for it.

The command comes again after the recovery, which starts where the partition was: then it is
answered.
"""

from __future__ import annotations

from typing import NamedTuple

from kstate.core.batch import Batch
from kstate.core.context import Machine
from kstate.core.envelope import Envelope
from kstate.core.messages import Rebuild, Record
from kstate.core.outgoing import ERROR, OK
from kstate.core.runner import Runner
from kstate.errors import BadCommand


class RebuildAsked(Exception):
    """The command at this offset asks for the partition to be recovered anew, see `Rebuild`.

    Nothing of it was staged.
    """

    def __init__(self, offset: int) -> None:
        super().__init__(f"the command at {offset} asks for it")
        self.offset = offset


class Rebuilt(NamedTuple):
    """What the recovery of a partition did for a `Rebuild`, if it was for one."""

    offset: int = -1  # of the command
    snapshots: int = 0  # that were written
    fault: str = ""  # why it was not possible

    def answer(
        self, machine: Machine, runner: Runner, batch: Batch, record: Record, envelope: Envelope
    ) -> bool:
        """Answers a `Rebuild`; False for other commands without a persist id.

        Raises `RebuildAsked` when the partition was not recovered for it.
        """
        codec = machine.codec
        try:
            command = codec.decode_command(record.value, envelope.content_type, envelope.type_name)
        except BadCommand:
            return False  # without a persist id, whatever else is wrong with it
        if type(command) is not Rebuild:
            return False
        if record.offset > self.offset:
            raise RebuildAsked(record.offset)
        if self.fault:
            runner.answer(batch, envelope, ERROR, None, 0, "rebuild", self.fault)
        else:
            value = codec.encode_reply(Rebuild, self.snapshots)
            runner.answer(batch, envelope, OK, value, 0)
        return True
