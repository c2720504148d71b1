"""Every error kstate raises, as one small tree.

Each class carries the exit code with which the command line ends when the error reaches it; the
table in ``docs/cli.md`` is checked against this module.  A message is one sentence that says what
is wrong and, where there is one, the cure.
"""

from __future__ import annotations

from collections.abc import Sequence


class KStateError(Exception):
    """The root of the tree."""

    exit_code = 1


class ConfigError(KStateError):
    """An option, URL or name that cannot be used as given."""

    exit_code = 3


class NoSuchLog(ConfigError):
    """There is no log at a URL: it was mistyped, or no worker has run there yet."""


class DefinitionError(KStateError):
    """Mistakes in a processor, command, event or state class: all of them at once."""

    exit_code = 4

    def __init__(self, subject: str, mistakes: Sequence[str]) -> None:
        self.subject = subject
        self.mistakes = tuple(mistakes)
        lines = "".join(f"\n  - {mistake}" for mistake in self.mistakes)
        super().__init__(f"{subject} cannot be used:{lines}")


# -- what the caller of a command gets ---------------------------------------------------------


class Rejected(KStateError):
    """A business "no", raised by a handler: nothing was persisted; it is not a failure.

    ``code`` is for machines, ``reason`` for people.
    """

    exit_code = 10

    def __init__(self, reason: str, code: str = "rejected") -> None:
        self.reason = reason
        self.code = code
        super().__init__(reason)


class Conflict(KStateError):
    """The entity was not at the ``expected_seq`` the command named; nothing ran."""

    exit_code = 11

    def __init__(self, actual_seq: int) -> None:
        self.actual_seq = actual_seq
        super().__init__(f"the entity is at seq {actual_seq}, not at the expected one")


class CallTimeout(KStateError):
    """No reply came in time: the command may or may not have run.

    Call again with the same ``command_id`` to get the original answer.
    """

    exit_code = 12

    def __init__(self, command_id: str, timeout_s: float) -> None:
        self.command_id = command_id
        super().__init__(
            f"no reply within {timeout_s:g} s; the command may still run: "
            f"repeat it with command id {command_id} to get its answer"
        )


class StateTimeout(CallTimeout):
    """The owner of an entity did not tell its state in time; asking changed nothing."""

    def __init__(self, command_id: str, timeout_s: float, processor: str, persist_id: str) -> None:
        self.command_id = command_id
        KStateError.__init__(
            self,
            f"the owner of {persist_id!r} did not answer within {timeout_s:g} s: see whether a "
            f"worker is at work (kstate status {processor}), or wait longer",
        )


class RebuildTimeout(CallTimeout):
    """Not all owners have written new snapshots in time; they still do it, or have done it."""

    def __init__(
        self, command_id: str, timeout_s: float, processor: str, partitions: Sequence[int]
    ) -> None:
        self.command_id = command_id
        self.partitions = tuple(partitions)
        listed = ", ".join(map(str, partitions))
        KStateError.__init__(
            self,
            f"the owners of the partitions {listed} of {processor} did not answer within "
            f"{timeout_s:g} s: see whether a worker is at work (kstate status {processor}), "
            "or wait longer",
        )


class NotSent(CallTimeout):
    """The log was not reached in time: the command was not sent, and has not run."""

    exit_code = 31

    def __init__(self, command_id: str, timeout_s: float, log: str) -> None:
        self.command_id = command_id
        KStateError.__init__(
            self, f"{log} did not answer within {timeout_s:g} s: the command was not sent"
        )


class CommandFailed(KStateError):
    """The command could not be executed: nothing was persisted, and it is in the dead letters."""

    exit_code = 13

    def __init__(self, reason: str, code: str = "error") -> None:
        self.reason = reason
        self.code = code
        super().__init__(reason)


class AlreadyDone(KStateError):
    """A duplicate of a command whose reply was too large to keep: its events ended at ``seq``."""

    exit_code = 14

    def __init__(self, seq: int) -> None:
        self.seq = seq
        super().__init__(
            f"this command id was executed before, ending at seq {seq}; its reply was not kept"
        )


# -- data that cannot be used ------------------------------------------------------------------


class BadCommand(KStateError):
    """A record that cannot become a command; ``code`` names the kind of fault."""

    exit_code = 20

    def __init__(self, reason: str, code: str = "bad-command") -> None:
        self.code = code
        super().__init__(reason)


class BadPersistId(BadCommand):
    """A persist id that is empty, too long, not UTF-8, or has control characters."""

    exit_code = 21

    def __init__(self, reason: str) -> None:
        super().__init__(reason, code="bad-persist-id")


class EncodeError(KStateError):
    """A value that its Avro schema cannot hold."""

    exit_code = 22


class DecodeError(KStateError):
    """Bytes that are no value of a known schema."""

    exit_code = 23


class UnknownSchema(DecodeError):
    """Bytes whose schema fingerprint is neither in the code nor in the schemas topic."""

    def __init__(self, fingerprint: bytes) -> None:
        self.fingerprint = fingerprint
        super().__init__(
            f"no schema with fingerprint {fingerprint.hex()} is known; publish it with a worker "
            "that has the type, or send a type this processor knows"
        )


class SchemaError(KStateError):
    """Today's types and the frozen or published schemas do not go together."""

    exit_code = 24


class RecordTooLarge(EncodeError):
    """A record beyond the log's limit; ``size`` and ``limit`` in bytes."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"{what} takes {size} bytes; the log takes at most {limit}")


# -- the log -----------------------------------------------------------------------------------


class LogError(KStateError):
    """The log refused, and waiting does not help."""

    exit_code = 30


class LogUnavailable(LogError):
    """The log cannot be reached now; trying again may help."""

    exit_code = 31
    what = "the log"


class RegistryUnavailable(LogUnavailable):
    """Nor can the schema registry, which is waited for in the same way."""

    what = "the schema registry"


class TopicError(LogError):
    """A topic is missing or has other settings than the processor needs."""

    exit_code = 32


class ProcessorAbsent(TopicError):
    """A processor's topics or schemas are not on this log: no worker of it has run here yet."""


class TransactionAborted(LogError):
    """The transaction was aborted for certain: none of its records will ever be seen."""


class OutcomeUnknown(LogError):
    """The transaction may or may not have been committed; only a new recovery can tell."""


class Fenced(LogError):
    """Another worker owns the partitions now; this seat in the group is over."""

    exit_code = 33


class NameTaken(LogError):
    """Another worker runs under the name of this one."""

    exit_code = 35


class GivenUp(LogError):
    """A worker failed several times in a row without a commit in between: its supervisor decides
    whether to start it again."""

    exit_code = 37


class JournalError(LogError):
    """The journal is not what its rules promise (a hole, a repeated seq, a foreign record)."""

    exit_code = 34


class DamageFound(JournalError):
    """A verification came to its end and found damage; ``count`` says how many."""

    def __init__(self, processor: str, count: int) -> None:
        self.count = count
        what = "one damage" if count == 1 else f"{count:,} damages"
        super().__init__(f"{what} found in {processor}; docs/verify.md says what to do of each")


class StillReadable(LogError):
    """An entity is erased, and the log's cleaner has not passed yet: its records can be read."""

    exit_code = 36

    def __init__(self, persist_id: str, timeout_s: float) -> None:
        super().__init__(
            f"{persist_id!r} is erased, but the log's cleaner has not passed within "
            f"{timeout_s:g} s: look again with kstate erase --status"
        )


# -- the local store and the worker ------------------------------------------------------------


class SnapshotsDiffer(JournalError):
    """Snapshots are not what their events make, or cannot be compared with them."""

    def __init__(self, entities: int) -> None:
        self.entities = entities
        super().__init__(
            f"the snapshots of {entities} {'entity' if entities == 1 else 'entities'} are not what "
            "the events make: if folds were changed, raise snapshot_version, or write new "
            "snapshots with kstate replay --rebuild; if events are missing, kstate verify says "
            "what to do"
        )


class StoreError(KStateError):
    """The local snapshot store cannot be used (in use, full disk, of a newer format)."""

    exit_code = 40


class StoreCorrupt(StoreError):
    """The local store is damaged; it may be deleted and is rebuilt from the log."""


class Unhealthy(KStateError):
    """Workers that should be at work on this machine are not."""

    exit_code = 41


class ArchiveError(KStateError):
    """An archive of a journal that cannot be written, read, or taken in."""

    exit_code = 45


class ProcessorStopped(KStateError):
    """A command failed and the processor's policy is ``on_error = "stop"``."""

    exit_code = 50


# -- projections and event handlers --------------------------------------------------------------


class ProjectionError(KStateError):
    """A projection or its database is not as it must be."""

    exit_code = 60


class PartitionLost(ProjectionError):
    """Another process, a reset or a rebuild has taken partitions over: nothing was written.

    The process that gets it drops the partitions and reads their offsets again.
    """

    def __init__(self, name: str, partitions: Sequence[int]) -> None:
        self.partitions = tuple(partitions)
        listed = ", ".join(map(str, partitions))
        super().__init__(
            f"{name}: somebody else has taken the partitions {listed}: nothing more is written for "
            "them before their offsets are read again"
        )


class ProjectionStopped(ProjectionError):
    """An event failed, and the policy of its projection or handler is not to go on without it."""

    exit_code = 61


class ProjectionLate(ProjectionError):
    """A projection had not seen a command's events in time: they come, if it is at work."""

    exit_code = 62


class DatabaseUnavailable(ProjectionError):
    """The database of a projection cannot be reached now; trying again may help."""

    exit_code = 63
