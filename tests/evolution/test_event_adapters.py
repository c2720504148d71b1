"""Events of other days, through adapters: in recovery, queries, replay and states of the past."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from evolution_tools import (
    Charged,
    Deposited,
    First,
    Pay,
    Purse,
    Reads,
    Save,
    Today,
    dropped,
    euros,
    today,
    with_fee,
)
from world import World

from kstate import EventAdapter, KStateError, Processor, Stored, event, tagged
from kstate.errors import SchemaError

UPCAST = today(Reads(euros))
SPLIT = today(Reads(with_fee))
DROP = today(Reads(dropped))


def paid(world: World, *amounts: int) -> None:
    """A purse of the first generation into which this was paid; its worker has ended."""
    world.run(First)
    for amount in amounts:
        world.call(First, "a", Pay(amount))
    world.stop()


# -- what becomes of a record ----------------------------------------------------------------------


def test_a_recovery_folds_what_the_adapter_makes_of_an_old_event(world: World) -> None:
    paid(world, 5, 7)
    world.run(UPCAST)
    assert world.call(UPCAST, "a", Pay(1)) == 13


def test_a_query_gives_what_the_adapter_makes_of_an_old_event(world: World) -> None:
    paid(world, 5)
    world.run(UPCAST)
    world.call(UPCAST, "a", Pay(1))
    found = [(e.seq, e.type, e.event) for e in world.client.events.by_id(UPCAST, "a")]
    assert found == [(1, "MoneyIn", Deposited(5)), (2, "Deposited", Deposited(1))]


def test_one_record_may_become_several_events_with_one_seq(world: World) -> None:
    paid(world, 5, 7)
    world.run(SPLIT)
    assert world.call(SPLIT, "a", Pay(1)) == 11
    assert world.state(SPLIT, "a") == Purse(11, events=5)
    found = [(e.seq, e.part, e.event) for e in world.client.events.by_id(SPLIT, "a")]
    assert found == [
        (1, 0, Deposited(5)), (1, 1, Charged(1)), (2, 0, Deposited(7)), (2, 1, Charged(1)),
        (3, 0, Deposited(1)),
    ]  # fmt: skip


def test_a_record_may_become_nothing_and_its_seq_still_counts(world: World) -> None:
    paid(world, 5, 7)
    world.run(DROP)
    assert world.call(DROP, "a", Pay(1)) == 1
    assert world.events(DROP, "a") == [(3, Deposited(1))]


def test_states_of_the_past_are_folded_through_adapters(world: World) -> None:
    paid(world, 5, 7)
    world.run(SPLIT)
    states = [world.client.state(SPLIT, "a", at_seq=seq).amount for seq in (0, 1, 2)]
    assert states == [0, 4, 10]
    assert world.client.state(DROP, "a", at_seq=2) == Purse()


def test_final_states_are_folded_through_adapters(world: World) -> None:
    paid(world, 5, 7)
    assert list(world.client.states(SPLIT).final()) == [("a", 2, Purse(10, 4))]


def test_a_query_resumes_between_the_events_of_one_record(world: World) -> None:
    paid(world, 5, 7)
    events = list(world.client.events.all(SPLIT))
    for count, stored in enumerate(events, 1):
        rest = world.client.events.all(SPLIT, after=stored.position)
        assert list(rest) == events[count:]


def test_a_position_without_adapters_is_made_of_offsets_alone(world: World) -> None:
    paid(world, 5)
    (stored,) = world.client.events.all(First)
    assert "." not in stored.position


def test_snapshots_taken_behind_adapters_are_enough_for_the_next_start(world: World) -> None:
    paid(world, 5)
    world.run(SPLIT)
    world.call(SPLIT, "a", Save())
    world.restart(without_store=True)
    assert world.call(SPLIT, "a", Pay(1)) == 5


# -- chains ----------------------------------------------------------------------------------------


def steps(*names: str) -> list[Reads]:
    """Adapters that each know one generation: a type's name and the next one's."""

    def upcast(old: str, new: str) -> Reads:
        def made(stored: Stored) -> Iterable[Stored]:
            if stored.name == old:
                data = dict(stored.data)
                amount = data["cents"] // 100 if "cents" in data else data["amount"] + 1
                yield Stored(new, {"amount": amount})
            else:
                yield stored

        return Reads(made)

    return [upcast(old, new) for old, new in itertools.pairwise(names)]


def test_a_chain_begins_with_the_adapter_that_is_farthest_from_the_code(world: World) -> None:
    paid(world, 5)
    chain = today(*reversed(steps("MoneyIn", "MoneyCame", "Deposited")))
    world.run(chain)
    assert world.events(chain, "a") == [(1, Deposited(6))]


def test_a_chain_in_the_wrong_order_is_refused_before_a_partition_is_owned(world: World) -> None:
    paid(world, 5)
    with pytest.raises(SchemaError, match="MoneyCame is no type of purse's events"):
        world.run(today(*steps("MoneyIn", "MoneyCame", "Deposited")))


def test_an_adapter_that_says_what_it_reads_is_asked_about_nothing_else(world: World) -> None:
    paid(world, 5)
    asked: list[str] = []

    def made(stored: Stored) -> Iterable[Stored]:
        asked.append(stored.name)
        return euros(stored)

    reading = today(Reads(made, ["MoneyIn"]))
    world.run(reading)
    world.call(reading, "a", Pay(1))
    world.restart(without_store=True)
    assert world.state(reading, "a").amount == 6
    assert set(asked) == {"MoneyIn"}


def test_an_adapter_is_never_asked_about_a_deletion(world: World) -> None:
    asked: list[str] = []
    processor = today(Reads(lambda stored: asked.append(stored.name) or [stored]))
    machine = world.client.machine(processor)
    codec: Any = machine.codec
    from kstate.core.messages import Deleted

    assert codec.decode_event(codec.encode_event(Deleted())) == Deleted()
    assert "Deleted" not in asked


# -- what is stored in the place of an event -------------------------------------------------------


@dataclass(frozen=True)
class Booked:
    """What the journal keeps of a `Deposited`."""

    units: int


class Booking(EventAdapter):
    writes = (Booked,)
    reads = ("Booked",)

    def to_journal(self, event: Any) -> Any:
        return tagged(Booked(event.amount), "booked") if type(event) is Deposited else event

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        yield Stored("Deposited", {"amount": stored.data["units"]})


BOOKING = today(Booking())


def test_another_event_is_stored_while_the_state_is_folded_from_the_event_itself(
    world: World,
) -> None:
    world.run(BOOKING)
    assert world.call(BOOKING, "a", Pay(5)) == 5
    (record,) = world.journal(BOOKING)
    assert dict(record.headers)["type"] == b"Booked"
    assert dict(record.headers)["tag"] == b"booked"
    world.restart(without_store=True)
    assert world.call(BOOKING, "a", Pay(2)) == 7
    assert world.events(BOOKING, "a") == [(1, Deposited(5)), (2, Deposited(2))]


def test_reactions_and_subscribers_see_the_event_itself(world: World) -> None:
    seen: list[Any] = []
    world.run(BOOKING, subscriber=lambda each: seen.append(each.event))
    world.call(BOOKING, "a", Pay(5))
    world.until(lambda: bool(seen), "the subscriber was told")
    assert seen == [Deposited(5)]


def test_a_type_that_is_stored_and_that_nothing_reads_is_refused(world: World) -> None:
    class Careless(EventAdapter):
        writes = (Booked,)

        def to_journal(self, event: Any) -> Any:
            return Booked(event.amount)

    with pytest.raises(SchemaError, match="Booked is no type of purse's events"):
        world.run(today(Careless()))


def test_what_comes_back_must_fold_to_the_same_state(world: World) -> None:
    class Lossy(Booking):
        def from_journal(self, stored: Stored) -> Iterable[Stored]:
            yield Stored("Deposited", {"amount": stored.data["units"] * 100})

    with pytest.raises(SchemaError, match="Deposited is stored as Booked and comes back as"):
        world.run(today(Lossy()))


# -- adapters that fail ----------------------------------------------------------------------------


def raises(stored: Stored) -> Iterable[Stored]:
    raise LookupError("no such currency")


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (raises, "Reads.from_journal raised LookupError for a stored MoneyIn: no such currency"),
        (lambda stored: None, "Reads.from_journal raised TypeError"),
        (lambda stored: stored, "yield Stored"),
        (lambda stored: ["Deposited"], "yield Stored"),
        (lambda stored: [Stored("Deposited", {})], "Deposited.amount is missing"),
        (lambda stored: [Stored("Deposited", {"amount": "5"})], "Deposited.amount is to be an int"),
        (lambda stored: [Stored("Deposited", {"amount": 5, "curency": 1})], "a field curency"),
        (lambda stored: [Stored("Deposited", {"amount": 2**63})], "beyond 64 bits"),
        (lambda stored: [Stored("Deposit", {"amount": 5})], "Deposit is no type of purse's events"),
    ],
)
def test_an_adapter_that_fails_stops_a_start_and_a_query_by_name(
    world: World, made: Any, sentence: str
) -> None:
    paid(world, 5)
    failing = today(Reads(made, ["MoneyIn"]))
    with pytest.raises(SchemaError, match="MoneyIn") as refused:
        world.run(failing)
    assert sentence in str(refused.value)
    with pytest.raises(KStateError, match="cannot be read"):
        world.events(failing, "a")


def test_an_adapter_that_made_up_values_do_not_suit_gives_examples(world: World) -> None:
    class Picky(Reads):
        def examples(self) -> Iterable[Stored]:
            yield Stored("MoneyIn", {"cents": 500, "note": "by hand"})

    def made(stored: Stored) -> Iterable[Stored]:
        if stored.name == "MoneyIn" and stored.data["note"] != "by hand":
            raise LookupError(stored.data["note"])
        return euros(stored)

    paid(world, 5)
    with pytest.raises(SchemaError, match="examples"):
        world.run(today(Reads(made)))
    world.run(today(Picky(made)))
    assert world.state(today(Picky(made)), "a").amount == 5


def test_fields_that_the_stored_record_had_may_be_left_in(world: World) -> None:
    def made(stored: Stored) -> Iterable[Stored]:
        amount = stored.data.get("cents", 0) // 100
        yield (
            stored
            if stored.name == "Deposited"
            else Stored("Deposited", {**stored.data, "amount": amount})
        )

    paid(world, 5)
    processor = today(Reads(made))
    assert world.events(processor, "a") == [(1, Deposited(5))]


def test_what_was_read_cannot_be_changed_in_place(world: World) -> None:
    def made(stored: Stored) -> Iterable[Stored]:
        stored.data["cents"] = 7  # type: ignore[index]
        return [stored]

    paid(world, 5)
    with pytest.raises(KStateError, match="does not support item assignment"):
        world.events(today(Reads(made)), "a")


def test_an_adapter_may_stand_between_processors_that_need_none(world: World) -> None:
    class Quiet(EventAdapter):
        pass

    quiet: type[Processor[Purse]] = today(Quiet())
    world.run(quiet)
    assert world.call(quiet, "a", Pay(5)) == 5


def test_old_data_that_avro_resolves_passes_an_adapter_and_is_still_resolved(
    world: World,
) -> None:
    newer = dataclasses.make_dataclass(
        "Deposited", [("amount", int), ("note", str, "none")], frozen=True
    )

    class Later(Today):
        name = "purse"
        adapters = (Reads(lambda stored: [stored]),)

        @event
        def deposited(self, state: Purse, event: newer) -> Purse:  # type: ignore[valid-type,override]
            return Purse(state.amount + event.amount, state.events + 1)  # type: ignore[attr-defined]

    world.run(Today)
    world.call(Today, "a", Pay(5))
    world.stop()
    assert world.events(Later, "a") == [(1, newer(5))]
