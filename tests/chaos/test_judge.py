"""The judge of chaos is able to find something, and forgives no more than it should."""

from __future__ import annotations

from pathlib import Path

from chaos_checks import forgive_second_answers, history_violations, told_states
from chaos_clients import CALL, CAST, INVOKE, OK, STORED, History, Told
from crash_checks import violations
from crash_evidence import Evidence
from crash_model import CommandRecord, Model, Reply, State

DEPOSIT = CommandRecord(0, 0, "a", "c-0", "Deposit", {"amount": 5}, True)
REFUSED = CommandRecord(0, 1, "a", "c-1", "Withdraw", {"amount": 9}, True)
NO = Reply("rejected", "funds", 1)


def evidence_of(*commands: CommandRecord) -> tuple[Evidence, Model]:
    """What these commands leave when nothing goes wrong."""
    model = Model()
    model.run_all(commands)
    evidence = Evidence(commands=list(commands))
    for name, account in model.accounts.items():
        evidence.events += account.events
        evidence.folded[name] = (len(account.events), account.state)
        evidence.asked[name] = account.state
    evidence.replies = {each: list(replies) for each, replies in model.replies.items()}
    evidence.planned = {each.command_id for each in commands}
    return evidence, model


def told(path: Path, *lines: tuple[str, str]) -> Told:
    history = History(path / "history.jsonl")
    for what, command_id in lines:
        more = {"how": CAST if command_id.startswith("cast") else CALL} if what == INVOKE else {}
        more |= {"status": "ok", "value": 5} if what == OK else {}
        history.note(what, command_id, **more)
    history.close()
    return Told([history.path])


def test_a_run_in_which_nothing_is_wrong_has_no_violation() -> None:
    evidence, model = evidence_of(DEPOSIT, REFUSED)
    assert forgive_second_answers(evidence, model, [{0: 2}]) == 0
    assert violations(evidence, model) == []


def test_a_second_answer_behind_the_newest_event_is_forgiven_once_per_loss_of_offsets() -> None:
    evidence, model = evidence_of(DEPOSIT, REFUSED)
    evidence.replies["c-1"] = [NO, NO]
    assert forgive_second_answers(evidence, model, [{0: 2}]) == 1
    assert violations(evidence, model) == []
    evidence.replies["c-1"] = [NO, NO, NO]
    assert forgive_second_answers(evidence, model, [{0: 2}]) == 1
    assert violations(evidence, model) != []


def test_a_second_answer_is_not_forgiven_without_a_loss_of_offsets() -> None:
    evidence, model = evidence_of(DEPOSIT, REFUSED)
    evidence.replies["c-1"] = [NO, NO]
    assert forgive_second_answers(evidence, model, [{0: 1}]) == 0
    assert violations(evidence, model) != []


def test_a_second_answer_of_a_command_with_events_is_not_forgiven() -> None:
    evidence, model = evidence_of(DEPOSIT, REFUSED)
    evidence.replies["c-0"] *= 2
    assert forgive_second_answers(evidence, model, [{0: 2}]) == 0
    assert violations(evidence, model) != []


def test_another_reply_than_the_first_is_not_forgiven() -> None:
    evidence, model = evidence_of(DEPOSIT, REFUSED)
    evidence.replies["c-1"] = [NO, Reply("ok", 0, 2)]
    assert forgive_second_answers(evidence, model, [{0: 2}]) == 0
    assert violations(evidence, model) != []


def test_what_a_client_was_told_and_the_log_has_not_is_found(tmp_path: Path) -> None:
    evidence, _ = evidence_of(DEPOSIT)
    lines = [(INVOKE, "c-0"), (OK, "c-0"), (INVOKE, "cast-1"), (STORED, "cast-1")]
    (found,) = history_violations(told(tmp_path, *lines), evidence)
    assert "cast-1 was stored or answered, and is not in the log" in found


def test_a_client_that_never_learned_what_became_of_its_command_is_found(tmp_path: Path) -> None:
    evidence, _ = evidence_of(DEPOSIT)
    (found,) = history_violations(told(tmp_path, (INVOKE, "c-0")), evidence)
    assert "never learned" in found


def test_a_state_that_was_rebuilt_otherwise_is_found() -> None:
    _, model = evidence_of(DEPOSIT)
    assert list(told_states("rebuilt", {"a": State(5, 0)}, model)) == []
    assert list(told_states("rebuilt", {"a": State(4, 0)}, model)) != []
    assert list(told_states("rebuilt", {}, model)) != []
