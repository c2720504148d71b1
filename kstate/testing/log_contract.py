"""The contract of `kstate.log.port`, as tests that every log must pass.

Subclass `LogContract` as ``TestMyLog``, fill in the hooks of `LogHooks`, and pytest does the rest::

    class TestMyLog(LogContract):
        def open_log(self, directory: Path) -> Log:
            return MyLog(directory / "log")

What is promised of a log that is away stands apart, as `AwayPromises`: subclass it, too, or let it
have a log of its own.

Written for a broker as well as for a file: offsets may have holes, joining a group may take
seconds, and whatever takes time is waited for by polling, at most ``patience_s``.
"""

from __future__ import annotations

from kstate.testing.log_contract_answers import AnswerPromises
from kstate.testing.log_contract_away import AwayPromises
from kstate.testing.log_contract_members import MemberPromises
from kstate.testing.log_contract_open import OpenPromises
from kstate.testing.log_contract_records import RecordPromises
from kstate.testing.log_contract_senders import SenderPromises


class LogContract(RecordPromises, AnswerPromises, SenderPromises, MemberPromises, OpenPromises):
    """All promises of a log that is there."""


__all__ = ["AwayPromises", "LogContract"]
