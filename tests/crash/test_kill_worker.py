"""The short form of `kill_worker`: nothing lost, nothing twice, whenever the worker is killed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from crash_checks import violations
from crash_evidence import Evidence
from crash_model import Model, State
from kill_worker import Outcome, options_of, run

KILLS = 4


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    arguments = f"--commands 3000 --kills {KILLS} --accounts 20 --seed 7"
    return run(options_of(arguments.split()))


def test_a_worker_killed_again_and_again_loses_nothing_and_does_nothing_twice(
    outcome: Outcome,
) -> None:
    assert [each for each in outcome.wrong if not each.startswith("late: ")] == []


def test_each_kill_came_while_commands_were_under_way(outcome: Outcome) -> None:
    assert len(outcome.kills) == KILLS
    assert all(kill.stored for kill in outcome.kills)


# -- the judge itself: what is spoilt is found ---------------------------------------------------


def lose_an_event(evidence: Evidence) -> None:
    del evidence.events[100]


def repeat_an_event(evidence: Evidence) -> None:
    event = evidence.events[100]
    last = max(each.seq for each in evidence.events if each.account == event.account)
    evidence.events.append(event._replace(seq=last + 1, source="0:999999"))


def swap_two_seqs(evidence: Evidence) -> None:
    first = evidence.events[100]
    number = next(
        n
        for n, e in enumerate(evidence.events)
        if (e.account, e.seq) == (first.account, first.seq + 1)
    )
    evidence.events[100] = first._replace(seq=first.seq + 1)
    evidence.events[number] = evidence.events[number]._replace(seq=first.seq)


def change_an_amount(evidence: Evidence) -> None:
    evidence.events[100] = evidence.events[100]._replace(amount=101)


def lose_a_reply(evidence: Evidence) -> None:
    next(iter(evidence.replies.values())).pop()


def reply_twice(evidence: Evidence) -> None:
    replies = next(iter(evidence.replies.values()))
    replies.append(replies[-1])


def tell_a_caller_something_else(evidence: Evidence) -> None:
    told = next(iter(evidence.acknowledged.values()))
    told[0] = told[0]._replace(value=-1)


def send_a_transfer_twice(evidence: Evidence) -> None:
    sent = next(each for each in evidence.commands if each.command_id not in evidence.planned)
    evidence.commands.append(sent)


def lose_a_transfer(evidence: Evidence) -> None:
    sent = next(each for each in evidence.commands if each.command_id not in evidence.planned)
    evidence.commands.remove(sent)


def tell_another_state(evidence: Evidence) -> None:
    evidence.asked[next(iter(evidence.asked))] = State(1, 1)


def forget_an_account(evidence: Evidence) -> None:
    del evidence.folded[next(iter(evidence.folded))]


def make_money(evidence: Evidence) -> None:
    account, state = next(iter(evidence.asked.items()))
    evidence.asked[account] = state._replace(balance=state.balance + 1)


def spoil_a_snapshot(evidence: Evidence) -> None:
    snapshot = evidence.snapshots[0]
    evidence.snapshots[0] = snapshot._replace(seq=snapshot.seq - 1)


def dead_letter_a_command(evidence: Evidence) -> None:
    evidence.dead_letters = 1


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lose_an_event, "seqs_are_contiguous"),
        (repeat_an_event, "no_command_has_its_events_twice"),
        (swap_two_seqs, "seqs_are_contiguous"),
        (change_an_amount, "the_journal_is_the_models"),
        (lose_a_reply, "each_question_has_its_reply_once"),
        (reply_twice, "each_question_has_its_reply_once"),
        (tell_a_caller_something_else, "what_was_acknowledged_is_true"),
        (send_a_transfer_twice, "each_transfer_arrives_once"),
        (lose_a_transfer, "each_transfer_arrives_once"),
        (tell_another_state, "states_are_the_models"),
        (forget_an_account, "states_are_the_models"),
        (make_money, "money_is_conserved"),
        (spoil_a_snapshot, "snapshots_are_folds"),
        (dead_letter_a_command, "nothing_is_a_dead_letter"),
    ],
)
def test_what_is_wrong_is_found(
    outcome: Outcome, spoil: Callable[[Evidence], None], check: str
) -> None:
    evidence = copy.deepcopy(outcome.evidence)
    spoil(evidence)
    found = violations(evidence, outcome.model)
    assert any(each.startswith(f"{check}: ") for each in found)


def test_the_model_does_not_run_a_command_id_twice(outcome: Outcome) -> None:
    command = next(
        each
        for each in outcome.evidence.commands
        if each.kind == "Deposit" and each.fields["amount"] > 0
    )
    model = Model()
    model.run_all([command, command._replace(offset=command.offset + 1)])
    assert len(model.accounts[command.account].events) == 1
