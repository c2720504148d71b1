"""``kstate verify``: whether a journal is sound."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from kstate.cli.options import common, connected, examples, json_flag, opened, reference
from kstate.cli.output import as_json, line
from kstate.cli.progress import Shown, progress
from kstate.config import Config
from kstate.core.topics import Topics
from kstate.errors import DamageFound
from kstate.processor import name_of
from kstate.runtime.collector import relax_collector
from kstate.verify.check import PATIENCE_S, Verification
from kstate.verify.findings import Counts, Finding

SHOWN = 100


@click.command(
    epilog=examples(
        "kstate verify bank",
        "kstate verify processors.bank:Bank --json > findings.jsonl",
        "kstate verify bank --log kafka://localhost:9092 --limit 10",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=SHOWN,
    show_default=True,
    metavar="N",
    help="Show the first N damages alone; all are counted.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0, min_open=True),
    default=PATIENCE_S,
    show_default=True,
    metavar="S",
    help="After how many seconds an open transaction is hanging.",
)
@json_flag("JSON lines, the summary last")
def verify(config: Config, target: str, limit: int, patience: float, as_jsons: bool) -> None:
    """Check a journal and its snapshots for damage.

    Reads all that is there now, beside running workers, and changes nothing. By its name a
    processor's records are read by the schemas on the log; given as module:Class they are read and
    folded by that code, and snapshots are held against the folds. Ends with exit code 34 when there
    is damage.
    """
    processor = reference(target, config)
    name = name_of(processor)
    log = opened(config)
    try:
        with connected(config) as client:
            client.find(processor, schemas=isinstance(processor, str))
            machine = None if isinstance(processor, str) else client.machine(processor)
            verification = Verification(
                log,
                Topics.of(name, config.prefix),
                client.messages(processor),
                machine,
                patience_s=patience,
            )
            total = verification.size()
            with progress("records", total, pauses=True) as shown, _rare_collections():
                verification.watch = shown.advance
                _show(verification, limit, as_jsons, shown)
    finally:
        log.close()
    counts = verification.counts
    _summary(name, counts, min(limit, counts.damages), machine is not None, as_jsons)
    if counts.damages:
        raise DamageFound(name, counts.damages)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Has the collector of cycles come as rarely as in a worker: it took a third of the time."""
    before = gc.get_threshold()
    relax_collector()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _show(verification: Verification, limit: int, as_jsons: bool, shown: Shown) -> None:
    at_once = sys.stdout.isatty()
    for finding in verification.findings():
        if finding.severity == "damage" and verification.counts.damages > limit:
            continue
        shown.clear()
        line(as_json(asdict(finding)) if as_jsons else _text(finding), at_once)


def _text(finding: Finding) -> str:
    """A finding as one line: where, what of whom, and what is wrong."""
    where = f"{finding.topic} {finding.partition}:{finding.offset}"
    of = finding.persist_id or ""
    if finding.seq is not None:
        of = f"{of}@{finding.seq}"
    parts = (where, of, f"{finding.kind}: {finding.sentence}")
    return "  ".join(_harmless(part) for part in parts if part)


def _harmless(text: str) -> str:
    """A text without what a terminal might obey, which a damaged record may hold."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _summary(name: str, counts: Counts, shown: int, folded: bool, as_jsons: bool) -> None:
    if as_jsons:
        line(as_json({"kind": "summary", "sound": not counts.damages, **asdict(counts)}), True)
        return
    looked = (
        f"{_many(counts.partitions, 'partition')}, {_many(counts.events, 'event')} of "
        f"{_many(counts.persist_ids, 'persist id')}, {_many(counts.snapshots, 'snapshot')}"
    )
    if folded:
        looked += f" ({counts.compared:,} held against folds)"
    if counts.damages:
        verdict = _many(counts.damages, "damage")
        if shown < counts.damages:
            verdict += f", {shown:,} of them shown"
    else:
        verdict = "sound"
    line(f"{name}: {verdict}; {looked}", True)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
