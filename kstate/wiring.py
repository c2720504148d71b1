"""Which adapter stands behind which name: the only module that knows them."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from kstate.client import Client, ProcessorRef
from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.plain import PlainMessages
from kstate.codec.port import Messages
from kstate.codec.registry import Ids, Registry
from kstate.codec.schemas import check_book
from kstate.config import DEFAULT_PARTITIONS, Config, index_of, kafka_properties, registry_of
from kstate.core.context import Machine
from kstate.core.policy import Policy
from kstate.core.topics import Topics
from kstate.errors import ConfigError, KStateError, NoSuchLog, SchemaError
from kstate.log.port import Log, Member
from kstate.processor import Processor, definition_of
from kstate.query.index import Indexes
from kstate.runtime.partitions import Partitions
from kstate.runtime.schema_topic import SchemaTopic
from kstate.runtime.slot import Slot
from kstate.runtime.startup import look_around, prepare_schemas, prepare_topics, warn_of
from kstate.runtime.worker import Worker
from kstate.store.port import Store

if TYPE_CHECKING:
    from kstate.event_handler import EventHandler
    from kstate.projection.definition import Projection
    from kstate.projection.handling import HandlerRunner
    from kstate.projection.site import Site

F = TypeVar("F")

STORES = "kstate.stores"

AnyProcessor = type[Processor[Any]]


def open_log(url: str, kafka: Mapping[str, str] | None = None, *, create: bool = True) -> Log:
    """The log at ``url``; raises `ConfigError` for one that is no log's.

    ``kafka`` are librdkafka's properties, by default those of the environment.  ``create``: an
    embedded log whose file is not there is made; otherwise it raises `NoSuchLog`.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from kstate.log.embedded import EmbeddedLog

        if not create:
            _refuse_missing(url)
        return EmbeddedLog.from_url(url)
    if scheme == "kafka":
        from kstate.log.kafka import KafkaLog

        return KafkaLog.from_url(url, kafka_properties() if kafka is None else kafka)
    raise ConfigError(
        f"{url!r} names no log: write kafka://HOST:PORT or sqlite:FILE, like sqlite:bank.db"
    )


def _refuse_missing(url: str) -> None:
    path = unquote(urlsplit(url).path)
    if path not in ("", ":memory:") and not Path(path).exists():
        raise NoSuchLog(
            f"there is no log at {url}: check its name, or start a worker on it (kstate run)"
        )


def clean(log: Log, topics: Iterable[str]) -> bool:
    """Lets the log's cleaner pass over the topics now; False where it comes when it likes."""
    from kstate.log.embedded import EmbeddedLog

    if not isinstance(log, EmbeddedLog):
        return False
    for topic in topics:
        log.compact(topic)
    return True


def open_registry(conf: Mapping[str, str]) -> Registry | None:
    """The schema registry at the ``url`` among the properties of its client, not asked yet; None
    where there are none.  Raises `ConfigError`."""
    properties = dict(conf)
    if not properties:
        return None
    url = properties.pop("url", "")
    from kstate.codec.registry_client import RegistryClient

    return RegistryClient(url, properties)


def open_store(spec: str, directory: Path) -> Store:
    """The store named by ``NAME[?option=value&…]``, in ``directory``."""
    name, _, query = spec.partition("?")
    found = list(entry_points(group=STORES, name=name))
    if not found:
        known = ", ".join(sorted({each.name for each in entry_points(group=STORES)}))
        raise ConfigError(f"there is no store {name!r}; installed are: {known}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    store: Store = found[0].load()(directory, **options)
    return store


def load_processor(target: str, processors: Sequence[str] = ()) -> AnyProcessor:
    """The class at ``module:Class``, or that of this name among the targets in ``processors``."""
    if ":" in target:
        return _import(target)
    loaded = [_import(each) for each in processors]
    for processor in loaded:
        if processor.name == target:
            return processor
    known = ", ".join(processor.name for processor in loaded) or "none"
    raise ConfigError(
        f"{target!r} names no processor: write module:Class, like processors.bank:Bank, "
        f"or list it under processors in kstate.toml (there: {known})"
    )


def _import(target: str) -> AnyProcessor:
    module_name, _, class_name = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a processor lies where the user stands
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{target}: {module_name} cannot be imported ({error})") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Processor)):
        names = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Processor) and value is not Processor
        ]
        there = f"; there are: {', '.join(names)}" if names else ""
        raise ConfigError(f"{module_name} has no processor {class_name!r}{there}")
    return found


def build_workers(
    config: Config,
    log: Log,
    targets: Sequence[AnyProcessor],
    clock: Callable[[], float] = time.time,
) -> list[Worker]:
    """A worker for each processor, with all their topics and schemas in place.

    ``clock`` gives seconds since the epoch: see `Worker`.
    """
    registry = open_registry(config.registry)
    warn_of(log)
    counts = {}
    for processor in targets:
        topics = Topics.of(processor.name, config.prefix)
        counts[topics] = prepare_topics(log, topics, config.partitions or None, DEFAULT_PARTITIONS)
    workers: list[Worker] = []
    try:
        for processor, (topics, count) in zip(targets, counts.items(), strict=True):
            workers.append(_build_worker(config, log, processor, topics, count, clock, registry))
    except BaseException:
        for worker in workers:
            worker.give_up()  # another try is to find its place free
        raise
    return workers


def _build_worker(
    config: Config,
    log: Log,
    processor: AnyProcessor,
    topics: Topics,
    count: int,
    clock: Callable[[], float],
    registry: Registry | None,
) -> Worker:
    definition = definition_of(processor)
    codec, schemas = codec_of(log, topics, processor, registry)
    schemas.refresh()
    refuse_unreadable(codec)
    prepare_schemas(log, topics, schemas, count, int(clock() * 1000))
    around = look_around(log, topics, count, definition.sends, config.prefix, config.reply_topics)
    limit = min(log.max_record_bytes, around.max_record_bytes)
    machine = Machine(definition, codec, replace(config.policy, max_record_bytes=limit))
    slot = Slot.take(config.data, topics.group)
    try:
        store = open_store(config.store, slot.directory / "store")
    except BaseException:
        slot.release()
        raise
    partitions = Partitions(machine, log, store, topics, around, config, clock)
    return Worker(machine, log, slot, topics, partitions, config, clock)


def refuse_unreadable(codec: AvroCodec) -> None:
    """Raises `SchemaError` when today's code cannot read what the processor has stored."""
    events = {entry.type_name for entry in codec.book if entry.kind == "event"}
    sentences = [
        finding.sentence
        for finding in check_book(codec, codec.book)
        if finding.verdict == "incompatible"
        or (finding.verdict == "missing" and finding.type_name in events)
    ]
    if sentences:
        raise SchemaError(f"{codec.processor} cannot run: {'; '.join(sentences)}")


def machine_of(
    log: Log,
    topics: Topics,
    processor: AnyProcessor,
    policy: Policy | None = None,
    registry: Registry | None = None,
) -> tuple[Machine, SchemaTopic]:
    """A processor's machine, and the topic its codec learns schemas from."""
    codec, schemas = codec_of(log, topics, processor, registry)
    return Machine(definition_of(processor), codec, policy or Policy()), schemas


def codec_of(
    log: Log, topics: Topics, processor: AnyProcessor, registry: Registry | None = None
) -> tuple[AvroCodec, SchemaTopic]:
    """A processor's codec, and the topic it learns schemas from."""
    book = Book()
    schemas = SchemaTopic(log, topics, book)
    definition = definition_of(processor)
    if registry is None:
        return AvroCodec(definition, book, schemas.refresh), schemas
    from kstate.codec.registry_codec import RegistryCodec

    codec = RegistryCodec(definition, Ids(registry, book), book, schemas.refresh)
    schemas.register = codec.register
    return codec, schemas


def connect(
    url: str,
    *,
    prefix: str = "",
    kafka: Mapping[str, str] | None = None,
    schema_registry: str | Mapping[str, str] | None = None,
    index: str | Path | None = None,
) -> Client:
    """A client of the log at ``url`` (``kafka://localhost:9092``, ``sqlite:bank.db``), whose
    topics bear ``prefix``.

    ``kafka`` are librdkafka's properties (``{"sasl.password": …}``), by default those of the
    environment (``KSTATE_KAFKA_SASL_PASSWORD``).  ``schema_registry`` is the URL of the registry
    whose ids records bear (``http://localhost:8081``), by default that of the environment
    (``KSTATE_SCHEMA_REGISTRY``), its client's properties then those of the environment
    (``KSTATE_SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO``); or these properties, with ``url`` among them;
    "": none.  ``index`` is a directory in which the client keeps a local index of each journal that
    it queries (`kstate.query.index`), by default that of the environment (``KSTATE_INDEX``); "":
    none.  Raises `ConfigError` for a URL that names no log, `NoSuchLog` for an embedded log that no
    worker has made yet, `LogError` for a log that cannot be used.
    """
    registry = open_registry(
        schema_registry if isinstance(schema_registry, Mapping) else registry_of(schema_registry)
    )
    log = open_log(url, kafka, create=False)

    plain: dict[Topics, tuple[Book, SchemaTopic]] = {}  # of processors given by their names

    def plain_of(topics: Topics) -> tuple[Book, SchemaTopic]:
        if topics not in plain:
            book = Book()
            plain[topics] = book, SchemaTopic(log, topics, book)
        return plain[topics]

    def messages(topics: Topics, processor: ProcessorRef) -> Messages:
        if not isinstance(processor, str):
            return codec_of(log, topics, processor, registry)[0]
        book, schemas = plain_of(topics)
        if registry is None:
            return PlainMessages(book, schemas.refresh)
        from kstate.codec.registry_codec import RegistryMessages

        return RegistryMessages(book, Ids(registry, book), schemas.refresh)

    def machine(topics: Topics, processor: ProcessorRef) -> Machine:
        if isinstance(processor, str):
            raise KStateError(
                f"folding events needs the code of {processor}: give the processor's class"
            )
        return machine_of(log, topics, processor, registry=registry)[0]

    def published(topics: Topics) -> bool:
        _, schemas = plain_of(topics)
        schemas.refresh()
        return schemas.meta is not None  # it is written after the schemas of a first worker

    directory = index_of() if index is None else str(index)
    indexes = Indexes(Path(directory), log) if directory else None
    return Client(log, prefix, messages, machine, published, indexes)


def load_follower(target: str, base: type[F]) -> type[F]:
    """The projection or event handler at ``module:Class``; raises `ConfigError`."""
    module_name, _, class_name = target.partition(":")
    kind = "projection" if base.__name__ == "Projection" else "event handler"
    if not class_name:
        raise ConfigError(f"{target!r} names no {kind}: write module:Class")
    if "" not in sys.path:
        sys.path.insert(0, "")  # it lies where the user stands
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{target}: {module_name} cannot be imported ({error})") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, base) and found is not base):
        raise ConfigError(f"{module_name} has no {kind} {class_name!r}")
    return found


def _seats(config: Config, log: Log, topic: str) -> Callable[[str], Member]:
    """Seats in groups on a topic; the name in each is kept in the data directory."""
    slots: dict[str, Slot] = {}

    def join(group: str) -> Member:
        if group not in slots:
            slots[group] = Slot.take(config.data, group)  # until the process ends
        return log.join(group, topic, slots[group].instance)

    return join


def build_projection(
    config: Config, log: Log, projection: type[Projection], database: str | None = None
) -> Site:
    """A projection with all that it stands on; asks neither the log nor the database.

    ``database`` is the URL, by default that of the class.  Raises `ConfigError`.
    """
    from kstate.projection.database import Database
    from kstate.projection.definition import url_of
    from kstate.projection.reading import Reading
    from kstate.projection.site import Site

    topics = Topics.of(projection.source.name, config.prefix)
    registry = open_registry(config.registry)
    messages = codec_of(log, topics, projection.source, registry)[0]
    return Site(
        projection=projection(),
        topics=topics,
        log=log,
        database=Database(url_of(projection, database)),
        reading=Reading(messages, projection.source, projection.__kstate_handlers__),
        join=_seats(config, log, topics.journal),
        batch_records=config.batch_records,
    )


def build_handler(config: Config, log: Log, handler: type[EventHandler]) -> HandlerRunner:
    """A process of an event handler; asks nothing of the log yet."""
    from kstate.projection.following import journal_of
    from kstate.projection.handling import HandlerRunner
    from kstate.projection.reading import Reading

    topics = Topics.of(handler.source.name, config.prefix)
    registry = open_registry(config.registry)
    messages = codec_of(log, topics, handler.source, registry)[0]
    join = _seats(config, log, topics.journal)
    return HandlerRunner(
        handler(),
        log,
        Reading(messages, handler.source, handler.__kstate_handlers__),
        lambda: join(f"{topics.group}.handler.{handler.name}"),
        lambda: journal_of(log, topics.journal, topics.group),
    )
