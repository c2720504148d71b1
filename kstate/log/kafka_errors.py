"""The one place that knows what Kafka's errors mean here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from kstate.errors import (
    ConfigError,
    EncodeError,
    Fenced,
    KStateError,
    LogError,
    LogUnavailable,
    OutcomeUnknown,
    TopicError,
    TransactionAborted,
)

_FENCED = {
    # the group went on without this member; an older generation alone may be a rebalance under way
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._FENCED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
}
_AWAY = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NETWORK_EXCEPTION,
    # a broker that was away has a new epoch as leader, or does not know yet that it leads
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError._NOENT,  # "no leaders found", of a partition whose leader is just starting
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}
_NO_TOPIC = {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_EXCEPTION,
}
_LOGIN = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}


def kafka_error(error: KafkaException | KafkaError) -> KafkaError:
    """The error inside an exception."""
    found = error.args[0] if isinstance(error, KafkaException) else error
    return found if isinstance(found, KafkaError) else KafkaError(KafkaError._FAIL, str(found))


def translate(error: KafkaException | KafkaError, what: str) -> KStateError:
    """An error of the log that says ``what`` could not be done."""
    cause = kafka_error(error)
    code = cause.code()
    text = f"{what}: {cause.str()}"
    if code in _FENCED:
        return Fenced(text)
    if code in _NO_TOPIC:
        return TopicError(text)
    if code in _LOGIN:
        return LogError(f"{text}; check the credentials and the access rights on the cluster")
    if code in _TOO_LARGE:
        return EncodeError(text)
    if code == KafkaError.OFFSET_OUT_OF_RANGE or code == KafkaError._AUTO_OFFSET_RESET:
        return LogError(f"{text}: the records there are gone, by retention or by truncation")
    if code in _AWAY or cause.retriable():
        return LogUnavailable(text)
    return LogError(text)


def too_large(cause: KafkaError) -> bool:
    """Whether a record is larger than the client or the broker takes, and nothing else is wrong."""
    return cause.code() in _TOO_LARGE and not cause.fatal()


Client = TypeVar("Client")


def client_of(make: Callable[[dict[str, Any]], Client], properties: Mapping[str, Any]) -> Client:
    """A client of the cluster; raises `ConfigError` for properties that librdkafka refuses."""
    try:
        return make(dict(properties))
    except KafkaException as error:
        raise ConfigError(f"Kafka's client cannot be set up: {kafka_error(error).str()}") from error


def fenced_as_instance(error: KafkaError) -> bool:
    """Whether another consumer has taken the ``group.instance.id`` over.

    The consumer tells that it failed for good, and the cause in words alone.
    """
    return KafkaError(KafkaError.FENCED_INSTANCE_ID).str() in error.str()


def fenced_as_producer(error: BaseException | None) -> bool:
    """Whether another producer has taken the transactional id over."""
    if not isinstance(error, KafkaException):
        return False
    return kafka_error(error).code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


def after_transaction(error: KafkaException, what: str) -> KStateError:
    """What an error inside a transaction means that is neither retriable nor abortable."""
    found = translate(error, what)
    return found if isinstance(found, Fenced) else OutcomeUnknown(str(found))


def after_abort(error: KafkaException) -> KStateError:
    """What an error means after which the transaction was aborted, and that is confirmed."""
    found = translate(error, "the transaction was aborted")
    return found if isinstance(found, EncodeError | Fenced) else TransactionAborted(str(found))
