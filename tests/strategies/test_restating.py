"""Backtests whose bars were replaced are marked, and no others."""

import pytest

from domain.bars import Adjustment
from marketdata.models import BarFile
from marketdata.signals import series_rebuilt
from strategies.backtests import plan_backtest, run_backtest
from strategies.config import parse_config
from tests.strategies.conftest import known, market, places  # noqa: F401

ASKED = {"strategy": "ma_crossover", "symbols": ["ABC", "XYZ"], "params": {"fast": 5, "slow": 12}}


@pytest.fixture(autouse=True)
def _library(known):  # noqa: F811
    pass


def made(**data):
    return run_backtest(plan_backtest(parse_config(ASKED | {"data": data})))


def rebuilt(symbol="ABC", timeframe="1d", what="TRADES", adjustment="raw"):
    instrument = BarFile.objects.filter(instrument__symbol=symbol).first().instrument
    series_rebuilt.send(sender=None, instrument=instrument, timeframe=timeframe, what=what, adjustment=adjustment)


def test_those_that_read_the_series_are_marked_once(market):  # noqa: F811
    row = made()
    rebuilt()
    row.refresh_from_db()
    marked = row.restated
    assert marked is not None
    rebuilt("XYZ")
    row.refresh_from_db()
    assert row.restated == marked, "when it was found first"


@pytest.mark.parametrize(
    "other", [{"timeframe": "1h"}, {"what": "MIDPOINT"}, {"adjustment": Adjustment.SPLIT}, {"adjustment": "total"}]
)
def test_those_that_read_others_are_not(market, other):  # noqa: F811
    row = made()
    rebuilt(**other)
    row.refresh_from_db()
    assert row.restated is None


def test_a_part_of_a_symbol_is_not_the_symbol(market):  # noqa: F811
    row = made()
    row.instruments = "ABCD, XYZ"
    row.save()
    rebuilt("ABC")
    row.refresh_from_db()
    assert row.restated is None
