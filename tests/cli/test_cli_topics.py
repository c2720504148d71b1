"""``kstate topics``, and clusters that cannot be reached."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from shells import Processes, Shell, ended, shell_on
from shop import Shop
from world import World

from kstate.core.messages import Write
from kstate.core.topics import Topics
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Cleanup, TopicSpec
from kstate.runtime.schema_topic import META_KEY
from kstate.runtime.startup import meta_of
from kstate.runtime.topic_check import topic_specs
from kstate.testing.broker import administrator
from kstate.testing.kafka_local import NoLocalKafka, free_ports, local_kafka
from kstate.testing.plugin import without

KINDS = ("commands", "journal", "snapshots", "replies", "dead-letters", "schemas")


@pytest.fixture
def empty(world: World, directory: Path) -> Shell:
    """A shell on a log without topics under its prefix."""
    return shell_on({"KSTATE_LOG": world.url, "KSTATE_PREFIX": world.prefix})


def findings(shell: Shell, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    result = shell("topics", "--json", *arguments)
    assert result.exit_code == code, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def verdicts(found: list[dict[str, Any]], *wanted: str) -> dict[str, str]:
    """Kind of topic → verdict, for the verdicts asked for."""
    return {
        each["topic"].rpartition(".")[2]: each["verdict"]
        for each in found
        if each["verdict"] in wanted
    }


def sentences(found: list[dict[str, Any]], verdict: str) -> list[str]:
    return [each["sentence"] for each in found if each["verdict"] == verdict]


# -- creating --------------------------------------------------------------------------------------


def test_what_is_missing_is_created(empty: Shell, world: World) -> None:
    found = findings(empty, "shop", "--partitions", "3")
    assert verdicts(found, "created", "ok") == dict.fromkeys(KINDS, "created")
    there = world._logs.log.topics(world.topics(Shop)[:6])
    assert [info.partitions for info in there.values()] == [3, 3, 3, 4, 3, 1]


def test_what_is_there_is_left_as_it_is(empty: Shell, world: World) -> None:
    findings(empty, "shop", "--partitions", "3")
    before = world._logs.log.topics(world.topics(Shop)[:6])
    found = findings(empty, "shop")
    assert verdicts(found, "created", "ok") == dict.fromkeys(KINDS, "ok")
    assert world._logs.log.topics(world.topics(Shop)[:6]) == before


def test_a_worker_takes_the_topics_that_were_created(empty: Shell, world: World) -> None:
    assert empty("topics", "shop:Shop", "--partitions", "2").exit_code == 0
    world.run(Shop, partitions=0)
    assert empty("call", "shop", "o-1", "Put", "count=2").stdout == "2\n"


def test_each_topic_is_a_line(empty: Shell, world: World) -> None:
    result = empty("topics", "shop", "--partitions", "1")
    made = [line for line in result.stdout.splitlines() if line.startswith("created")]
    assert made == [
        f"created  {world.prefix}shop.{kind}: {4 if kind == 'replies' else 1} "
        f"partition{'s' if kind == 'replies' else ''}"
        for kind in KINDS
    ]


def test_several_processors_are_created_at_once(empty: Shell, world: World) -> None:
    found = findings(empty, "shop", "store")
    made = {(each["processor"], each["verdict"]) for each in found if each["processor"]}
    assert {("shop", "created"), ("store", "created")} <= made


# -- checking --------------------------------------------------------------------------------------


def test_a_check_creates_nothing_and_what_is_missing_is_an_error(
    empty: Shell, world: World
) -> None:
    found = findings(empty, "shop", "--check", code=32)
    assert verdicts(found, "missing") == dict.fromkeys(KINDS, "missing")
    assert world._logs.log.topics(world.topics(Shop)[:6]) == {}


def test_a_check_makes_no_log_of_a_mistyped_name(directory: Path) -> None:
    result = shell_on({})("topics", "shop", "--check", "--log", "sqlite:bnak.db")
    assert result.exit_code == 3
    assert list(directory.iterdir()) == []


def test_another_partition_count_is_wrong(empty: Shell, world: World) -> None:
    findings(empty, "shop", "--partitions", "3")
    found = findings(empty, "shop", "--partitions", "4", code=32)
    (wrong,) = sentences(found, "wrong")
    assert wrong.startswith(f"{world.topics(Shop).commands} has 3 partitions, not 4: ")


def created(world: World, **others: tuple[int, Cleanup]) -> Topics:
    """The topics of a processor with two partitions, some of them others."""
    topics = world.topics(Shop)
    specs = {spec.name: spec for spec in topic_specs(topics, 2)}
    for kind, (partitions, cleanup) in others.items():
        name = getattr(topics, kind)
        specs[name] = TopicSpec(name, partitions, cleanup)
    world._logs.log.create_topics(specs.values())
    return topics


@pytest.mark.parametrize(
    ("kind", "partitions", "cleanup", "told"),
    [
        ("journal", 3, "compact", "has 3 partitions, others of .*shop have 2: they must be"),
        ("snapshots", 1, "compact", "has 1 partitions, others of .*shop have 2"),
        ("dead_letters", 1, "compact,delete", "has 1 partitions"),
        ("dead_letters", 2, "delete", "has cleanup delete, it needs compact,delete: change its"),
        ("schemas", 2, "compact", "has 2 partitions, it needs 1"),
        ("journal", 2, "delete", "has cleanup delete, it needs compact: change its cleanup"),
        ("snapshots", 2, "delete", "has cleanup delete, it needs compact"),
        ("commands", 2, "compact", "has cleanup compact, it needs delete"),
        ("replies", 4, "compact", "has cleanup compact, it needs delete"),
    ],
)
def test_a_topic_that_a_worker_would_refuse_is_wrong(
    empty: Shell, world: World, kind: str, partitions: int, cleanup: Cleanup, told: str
) -> None:
    topics = created(world, **{kind: (partitions, cleanup)})
    result = empty("topics", "shop")
    assert result.exit_code == 32
    (wrong,) = [line for line in result.stdout.splitlines() if line.startswith("wrong")]
    assert re.match(rf"wrong    {getattr(topics, kind)} {told}", wrong), wrong
    assert result.stderr.splitlines() == [
        "kstate: 1 of 6 topics cannot be used as they are: mend them as said above"
    ]


def test_all_that_is_wrong_is_told_and_nothing_is_created(empty: Shell, world: World) -> None:
    topics = world.topics(Shop)
    world._logs.log.create_topics(
        [TopicSpec(topics.journal, 2, "delete"), TopicSpec(topics.snapshots, 3, "compact")]
    )
    found = findings(empty, "shop", code=32)
    assert verdicts(found, "wrong", "missing") == {
        kind: "wrong" if kind in ("journal", "snapshots") else "missing" for kind in KINDS
    }
    assert set(world._logs.log.topics(topics[:6])) == {topics.journal, topics.snapshots}


def test_the_partitions_of_topics_that_are_there_count_for_those_that_are_missing(
    empty: Shell, world: World
) -> None:
    world._logs.log.create_topics([TopicSpec(world.topics(Shop).journal, 5, "compact")])
    findings(empty, "shop")
    assert world._logs.log.topics([world.topics(Shop).commands]).popitem()[1].partitions == 5


def test_a_topic_that_was_created_anew_is_wrong(directory: Path) -> None:
    url = f"sqlite:{directory}/log.db"
    shell = shell_on({"KSTATE_LOG": url})
    log = EmbeddedLog.from_url(url)
    topics = Topics.of("shop")
    log.create_topics(topic_specs(topics, 2))
    producer = log.producer()
    meta = json.dumps(meta_of(log, topics, 2)).encode()
    producer.send(Write(topics.schemas, 0, META_KEY, meta, [], 0))
    producer.flush(5)
    producer.close()
    assert shell("topics", "shop").exit_code == 0
    log.delete_topic(topics.journal)
    log.create_topics([TopicSpec(topics.journal, 2, "compact")])
    log.close()
    result = shell("topics", "shop")
    assert result.exit_code == 32
    assert "wrong    shop.journal was deleted and created anew since" in result.stdout


def begun(log: EmbeddedLog) -> Topics:
    """The topics of a processor that began and has an event."""
    topics = Topics.of("shop")
    log.create_topics(topic_specs(topics, 2))
    meta = json.dumps(meta_of(log, topics, 2)).encode()
    producer = log.producer()
    producer.send(Write(topics.schemas, 0, META_KEY, meta, [], 0))
    producer.send(Write(topics.journal, 0, b"a@1", b"", [], 0))
    producer.flush(5)
    producer.close()
    return topics


@pytest.mark.parametrize("kind", ["commands", "journal", "snapshots", "schemas"])
@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_a_topic_that_was_lost_is_wrong_and_not_created(
    directory: Path, kind: str, arguments: tuple[str, ...]
) -> None:
    url = f"sqlite:{directory}/log.db"
    shell = shell_on({"KSTATE_LOG": url})
    log = EmbeddedLog.from_url(url)
    topics = begun(log)
    assert verdicts(findings(shell, "shop", *arguments), "ok") == dict.fromkeys(KINDS, "ok")
    log.delete_topic(getattr(topics, kind))
    found = findings(shell, "shop", *arguments, code=32)
    (wrong,) = sentences(found, "wrong")
    assert wrong.startswith(f"shop.{kind} is missing, but shop.")
    assert verdicts(found, "missing") == {}
    assert getattr(topics, kind) not in log.topics()
    log.close()


def test_a_schemas_topic_that_was_lost_and_created_is_wrong(directory: Path) -> None:
    url = f"sqlite:{directory}/log.db"
    log = EmbeddedLog.from_url(url)
    topics = begun(log)
    log.delete_topic(topics.schemas)
    log.create_topics([TopicSpec(topics.schemas, 1, "compact")])
    log.close()
    found = findings(shell_on({"KSTATE_LOG": url}), "shop", code=32)
    (wrong,) = sentences(found, "wrong")
    assert wrong.startswith("shop.schemas has no meta record, but shop.journal has had records: ")


@pytest.mark.parametrize("kind", ["replies", "dead_letters"])
def test_a_topic_on_which_nothing_is_built_is_created_again(directory: Path, kind: str) -> None:
    url = f"sqlite:{directory}/log.db"
    log = EmbeddedLog.from_url(url)
    topics = begun(log)
    log.delete_topic(getattr(topics, kind))
    log.close()
    found = findings(shell_on({"KSTATE_LOG": url}), "shop")
    assert verdicts(found, "created") == {kind.replace("_", "-"): "created"}


def test_topics_of_another_cluster_are_wrong_with_a_cure_of_their_own(
    cluster: World, bootstrap: str
) -> None:
    shell = shell_on({"KSTATE_LOG": cluster.url, "KSTATE_PREFIX": cluster.prefix})
    topics = created(cluster)
    meta = meta_of(cluster._logs.log, topics, 2) | {"cluster": "another", "topics": {}}
    value = json.dumps(meta).encode()
    cluster.produce(Shop, value, key=META_KEY, partition=0, topic=topics.schemas)
    (wrong,) = sentences(findings(shell, "shop", code=32), "wrong")
    assert wrong.startswith(
        f"{topics.schemas} tells of a processor that began on the cluster another, and this is "
    )
    assert "deleted" not in wrong


def test_topics_of_a_newer_kstate_are_wrong(empty: Shell, world: World) -> None:
    topics = created(world)
    world.produce(Shop, b'{"format": 99}', key=META_KEY, partition=0, topic=topics.schemas)
    (wrong,) = sentences(findings(empty, "shop", code=32), "wrong")
    assert wrong.startswith(f"{topics.schemas} was written by a newer kstate")


# -- what is weak ----------------------------------------------------------------------------------


@pytest.fixture
def cluster(bootstrap: str, directory: Path, tmp_path: Path) -> Iterator[World]:
    world = World(f"kafka://{bootstrap}", tmp_path)
    try:
        yield world
    finally:
        world.close()


def alter(bootstrap: str, topic: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = administrator(bootstrap)
    admin.incremental_alter_configs([resource])[resource].result(30)


@pytest.mark.parametrize(
    ("kind", "setting", "value", "told"),
    [
        ("commands", "message.timestamp.type", "CreateTime", "message.timestamp.type is Create"),
        ("commands", "retention.ms", "3600000", "retention.ms is 1 hour, not 7 days: commands"),
        ("commands", "retention.bytes", "1000000", "retention.bytes is 1000000: "),
        ("replies", "retention.ms", "60000", "retention.ms is 1 minute, not 1 hour: callers"),
        ("dead_letters", "retention.ms", "500", "retention.ms is 500 ms, not 30 days: commands"),
        ("journal", "delete.retention.ms", "86400000", "delete.retention.ms is 1 day, not 7 days"),
        ("snapshots", "delete.retention.ms", "0", "delete.retention.ms is 0 ms, not 7 days"),
        ("journal", "min.cleanable.dirty.ratio", "0.2", "min.cleanable.dirty.ratio is 0.2"),
        ("snapshots", "min.cleanable.dirty.ratio", "0.9", "min.cleanable.dirty.ratio is 0.9"),
        (
            "dead_letters",
            "min.cleanable.dirty.ratio",
            "0.9",
            "min.cleanable.dirty.ratio is 0.9, 0.1 is meant: those of an entity that was erased",
        ),
        ("journal", "max.message.bytes", "500000", "records up to 499412 bytes are taken"),
        ("journal", "unclean.leader.election.enable", "true", "unclean.leader.election.enable is"),
    ],
)
def test_a_setting_that_may_lose_records_is_weak_and_no_failure(
    cluster: World, bootstrap: str, kind: str, setting: str, value: str, told: str
) -> None:
    shell = shell_on({"KSTATE_LOG": cluster.url, "KSTATE_PREFIX": cluster.prefix})
    topic = getattr(created(cluster), kind)
    assert not [each for each in sentences(findings(shell, "shop"), "weak") if told in each]
    alter(bootstrap, topic, setting, value)

    def weak() -> bool:
        return any(
            each.startswith(f"{topic}: {told}")
            for each in sentences(findings(shell, "shop", "--check"), "weak")
        )

    cluster.until(weak, f"{setting} was told")


def test_a_cleanup_that_also_deletes_is_wrong(cluster: World, bootstrap: str) -> None:
    shell = shell_on({"KSTATE_LOG": cluster.url, "KSTATE_PREFIX": cluster.prefix})
    topic = created(cluster).journal
    alter(bootstrap, topic, "cleanup.policy", "compact,delete")

    def wrong() -> bool:
        return (
            f"{topic} has cleanup compact,delete, it needs compact"
            in shell("topics", "shop", "--check").stdout
        )

    cluster.until(wrong, "the cleanup policy was told")


def test_topics_with_the_same_weakness_share_a_line(cluster: World) -> None:
    shell = shell_on({"KSTATE_LOG": cluster.url, "KSTATE_PREFIX": cluster.prefix})
    topics = cluster.topics(Shop)
    short = [TopicSpec(n, 2, "compact", delete_retention_ms=1) for n in topics[1:3]]
    cluster._logs.log.create_topics(short)
    lines = shell("topics", "shop").stdout.splitlines()
    (told,) = [line for line in lines if "delete.retention.ms" in line]
    shared = f"weak     {topics.journal}, {topics.snapshots}: "
    assert told.startswith(f"{shared}delete.retention.ms is 1 ms, not 7 days: ")


def test_an_embedded_log_that_does_not_sync_is_weak(directory: Path) -> None:
    shell = shell_on({"KSTATE_LOG": "sqlite:log.db?sync=normal"})
    (weak,) = sentences(findings(shell, "shop"), "weak")
    assert weak.startswith("sync=normal: a power failure may take the last commits")


def test_an_embedded_log_that_syncs_has_no_weakness(directory: Path) -> None:
    assert sentences(findings(shell_on({"KSTATE_LOG": "sqlite:log.db"}), "shop"), "weak") == []


# -- clusters that cannot be reached ---------------------------------------------------------------


def test_a_closed_port_is_one_sentence(directory: Path) -> None:
    url = f"kafka://127.0.0.1:{free_ports(1)[0]}"
    result = shell_on({"KSTATE_LOG": url})("topics", "shop")
    assert result.exit_code == 31
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith(f"kstate: {url} cannot be reached: ")
    assert sentence.endswith("Connection refused")


def test_an_unknown_host_is_one_sentence(directory: Path) -> None:
    result = shell_on({"KSTATE_LOG": "kafka://no-such-host.invalid"})("topics", "shop")
    assert result.exit_code == 31
    (sentence,) = result.stderr.splitlines()
    assert "no-such-host.invalid:9092 cannot be reached: Failed to resolve" in sentence


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """``bootstrap.servers`` of a cluster that asks for a password."""
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="broker" password="inside" user_broker="inside" user_kstate="right";'
    )
    settings = {
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
    }
    try:
        with local_kafka(1, settings, "SASL_PLAINTEXT") as kafka:
            yield kafka.bootstrap
    except NoLocalKafka as error:
        without(error)


def secrets(password: str) -> dict[str, str]:
    return {
        "KSTATE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KSTATE_KAFKA_SASL_MECHANISM": "PLAIN",
        "KSTATE_KAFKA_SASL_USERNAME": "kstate",
        "KSTATE_KAFKA_SASL_PASSWORD": password,
    }


def test_the_right_password_opens_the_cluster(guarded: str, directory: Path) -> None:
    shell = shell_on({"KSTATE_LOG": f"kafka://{guarded}", **secrets("right")})
    assert len(sentences(findings(shell, "shop"), "created")) == 6


def test_a_wrong_password_is_one_sentence_that_does_not_tell_it(
    guarded: str, directory: Path
) -> None:
    shell = shell_on({"KSTATE_LOG": f"kafka://{guarded}", **secrets("wr0ng")})
    result = shell("topics", "shop")
    assert result.exit_code == 30
    (sentence,) = result.stderr.splitlines()
    assert "Invalid username or password; check the credentials" in sentence
    assert "wr0ng" not in sentence


def test_a_worker_with_a_wrong_password_ends_at_once(
    guarded: str, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in secrets("wr0ng").items():
        monkeypatch.setenv(name, value)
    processes.log = f"kafka://{guarded}"
    code, out, err = ended(processes.start("run", "shop:Shop"))
    assert (code, out) == (30, "")
    (sentence,) = err.splitlines()
    assert "Invalid username or password; check the credentials" in sentence


def test_a_cluster_that_is_spoken_to_in_another_protocol_is_one_sentence(
    guarded: str, directory: Path
) -> None:
    result = shell_on({"KSTATE_LOG": f"kafka://{guarded}"})("topics", "shop")
    assert result.exit_code == 31
    (sentence,) = result.stderr.splitlines()
    assert sentence.endswith("does it want another security.protocol?")
