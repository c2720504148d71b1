"""What would not read back equal is refused, in words that name the type and the field."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import immutables
import pytest
from codec_samples import (
    Account,
    Colour,
    Deposit,
    Deposited,
    Line,
    Money,
    Node,
    Order,
    Pair,
    Size,
    When,
    bank_codec,
)

from kstate.codec.avro import command_encoder
from kstate.codec.derive import Scale
from kstate.codec.wire import MAX_DEPTH, shown
from kstate.errors import EncodeError

NOW = datetime.datetime(2024, 5, 1)
Price = Annotated[Decimal, Scale(2, precision=6)]


class Int(int):
    pass


class OtherColour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Special(Money):
    pass


class Broken(datetime.tzinfo):
    def utcoffset(self, when: datetime.datetime | None) -> None:
        return None


def hours(count: int) -> datetime.timezone:
    return datetime.timezone(datetime.timedelta(hours=count))


REFUSED: list[tuple[Any, Any]] = [
    (bool, "yes"), (bool, 1), (bool, None),
    (int, 1.5), (int, 1.0), (int, True), (int, "1"), (int, None), (int, Int(5)), (int, 2**63),
    (int, -(2**63) - 1), (int, 10**5000), (int, Size.SMALL),
    (float, "1.5"), (float, True), (float, 2**53 + 1), (float, 10**400), (float, Decimal(1)),
    (str, b"x"), (str, 5), (str, "\ud800"), (str, Size.SMALL), (str, None),
    (bytes, "x"), (bytes, bytearray(b"x")), (bytes, memoryview(b"x")),
    (None, 0), (None, ""),
    (Price, 1), (Price, 1.5), (Price, "1.50"), (Price, Decimal("1.234")),
    (Price, Decimal("12345.00")),
    (Price, Decimal("NaN")), (Price, Decimal("Infinity")), (Price, Decimal("1e999999")),
    (Price, Decimal("1e-999999")),
    (datetime.datetime, NOW), (datetime.datetime, NOW.replace(tzinfo=Broken())),
    (datetime.datetime, NOW.date()), (datetime.datetime, 5),
    (datetime.datetime, datetime.datetime.min.replace(tzinfo=hours(1))),
    (datetime.datetime, datetime.datetime.max.replace(tzinfo=hours(-1))),
    (datetime.date, NOW), (datetime.date, "2024-05-01"),
    (uuid.UUID, str(uuid.UUID(int=1))), (uuid.UUID, uuid.UUID(int=1).bytes),
    (Colour, OtherColour.RED), (Colour, "RED"), (Colour, 1), (Size, "s"),
    (Literal["a", "b"], "c"), (Literal["a", "b"], 1), (Literal["a", "b"], []),
    (int | str, 1.5), (int | str, None), (int | str, True), (int | None, "x"),
    (float | None, 2**53 + 1), (Money | Line, Node(1)), (Money | None, Special(Decimal(1))),
    (str | None, "\udfff"),
    (list[int], (1,)), (list[int], [1, "2"]), (list[int], [None]), (list[int], {1: 2}),
    (list[int], range(3)),
    (tuple[int, ...], [1]), (tuple[int, ...], (1, "2")), (Sequence[int], [1]),
    (Sequence[str], "ab"),
    (dict[str, int], {"a": "b"}), (dict[str, int], {1: 2}), (dict[str, int], {"\ud800": 1}),
    (dict[str, int], OrderedDict(a=1)), (dict[str, int], immutables.Map(a=1)),
    (dict[str, int], [("a", 1)]),
    (Mapping[str, int], immutables.Map(a=1)), (Mapping[str, int], {None: 1}),
    (immutables.Map[str, int], {"a": 1}), (immutables.Map[str, int], immutables.Map({1: 2})),
    (immutables.Map[str, int], immutables.Map({1: 2, "a": 1})),
    (Money, Special(Decimal(1))), (Money, {"amount": Decimal(1), "currency": "EUR"}), (Money, None),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), REFUSED, ids=lambda each: shown(each)[:40])
def test_a_value_of_another_type_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(EncodeError):
        Pair(annotation).encode(value)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (Deposit("5"), "Deposit.amount is to be an int, not '5'"),  # type: ignore[arg-type]
        (Deposit(2**63), "Deposit.amount is beyond 64 bits"),
        (Order((Line("a", 1, Money(Decimal("0.001"))),)), "Money.amount has more than 2 digits"),
        (Order((None,)), "is to be a Line, not None"),  # type: ignore[arg-type]
        (Order((), note=5), "Order.note is to be None or a str, not 5"),  # type: ignore[arg-type]
        (Order((), at=NOW), "Order.at is a datetime without a time zone; write datetime.now(UTC)"),
    ],
)
def test_the_error_names_the_field(command: Any, sentence: str) -> None:
    with pytest.raises(EncodeError) as caught:
        bank_codec().encode_command("bank", command)
    assert sentence in str(caught.value)


def test_an_error_never_shows_a_value_at_length() -> None:
    with pytest.raises(EncodeError) as caught:
        Pair(int).encode("x" * 10_000)
    assert len(str(caught.value)) < 200


def test_an_error_does_not_call_a_repr_of_the_users() -> None:
    class Secret:
        def __repr__(self) -> str:
            raise AssertionError("not to be called")

    with pytest.raises(EncodeError, match=r"a .*Secret"):
        Pair(int).encode(Secret())


def chain(length: int) -> Node:
    node = Node(0)
    for value in range(1, length):
        node = Node(value, node)
    return node


def test_records_nest_up_to_the_limit_and_read_back() -> None:
    deepest = chain(MAX_DEPTH)
    assert Pair(Node).again(deepest) == deepest


def test_records_that_nest_deeper_are_refused() -> None:
    with pytest.raises(EncodeError, match=f"Node nests more than {MAX_DEPTH} deep"):
        Pair(Node).encode(chain(MAX_DEPTH + 1))


def test_a_record_around_the_chain_counts_as_a_level() -> None:
    codec = bank_codec()
    from codec_samples import Planted

    assert codec.decode_event(codec.encode_event(Planted(chain(MAX_DEPTH - 1)))).tree.value == 98
    with pytest.raises(EncodeError):
        codec.encode_event(Planted(chain(MAX_DEPTH)))


def test_a_cycle_is_refused() -> None:
    node = Node(1)
    object.__setattr__(node, "next", node)
    with pytest.raises(EncodeError):
        Pair(Node).encode(node)


def test_an_event_that_the_processor_does_not_fold_is_refused() -> None:
    with pytest.raises(EncodeError, match="Money is no event of bank"):
        bank_codec().encode_event(Money(Decimal(1)))


def test_a_reply_of_another_type_is_refused() -> None:
    codec = bank_codec()
    with pytest.raises(EncodeError, match="the reply of Deposit is to be an int"):
        codec.encode_reply(Deposit, "5")
    with pytest.raises(EncodeError, match=r"WhenReply\.value"):
        codec.encode_reply(When, 5)


def test_a_reply_where_none_is_declared_is_refused() -> None:
    from codec_samples import Plant

    codec = bank_codec()
    assert codec.encode_reply(Plant, None) == b""
    with pytest.raises(EncodeError, match="the reply of Plant is to be None"):
        codec.encode_reply(Plant, 1)


def test_a_reply_to_a_command_of_others_is_refused() -> None:
    with pytest.raises(EncodeError, match="no command of bank"):
        bank_codec().encode_reply(Deposited, 1)


def test_a_state_of_another_class_is_refused() -> None:
    with pytest.raises(EncodeError, match="Account is to be a"):
        bank_codec().encode_state(Deposited(1))
    assert bank_codec().decode_state(bank_codec().encode_state(Account(5))) == Account(5)


def test_a_command_without_an_avro_form_is_an_encode_error() -> None:
    @dataclass(frozen=True)
    class Odd:
        anything: object

    with pytest.raises(EncodeError, match=r"Odd\.anything: object has no Avro form"):
        command_encoder("bank", Odd)


def test_a_command_for_another_processor_bears_its_namespace() -> None:
    codec = bank_codec()
    mine, other = (
        codec.encode_command("bank", Deposit(5)),
        codec.encode_command("ledger-2", Deposit(5)),
    )
    assert mine[10:] == other[10:]
    assert mine[:10] != other[:10]


def test_encoding_leaves_the_value_as_it_was() -> None:
    value = Order((Line("a", 1, Money(Decimal("1.5"))),), "n")
    before = dataclasses.asdict(value)
    bank_codec().encode_command("bank", value)
    assert dataclasses.asdict(value) == before
