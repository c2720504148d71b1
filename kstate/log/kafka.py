"""The Kafka log: for production, shared out among workers by the consumer group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from kstate.errors import ConfigError
from kstate.log.kafka_admin import KafkaAdmin
from kstate.log.kafka_config import DEFAULT_PORT, Settings, check_properties
from kstate.log.kafka_member import KafkaMember
from kstate.log.kafka_producer import KafkaProducer
from kstate.log.kafka_reader import KafkaReader
from kstate.log.kafka_topics import FRAMING_BYTES
from kstate.log.kafka_transaction import Transactions
from kstate.log.port import Committed, Ends, TopicInfo, TopicSpec

BROKER_LIMIT_BYTES = 1_048_588
"""Kafka's default ``max.message.bytes``."""
LEAST_RECORD_BYTES = 1_024


class KafkaLog:
    """See `kstate.log.port.Log`.

    ``bootstrap`` is ``host:port,…``; ``properties`` are librdkafka's, except for the few that the
    protocol fixes, which are refused by name.
    """

    multiple_owners = True

    def __init__(
        self,
        bootstrap: str,
        properties: Mapping[str, str] | None = None,
        *,
        max_record_bytes: int = BROKER_LIMIT_BYTES - FRAMING_BYTES,
    ) -> None:
        extra = check_properties(properties or {}, "the configuration")
        self.url = f"kafka://{bootstrap}"
        self.max_record_bytes = max_record_bytes
        self._bootstrap = bootstrap
        self._extra = extra
        self._settings = Settings(bootstrap, extra, max_record_bytes + FRAMING_BYTES)
        self._admin = KafkaAdmin(self._settings.admin())
        self._taken: dict[str, list[float]] = {}  # of the members: when a seat was taken

    @classmethod
    def from_url(cls, url: str, properties: Mapping[str, str] | None = None) -> KafkaLog:
        """The log of ``kafka://host:9092,other:9092?property=value``; raises `ConfigError`."""
        parts = urlsplit(url)
        if parts.scheme != "kafka" or not parts.netloc or parts.path not in ("", "/"):
            raise ConfigError(f"{url!r} names no cluster: write kafka://host:{DEFAULT_PORT}")
        if "@" in parts.netloc:
            raise ConfigError(
                "a password does not belong into the log's URL: set KSTATE_KAFKA_SASL_USERNAME and "
                "KSTATE_KAFKA_SASL_PASSWORD"
            )
        hosts = [
            host if ":" in host else f"{host}:{DEFAULT_PORT}" for host in parts.netloc.split(",")
        ]
        options = {**(properties or {}), **dict(parse_qsl(parts.query, keep_blank_values=True))}
        limit = options.pop("max_record_bytes", str(BROKER_LIMIT_BYTES - FRAMING_BYTES))
        if not limit.isdecimal() or int(limit) < LEAST_RECORD_BYTES:
            raise ConfigError(f"max_record_bytes is {limit!r}: at least {LEAST_RECORD_BYTES}")
        return cls(",".join(hosts), options, max_record_bytes=int(limit))

    def __repr__(self) -> str:
        return f"<KafkaLog {self.url} {self._settings}>"

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See the port; the replication factor is the cluster's default."""
        self._admin.create(list(specs))

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        """See the port."""
        return self._admin.topics(names)

    def identity(self) -> str:
        """See the port: Kafka's cluster id."""
        return self._admin.cluster_id()

    def weaknesses(self) -> Sequence[str]:
        """See the port: the replication of Kafka's own topics."""
        return self._admin.weaknesses()

    def ends(self, topic: str) -> Mapping[int, Ends]:
        """See the port."""
        return self._admin.ends(topic)

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """See the port."""
        return self._admin.offsets_at(topic, timestamp_ms)

    def progress(self, group: str, topic: str) -> Mapping[int, Committed]:
        """See the port."""
        return self._admin.progress(group, topic)

    def owners(self, group: str, topic: str) -> Mapping[int, str]:
        """See the port."""
        return self._admin.owners(group, topic)

    def end_orphan(self, group: str, instance: str) -> bool:
        """See the port.  A producer that begins under the same transactional id ends the
        transaction at once (KIP-98); its timeout would take ten seconds and the sweep after it."""
        if instance in self._admin.members(group):
            return False
        transactions = Transactions(self._settings, instance)
        try:
            transactions.begin_life()
        finally:
            transactions.close()
        return True

    def join(self, group: str, topic: str, instance: str) -> KafkaMember:
        """See the port."""
        return KafkaMember(
            self._member_settings(),
            group,
            topic,
            instance,
            self.max_record_bytes,
            self._admin.partition_count,
            self._taken,
        )

    def _member_settings(self) -> Settings:
        """The settings, with batches that each topic takes which this log was asked about.

        librdkafka puts small records together up to its own limit, and the broker refuses the
        whole batch when the topic's is below that.  Whoever joins has looked at its topics before.
        """
        batch = self._admin.smallest_record_bytes(self.max_record_bytes) + FRAMING_BYTES
        if batch >= self.max_record_bytes + FRAMING_BYTES:
            return self._settings
        given = str(self._extra.get("batch.size", ""))
        size = min(int(given), batch) if given.isdecimal() else batch
        extra = {**self._extra, "batch.size": str(size)}
        return Settings(self._bootstrap, extra, self.max_record_bytes + FRAMING_BYTES)

    def reader(self, *, follows: bool = False) -> KafkaReader:
        """See the port."""
        return KafkaReader(self._settings, self._admin.ends, follows=follows)

    def producer(self) -> KafkaProducer:
        """See the port."""
        return KafkaProducer(self._settings, self.max_record_bytes)

    def close(self) -> None:
        """See the port; there is nothing to release."""
