"""``kstate topics``: creates the topics of processors, and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from kstate.cli.options import common, examples, json_flag, partitions, reference
from kstate.cli.output import as_json, line
from kstate.config import DEFAULT_PARTITIONS, Config
from kstate.core.topics import Topics
from kstate.errors import TopicError
from kstate.processor import name_of

if TYPE_CHECKING:
    from kstate.log.port import Log
    from kstate.runtime.topic_check import Finding, Survey


class Said(NamedTuple):
    """One line of what is said; ``sentence`` begins with the topic's name."""

    verdict: str  # created, ok, missing, wrong or weak
    processor: str | None  # None: something of the whole log
    topic: str | None
    sentence: str


@click.command(
    epilog=examples(
        "kstate topics bank --log kafka://localhost:9092 --partitions 12",
        "kstate topics processors.bank:Bank --check --json",
    )
)
@common
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@partitions
@click.option("--check", is_flag=True, help="Create nothing: a topic that is missing is an error.")
@json_flag("JSON lines, one per finding")
def topics(config: Config, targets: tuple[str, ...], check: bool, as_jsons: bool) -> None:
    """Create the topics of processors, and check them.

    TARGET is the name of a processor or module:Class. Topics that are missing are created with the
    right settings, unless one that is there is wrong. Fails when a worker would refuse a topic;
    what is weak is told, and is no failure.
    """
    from kstate.wiring import open_log

    names = [name_of(reference(target, config)) for target in targets]
    log = open_log(config.log, config.kafka, create=not check)
    try:
        found = [said for name in names for said in examined(log, config, name, check)]
        found += [Said("weak", None, None, sentence) for sentence in log.weaknesses()]
    finally:
        log.close()
    for text in map(as_json, map(Said._asdict, found)) if as_jsons else _lines(found):
        line(text)
    bad = {said.topic for said in found if said.verdict in ("wrong", "missing")}
    if bad:
        every = {said.topic for said in found if said.topic}
        raise TopicError(
            f"{len(bad)} of {len(every)} topics cannot be used as they are: mend them as said above"
        )


def examined(log: Log, config: Config, name: str, check: bool) -> Iterator[Said]:
    """Creates the topics of a processor that are missing, unless ``check``; what is to be said."""
    from kstate.runtime.topic_check import survey

    its = Topics.of(name, config.prefix)
    found = survey(log, its, config.partitions or None, DEFAULT_PARTITIONS)
    created: frozenset[str] = frozenset()
    if found.missing and not check and not any(each.verdict == "wrong" for each in found.findings):
        log.create_topics(found.missing)
        created = frozenset(spec.name for spec in found.missing)
        found = survey(log, its, config.partitions or None, DEFAULT_PARTITIONS)
    findings = [*found.findings, *_since_it_began(log, its, found)]
    wrong = {each.topic for each in findings if each.verdict == "wrong"}
    for topic, info in found.there.items():
        if topic not in wrong:
            verdict = "created" if topic in created else "ok"
            yield Said(verdict, name, topic, f"{topic}: {_count(info.partitions)}")
    for spec in found.missing:
        yield Said("missing", name, spec.name, f"{spec.name} does not exist: {_cure(name, check)}")
    for each in findings:
        text = f"{each.topic}{' ' if each.verdict == 'wrong' else ': '}{each.text}"
        yield Said(each.verdict, name, each.topic, text)


def _cure(name: str, check: bool) -> str:
    if check:
        return f"create it (kstate topics {name})"
    return "it is created once the others are right"


def _since_it_began(log: Log, its: Topics, found: Survey) -> list[Finding]:
    """What the schemas topic tells of the topics as they were; nothing for a new processor."""
    from kstate.codec.book import Book
    from kstate.runtime.schema_topic import SchemaTopic
    from kstate.runtime.startup import meta_of
    from kstate.runtime.topic_check import Finding, since_it_began

    if not {its.schemas, its.commands, its.journal, its.snapshots} <= found.there.keys():
        return []
    schemas = SchemaTopic(log, its, Book())
    try:
        schemas.refresh()
    except TopicError as error:
        return [Finding("wrong", its.schemas, str(error).removeprefix(f"{its.schemas} "))]
    if schemas.meta is None:
        return []
    return since_it_began(its, schemas.meta, meta_of(log, its, found.partitions))


def _lines(found: Iterable[Said]) -> list[str]:
    """A line each; topics with the same weakness share one."""
    lines: list[str] = []
    weak: dict[str, list[str]] = {}
    for verdict, _, topic, sentence in found:
        if verdict == "weak" and topic is not None:
            weak.setdefault(sentence.removeprefix(f"{topic}: "), []).append(topic)
        else:
            lines.append(f"{verdict:8} {sentence}")
    return lines + [f"{'weak':8} {', '.join(names)}: {text}" for text, names in weak.items()]


def _count(partitions: int) -> str:
    return f"{partitions} partition{'' if partitions == 1 else 's'}"
