"""What the types of a selection are matched with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kstate.query.wanted import wanted_of


@dataclass(frozen=True)
class Deposited:
    amount: int
    avro_aliases: ClassVar = ("MoneyIn", "oldbank.PaidIn")


def test_a_class_is_wanted_under_its_former_names_too() -> None:
    assert wanted_of({"types": [Deposited]}).types >= {b"Deposited", b"MoneyIn"}


def test_a_former_name_in_another_namespace_is_that_of_a_class_as_records_bear_it() -> None:
    assert wanted_of({"types": Deposited}).types == {b"Deposited", b"MoneyIn", b"PaidIn"}


def test_a_name_is_wanted_as_it_is() -> None:
    assert wanted_of({"types": "kstate.Deleted"}).types == {b"kstate.Deleted"}
