"""What must hold of a run, whatever was killed and when.  Each check returns its violations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import zip_longest

from crash_evidence import Evidence
from crash_model import EventRecord, Model


def violations(evidence: Evidence, model: Model) -> list[str]:
    """Everything that is wrong; ``model`` has run the commands of the evidence."""
    checks = (
        seqs_are_contiguous,
        no_command_has_its_events_twice,
        the_journal_is_the_models,
        each_question_has_its_reply_once,
        what_was_acknowledged_is_true,
        each_transfer_arrives_once,
        states_are_the_models,
        money_is_conserved,
        snapshots_are_folds,
        nothing_is_a_dead_letter,
    )
    return [f"{check.__name__}: {each}" for check in checks for each in check(evidence, model)]


def by_account(evidence: Evidence) -> dict[str, list[EventRecord]]:
    """The journal of each account, in the order of the log."""
    found = defaultdict(list)
    for event in evidence.events:
        found[event.account].append(event)
    return found


def seqs_are_contiguous(evidence: Evidence, model: Model) -> Iterator[str]:
    for account, events in by_account(evidence).items():
        for expected, event in enumerate(events, 1):
            if event.seq != expected:
                yield f"{account}: seq {event.seq} where {expected} belongs"
                break


def no_command_has_its_events_twice(evidence: Evidence, model: Model) -> Iterator[str]:
    found = defaultdict(list)
    for event in evidence.events:
        found[event.account, event.command_id].append(event)
    for (account, command_id), events in found.items():
        first = events[0]
        for number, event in enumerate(events):
            if event.source != first.source or event.seq != first.seq + number:
                yield f"{account}: {command_id} at {first} and again at {event}"
                break


def the_journal_is_the_models(evidence: Evidence, model: Model) -> Iterator[str]:
    found = by_account(evidence)
    for account in sorted(found.keys() | model.accounts.keys()):
        expected = model.accounts[account].events if account in model.accounts else []
        for event, wanted in zip_longest(found.get(account, []), expected):
            if event != wanted:
                yield f"{account}: {event}, in the model {wanted}"
                break


def each_question_has_its_reply_once(evidence: Evidence, model: Model) -> Iterator[str]:
    for command_id in sorted(evidence.replies.keys() | model.replies.keys()):
        found, expected = evidence.replies.get(command_id, []), model.replies.get(command_id, [])
        if found != expected:
            yield f"{command_id}: {found}, in the model {expected}"


def what_was_acknowledged_is_true(evidence: Evidence, model: Model) -> Iterator[str]:
    executed = {event.command_id for event in evidence.events}
    for command_id, told in evidence.acknowledged.items():
        possible = [(reply.status, reply.value) for reply in model.replies.get(command_id, [])]
        for reply in told:
            if (reply.status, reply.value) not in possible:
                yield f"{command_id}: its caller was told {reply}, in the model {possible}"
            if reply.status == "ok" and command_id not in executed:
                yield f"{command_id}: its caller was told {reply}, it has no event"


def each_transfer_arrives_once(evidence: Evidence, model: Model) -> Iterator[str]:
    sent = [each for each in evidence.commands if each.command_id not in evidence.planned]
    ids = Counter(each.command_id for each in sent)
    yield from (f"{each} was sent {count} times" for each, count in ids.items() if count > 1)
    found = Counter((each.account, each.fields["amount"]) for each in sent)
    for what in sorted(found.keys() | model.sent.keys()):
        if found[what] != model.sent[what]:
            yield f"{what} was sent {found[what]} times, in the model {model.sent[what]}"


def states_are_the_models(evidence: Evidence, model: Model) -> Iterator[str]:
    expected = {name: each for name, each in model.accounts.items() if each.events}
    for name in sorted(expected.keys() | evidence.asked.keys() | evidence.folded.keys()):
        wanted = expected[name].state if name in expected else None
        seq = len(expected[name].events) if name in expected else 0
        if evidence.asked.get(name) != wanted:
            yield f"{name}: its owner tells {evidence.asked.get(name)}, in the model {wanted}"
        if evidence.folded.get(name) != (seq, wanted):
            yield f"{name}: it folds to {evidence.folded.get(name)}, in the model {seq, wanted}"


def money_is_conserved(evidence: Evidence, model: Model) -> Iterator[str]:
    """What is on all accounts came from outside and was not taken out again."""
    held = sum(state.balance for state in evidence.asked.values())
    put_in = taken_out = 0
    for event in evidence.events:
        if event.kind == "Deposited":
            put_in += event.amount if event.command_id in evidence.planned else 0
        elif event.to is None:
            taken_out += event.amount
    if held != put_in - taken_out:
        yield f"{held} on all accounts, but {put_in} came in and {taken_out} went out"


def snapshots_are_folds(evidence: Evidence, model: Model) -> Iterator[str]:
    for account, seq, state in evidence.snapshots:
        states = model.accounts[account].states if account in model.accounts else []
        if seq >= len(states) or states[seq] != state:
            yield f"{account}: the snapshot at {seq} says {state}"


def nothing_is_a_dead_letter(evidence: Evidence, model: Model) -> Iterator[str]:
    if evidence.dead_letters:
        yield f"there are {evidence.dead_letters}"
