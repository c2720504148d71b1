"""What each error of a transaction means: the table of `kstate.log.kafka_transaction`, row by row.

The producer is a script: it answers each call with the next error that stands there for it, or does
what was asked, and notes what was asked.  The errors are confluent-kafka's own.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from kstate.core.messages import Write
from kstate.errors import (
    EncodeError,
    Fenced,
    KStateError,
    LogError,
    LogUnavailable,
    OutcomeUnknown,
    TopicError,
    TransactionAborted,
)
from kstate.log import kafka_transaction
from kstate.log.kafka_config import Settings
from kstate.log.kafka_errors import translate
from kstate.log.kafka_transaction import Transactions

TIMEOUT_S = 0.3
"""Of the transactions here: what is tried again is tried for this long."""
OFFSETS = [TopicPartition("bank.commands", 0, 7)]
GROUP = b"CGMDv2:group"
A_WRITE = Write("bank.journal", 0, b"anna@1", b"event", [], 0)

INIT, BEGIN, PRODUCE = "init_transactions", "begin_transaction", "produce"
SEND, COMMIT, ABORT = "send_offsets_to_transaction", "commit_transaction", "abort_transaction"
STEPS = [BEGIN, PRODUCE, SEND, COMMIT]
"""What a transaction with one record calls, in this order."""

Answer: TypeAlias = KafkaException | Callable[[], None]


class Script:
    """A producer whose calls fail as is written, and succeed where nothing is written any more."""

    def __init__(self) -> None:
        self.answers: defaultdict[str, list[Answer]] = defaultdict(list)
        self.always: dict[str, KafkaException] = {}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **_: Any) -> None:
            if name not in ("list_topics", "poll"):
                self.asked.append((name, args))
            answer = self.answers[name].pop(0) if self.answers[name] else self.always.get(name)
            if isinstance(answer, KafkaException):
                raise answer
            if answer is not None:
                answer()

        return call

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def arguments(self, name: str) -> list[tuple[Any, ...]]:
        return [args for each, args in self.asked if each == name]


def error(
    code: int, *, retriable: bool = False, abort: bool = False, fatal: bool = False
) -> KafkaException:
    return KafkaException(KafkaError(code, "as scripted", fatal, retriable, abort))


RETRIABLE = error(KafkaError._TIMED_OUT, retriable=True)
TO_ABORT = error(KafkaError.INVALID_TXN_STATE, abort=True)
LOST = {
    "a fatal error": error(KafkaError.INVALID_TXN_STATE, fatal=True),
    "a fatal error of size": error(KafkaError.MSG_SIZE_TOO_LARGE, fatal=True),
    "a fatal error that is called retriable": error(
        KafkaError.INVALID_TXN_STATE, fatal=True, retriable=True
    ),
    "a timeout": error(KafkaError._TIMED_OUT),
    "a lost connection": error(KafkaError._TRANSPORT),
    "brokers that are all away": error(KafkaError._ALL_BROKERS_DOWN),
    "a state that is not to be": error(KafkaError._STATE),
    "rights that are missing": error(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    "anything else": error(KafkaError._FAIL),
}
FENCED = {
    "a producer that was fenced": error(KafkaError._FENCED, fatal=True),
    "an older epoch": error(KafkaError.INVALID_PRODUCER_EPOCH),
    "a producer that was forgotten": error(KafkaError.INVALID_PRODUCER_ID_MAPPING),
    "a member that is not known": error(KafkaError.UNKNOWN_MEMBER_ID),
    "a seat that another one has": error(KafkaError.FENCED_INSTANCE_ID),
}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def transactions(script: Script, monkeypatch: pytest.MonkeyPatch) -> Transactions:
    monkeypatch.setattr(kafka_transaction, "Producer", lambda properties: script)
    monkeypatch.setattr(kafka_transaction, "LATE_S", 0.05)
    monkeypatch.setattr(kafka_transaction, "INIT_S", TIMEOUT_S)
    monkeypatch.setattr(kafka_transaction, "ABORT_S", TIMEOUT_S)
    timeout_ms = str(int(TIMEOUT_S * 1000))
    settings = Settings("localhost:1", {"transaction.timeout.ms": timeout_ms}, 2588)
    return Transactions(settings, "bank-0")


def run(transactions: Transactions) -> None:
    """One transaction with a record and offsets."""
    transactions.write([A_WRITE], set())
    transactions.commit(OFFSETS, GROUP)


# -- retriable: the same call again ----------------------------------------------------------------


@pytest.mark.parametrize("step", [SEND, COMMIT])
def test_a_retriable_error_lets_the_same_call_come_again(
    step: str, script: Script, transactions: Transactions
) -> None:
    script.answers[step] = [RETRIABLE, RETRIABLE]
    run(transactions)
    at = STEPS.index(step)
    assert script.names == [*STEPS[:at], step, step, step, *STEPS[at + 1 :]]
    arguments = script.arguments(step)
    assert [args[:-1] for args in arguments] == [arguments[0][:-1]] * 3
    seconds = [args[-1] for args in arguments]
    assert seconds == sorted(seconds, reverse=True), "what is left of the time, and never more"
    assert seconds[0] == TIMEOUT_S


def test_offsets_that_are_sent_again_are_those_of_the_first_call(
    script: Script, transactions: Transactions
) -> None:
    script.answers[SEND] = [RETRIABLE]
    run(transactions)
    assert [args[:2] for args in script.arguments(SEND)] == [(OFFSETS, GROUP)] * 2


def test_a_retriable_error_of_the_beginning_of_a_life_lets_it_begin_again(
    script: Script, transactions: Transactions
) -> None:
    script.answers[INIT] = [RETRIABLE]
    transactions.begin_life()
    assert script.names == [INIT, INIT]


def test_a_retriable_error_of_an_abort_lets_it_come_again(
    script: Script, transactions: Transactions
) -> None:
    script.answers[ABORT] = [RETRIABLE]
    transactions.write([A_WRITE], set())
    transactions.abort()
    assert script.names == [BEGIN, PRODUCE, ABORT, ABORT]


@pytest.mark.parametrize("step", [SEND, COMMIT])
def test_the_outcome_is_unknown_when_the_same_call_came_again_until_the_time_was_over(
    step: str, script: Script, transactions: Transactions
) -> None:
    script.always[step] = RETRIABLE
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        run(transactions)
    assert time.monotonic() - began >= TIMEOUT_S / 2
    assert script.names[-1] == step, "nothing is called after that"
    assert len(script.arguments(step)) <= TIMEOUT_S / kafka_transaction.AGAIN_S + 2, "in a spin"


def test_a_life_that_does_not_begin_in_time_is_a_log_that_is_away(
    script: Script, transactions: Transactions
) -> None:
    script.always[INIT] = RETRIABLE
    with pytest.raises(LogUnavailable, match="bank-0 cannot begin its transactions"):
        transactions.begin_life()


@pytest.mark.parametrize("found", FENCED.values(), ids=FENCED)
def test_a_life_that_is_fenced_as_it_begins_is_told_as_that(
    found: KafkaException, script: Script, transactions: Transactions
) -> None:
    script.answers[INIT] = [found]
    with pytest.raises(Fenced):
        transactions.begin_life()
    assert script.names == [INIT]


# -- the transaction must be aborted ---------------------------------------------------------------


@pytest.mark.parametrize("step", [PRODUCE, SEND, COMMIT])
def test_a_transaction_that_must_be_aborted_is_and_then_that_is_told_as_certain(
    step: str, script: Script, transactions: Transactions
) -> None:
    script.answers[step] = [TO_ABORT]
    with pytest.raises(TransactionAborted, match="as scripted"):
        run(transactions)
    assert script.names == [*STEPS[: STEPS.index(step) + 1], ABORT]


def test_an_error_that_asks_for_an_abort_is_never_tried_again(
    script: Script, transactions: Transactions
) -> None:
    script.answers[COMMIT] = [error(KafkaError._TIMED_OUT, retriable=True, abort=True)]
    with pytest.raises(TransactionAborted):
        run(transactions)
    assert script.names == [*STEPS, ABORT]


def test_a_producer_goes_on_after_an_abort_that_is_confirmed(
    script: Script, transactions: Transactions
) -> None:
    script.answers[COMMIT] = [TO_ABORT]
    with pytest.raises(TransactionAborted):
        run(transactions)
    run(transactions)
    assert script.names == [*STEPS, ABORT, *STEPS]


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID])
def test_a_member_that_its_group_goes_on_without_is_fenced_when_the_abort_is_confirmed(
    code: int, script: Script, transactions: Transactions
) -> None:
    script.answers[SEND] = [error(code, abort=True)]
    with pytest.raises(Fenced):
        run(transactions)
    assert script.names[-1] == ABORT


def test_an_older_generation_is_an_abort_and_no_fence(
    script: Script, transactions: Transactions
) -> None:
    script.answers[SEND] = [error(KafkaError.ILLEGAL_GENERATION, abort=True)]
    with pytest.raises(TransactionAborted):
        run(transactions)


@pytest.mark.parametrize("found", [*LOST.values(), RETRIABLE], ids=[*LOST, "no answer in time"])
def test_the_outcome_is_unknown_when_an_abort_is_not_confirmed(
    found: KafkaException, script: Script, transactions: Transactions
) -> None:
    script.answers[COMMIT] = [TO_ABORT]
    script.always[ABORT] = found
    with pytest.raises(OutcomeUnknown, match="the abort is not confirmed"):
        run(transactions)
    assert_never_used_again(script, transactions, OutcomeUnknown)


def test_the_outcome_is_unknown_when_an_abort_that_was_asked_for_is_not_confirmed(
    script: Script, transactions: Transactions
) -> None:
    script.answers[ABORT] = [error(KafkaError._TRANSPORT)]
    transactions.write([A_WRITE], set())
    with pytest.raises(OutcomeUnknown, match="the abort is not confirmed"):
        transactions.abort()
    assert_never_used_again(script, transactions, OutcomeUnknown)


def test_an_abort_without_a_transaction_asks_nothing(
    script: Script, transactions: Transactions
) -> None:
    transactions.abort()
    run(transactions)
    transactions.abort()
    assert script.names == STEPS


# -- records that the client refuses ---------------------------------------------------------------


def test_a_record_that_the_client_finds_too_large_is_an_abort_that_names_the_size(
    script: Script, transactions: Transactions
) -> None:
    script.answers[PRODUCE] = [error(KafkaError.MSG_SIZE_TOO_LARGE)]
    with pytest.raises(EncodeError, match="as scripted"):
        transactions.write([A_WRITE], set())
    assert script.names == [BEGIN, PRODUCE, ABORT]


def test_a_record_that_the_broker_finds_too_large_is_an_abort_that_names_the_size(
    script: Script, transactions: Transactions
) -> None:
    script.answers[COMMIT] = [error(KafkaError.MSG_SIZE_TOO_LARGE, abort=True)]
    with pytest.raises(EncodeError, match="as scripted"):
        run(transactions)
    assert script.names[-1] == ABORT


def test_the_outcome_is_unknown_when_the_abort_of_a_large_record_is_not_confirmed(
    script: Script, transactions: Transactions
) -> None:
    script.answers[PRODUCE] = [error(KafkaError.MSG_SIZE_TOO_LARGE)]
    script.answers[ABORT] = [error(KafkaError._TRANSPORT)]
    with pytest.raises(OutcomeUnknown):
        transactions.write([A_WRITE], set())
    assert_never_used_again(script, transactions, OutcomeUnknown)


def test_librdkafka_says_of_a_large_record_what_the_script_says() -> None:
    settings = Settings("localhost:1", {"test.mock.num.brokers": "1"}, 2588)
    transactions = Transactions(settings, "bank-0")
    transactions.begin_life()
    large = A_WRITE._replace(value=bytes(3000))
    with pytest.raises(EncodeError, match="too large"):
        transactions.write([A_WRITE, large], set())
    transactions.write([A_WRITE], set())  # in a transaction that is new
    transactions.abort()
    transactions.close()


@pytest.mark.parametrize("found", [TypeError("no bytes"), ValueError("no text")])
def test_a_record_that_is_no_record_is_an_abort(
    found: Exception, script: Script, transactions: Transactions
) -> None:
    def refuse() -> None:
        raise found

    script.answers[PRODUCE] = [refuse]
    with pytest.raises(EncodeError, match="a record cannot be written"):
        transactions.write([A_WRITE], set())
    assert script.names == [BEGIN, PRODUCE, ABORT]


def test_a_record_waits_for_room_in_the_queue(script: Script, transactions: Transactions) -> None:
    def full() -> None:
        raise BufferError

    script.answers[PRODUCE] = [full, full]
    transactions.write([A_WRITE], set())
    assert script.names == [BEGIN, PRODUCE, PRODUCE, PRODUCE]


# -- anything else: the outcome is unknown ---------------------------------------------------------


def assert_never_used_again(
    script: Script, transactions: Transactions, told: type[KStateError]
) -> None:
    """Whatever is asked of the transactions, their producer hears nothing but its end."""
    script.asked.clear()
    for attempt in (
        lambda: transactions.write([A_WRITE], set()),
        lambda: transactions.commit(OFFSETS, GROUP),
    ):
        with pytest.raises(told):
            attempt()
    transactions.abort()
    transactions.close()
    assert script.names in ([], ["purge"])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("found", LOST.values(), ids=LOST)
def test_the_outcome_is_unknown_and_the_producer_never_used_again_after(  # what, at which step
    found: KafkaException, step: str, script: Script, transactions: Transactions
) -> None:
    script.answers[step] = [found]
    with pytest.raises(OutcomeUnknown, match="the transaction of bank-0 failed"):
        run(transactions)
    assert script.names == STEPS[: STEPS.index(step) + 1], "nor is anything tried again"
    assert_never_used_again(script, transactions, OutcomeUnknown)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("found", FENCED.values(), ids=FENCED)
def test_the_seat_is_lost_and_the_producer_never_used_again_after(  # what, at which step
    found: KafkaException, step: str, script: Script, transactions: Transactions
) -> None:
    script.answers[step] = [found]
    with pytest.raises(Fenced):
        run(transactions)
    assert script.names == STEPS[: STEPS.index(step) + 1]
    assert_never_used_again(script, transactions, Fenced)


# -- offsets whose sending hangs -------------------------------------------------------------------


@pytest.fixture
def hanging(script: Script) -> Iterator[threading.Event]:
    """Offsets are sent until this is set, and then fail with something that is retriable."""
    over = threading.Event()

    def hang() -> None:
        over.wait()
        raise RETRIABLE

    script.answers[SEND] = [hang]
    yield over
    over.set()


def threads_left() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "kstate-offsets"]


def test_offsets_whose_sending_hangs_are_left_behind_after_the_transactions_timeout(
    hanging: threading.Event, script: Script, transactions: Transactions
) -> None:
    transactions.write([A_WRITE], set())
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="bank-0 got no answer about its offsets"):
        transactions.commit(OFFSETS, GROUP)
    assert TIMEOUT_S <= time.monotonic() - began < 10
    assert_never_used_again(script, transactions, OutcomeUnknown)
    assert script.names == [], "a producer that hangs is not even purged: that would hang, too"


def test_a_call_that_was_left_behind_is_not_made_again_when_it_fails_at_last(
    hanging: threading.Event, script: Script, transactions: Transactions
) -> None:
    with pytest.raises(OutcomeUnknown):
        transactions.commit(OFFSETS, GROUP)
    (left,) = threads_left()
    hanging.set()
    left.join(10)
    assert not left.is_alive()
    assert script.names == [BEGIN, SEND]


# -- the end ---------------------------------------------------------------------------------------


def test_a_close_aborts_what_is_open(script: Script, transactions: Transactions) -> None:
    transactions.write([A_WRITE], set())
    transactions.close()
    assert script.names == [BEGIN, PRODUCE, ABORT, "purge"]


def test_a_close_whose_abort_is_not_confirmed_is_told_and_is_a_close(
    script: Script, transactions: Transactions, caplog: pytest.LogCaptureFixture
) -> None:
    script.answers[ABORT] = [error(KafkaError._TRANSPORT)]
    transactions.write([A_WRITE], set())
    transactions.close()
    assert script.names == [BEGIN, PRODUCE, ABORT, "purge"]
    assert "bank-0: closed with its transaction open" in caplog.text


# -- what errors are called elsewhere --------------------------------------------------------------

TOLD: list[tuple[type[KStateError], list[KafkaException]]] = [
    (Fenced, list(FENCED.values())),
    (
        TopicError,
        [error(KafkaError.UNKNOWN_TOPIC_OR_PART, retriable=True), error(KafkaError._UNKNOWN_TOPIC)],
    ),
    (EncodeError, [error(KafkaError.MSG_SIZE_TOO_LARGE), error(KafkaError.INVALID_MSG_SIZE)]),
    (
        LogUnavailable,
        [
            error(KafkaError._TRANSPORT),
            error(KafkaError.NOT_COORDINATOR),
            error(KafkaError.THROTTLING_QUOTA_EXCEEDED, retriable=True),  # by the flag alone
        ],
    ),
    (
        LogError,
        [
            error(KafkaError.SASL_AUTHENTICATION_FAILED, retriable=True),
            error(KafkaError.OFFSET_OUT_OF_RANGE),
            error(KafkaError._FAIL),
        ],
    ),
]


@pytest.mark.parametrize(
    ("told", "found"), [(told, each) for told, errors in TOLD for each in errors]
)
def test_outside_transactions_an_error_is_told_as_what_it_means(
    told: type[KStateError], found: KafkaException
) -> None:
    made = translate(found, "it was not done")
    assert type(made) is told
    assert str(made).startswith("it was not done: as scripted")
