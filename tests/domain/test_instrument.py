import dataclasses
import math

import pytest

from domain.errors import BadInput, UnknownName
from domain.instrument import Instrument, InstrumentKind


def test_an_instrument_is_a_us_stock_unless_told_otherwise():
    spy = Instrument("SPY")
    assert (spy.kind, spy.currency, spy.calendar, spy.lot, spy.multiplier) == ("stock", "USD", "XNYS", 1.0, 1.0)
    assert spy.is_tradable and not spy.is_future


def test_only_an_index_cannot_be_traded():
    assert [kind for kind in InstrumentKind if not Instrument("X", kind).is_tradable] == [InstrumentKind.INDEX]
    assert [kind for kind in InstrumentKind if Instrument("X", kind).is_future] == [InstrumentKind.FUTURE]


@pytest.mark.parametrize("name", ["tick", "lot", "multiplier", "margin"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_number_that_is_not_positive_is_refused_by_symbol_and_name(name, value):
    with pytest.raises(BadInput, match=f"ES: {name} must be a positive number"):
        Instrument("ES", **{name: value})


def test_a_symbol_is_needed():
    with pytest.raises(BadInput, match="needs a symbol"):
        Instrument("")


def test_instruments_are_values():
    assert Instrument("A") == Instrument("A") and len({Instrument("A"), Instrument("A"), Instrument("B")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Instrument("A").symbol = "B"


def test_a_plain_text_names_the_kind_and_a_wrong_one_is_refused():
    assert Instrument("ES", "future").is_future
    assert not Instrument("SPX", "index").is_tradable
    with pytest.raises(UnknownName, match="did you mean 'future'"):
        Instrument("ES", "futures")
