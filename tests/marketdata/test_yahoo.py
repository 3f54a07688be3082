"""Yahoo's answers, from an object of yfinance's shape: nothing reaches the internet, the package is not needed."""

import datetime as dt
import types
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from domain.adjustments import Dividend, Split
from domain.errors import BadInput
from marketdata.errors import ActionsUnavailable
from marketdata.models import Instrument
from marketdata.yahoo import YahooActions, yahoo_ticker

NOW = dt.datetime(2024, 3, 8, 12, tzinfo=dt.UTC)


class YFException(Exception):
    pass


class FakeYahoo:
    """`Ticker(name).actions` is a table with a row per date, 0 where there is none, as in yfinance 0.2 and 1."""

    exceptions = types.SimpleNamespace(YFException=YFException)

    def __init__(self, rows=(), error=None, table=None):
        self.asked = []
        self._error = error
        index = pd.DatetimeIndex([pd.Timestamp(date, tz=ZoneInfo("America/New_York")) for date, _, _ in rows])
        self._table = table
        if table is None:
            self._table = pd.DataFrame(
                {"Dividends": [row[1] for row in rows], "Stock Splits": [row[2] for row in rows]},
                index=index,
                dtype=float,
            )

    def Ticker(self, name):
        self.asked.append(name)
        return self

    @property
    def actions(self):
        if self._error:
            raise self._error
        return self._table


# As Yahoo has it: amounts in the shares of today.
APPLE = [
    ("2012-08-09", 0.094643, 0.0),
    ("2014-05-08", 0.1175, 0.0),
    ("2014-06-09", 0.0, 7.0),
    ("2014-08-07", 0.1175, 0.0),
    ("2020-08-07", 0.205, 0.0),
    ("2020-08-31", 0.0, 4.0),
    ("2020-11-06", 0.205, 0.0),
]


@pytest.fixture(autouse=True)
def cache(settings, tmp_path):
    settings.CACHE_DIR = tmp_path
    return tmp_path / "yahoo"


def day(text):
    return int(np.datetime64(text, "D").astype(np.int64))


def stock(symbol="AAPL", **fields):
    return Instrument(symbol=symbol, **fields)


def test_dividends_come_in_the_shares_of_their_day():
    assert YahooActions(FakeYahoo(APPLE), NOW).actions(stock()) == [
        Dividend(day("2012-08-09"), 2.65),
        Dividend(day("2014-05-08"), 3.29),
        Split(day("2014-06-09"), 7.0),
        Dividend(day("2014-08-07"), 0.47),
        Dividend(day("2020-08-07"), 0.82),
        Split(day("2020-08-31"), 4.0),
        Dividend(day("2020-11-06"), 0.205),
    ]


def test_a_reverse_split_is_less_than_one_share_for_one():
    table = [("2020-04-01", 0.8, 0.0), ("2020-04-29", 0.0, 0.125)]
    assert YahooActions(FakeYahoo(table), NOW).actions(stock("USO")) == [
        Dividend(day("2020-04-01"), 0.1),
        Split(day("2020-04-29"), 0.125),
    ]


def test_a_symbol_is_asked_for_once_a_day(cache):
    fake = FakeYahoo(APPLE)
    first = YahooActions(fake, NOW).actions(stock())
    assert YahooActions(fake, NOW + dt.timedelta(hours=11)).actions(stock()) == first
    assert fake.asked == ["AAPL"]
    YahooActions(fake, NOW).actions(stock("MSFT"))
    assert fake.asked == ["AAPL", "MSFT"] and len(list(cache.iterdir())) == 2
    YahooActions(fake, NOW + dt.timedelta(hours=13)).actions(stock())
    assert fake.asked == ["AAPL", "MSFT", "AAPL"]
    assert len(list(cache.iterdir())) == 2  # yesterday's is gone


@pytest.mark.parametrize("rest", ["", "[[1", '{"a": 1}', "[[1, 2]]", '[["x", "split", 2]]'])
def test_a_cache_file_that_cannot_be_read_is_asked_for_again(cache, rest):
    fake = FakeYahoo(APPLE)
    YahooActions(fake, NOW).actions(stock())
    (path,) = cache.iterdir()
    path.write_text(rest)
    assert len(YahooActions(fake, NOW).actions(stock())) == 7
    assert len(fake.asked) == 2


def test_a_cache_that_cannot_be_written_costs_only_another_question(tmp_path, settings, caplog):
    (tmp_path / "file").write_text("")
    settings.CACHE_DIR = tmp_path / "file"
    assert len(YahooActions(FakeYahoo(APPLE), NOW).actions(stock())) == 7
    assert "cannot write the cache file" in caplog.text


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.Series(dtype=float), []])
def test_a_symbol_without_actions_has_none(table):
    assert YahooActions(FakeYahoo(table=table), NOW).actions(stock()) == []


@pytest.mark.parametrize("error", [YFException("Too Many Requests"), ConnectionError("no route"), TimeoutError()])
def test_yahoo_out_of_reach_may_work_later_and_is_not_kept(cache, error):
    with pytest.raises(ActionsUnavailable, match=r"AAPL now: .*try later"):
        YahooActions(FakeYahoo(error=error), NOW).actions(stock())
    assert not cache.exists()


def test_an_answer_of_another_shape_is_told():
    table = pd.DataFrame({"Dividends": ["x"]}, index=[1])
    with pytest.raises(ActionsUnavailable, match=r"cannot be read .*newer yfinance"):
        YahooActions(FakeYahoo(table=table), NOW).actions(stock())


def test_a_missing_package_is_told_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yfinance", None)
    with pytest.raises(BadInput, match=r"pip install 'ibdesk\[yahoo\]'"):
        YahooActions(now=NOW).actions(stock())


def test_instruments_have_yahoo_s_names():
    assert yahoo_ticker(stock("BRK B", primary="NYSE")) == "BRK-B"
    assert yahoo_ticker(stock("TAP.A")) == "TAP-A"
    assert yahoo_ticker(stock("BMW", exchange="IBIS", currency="EUR")) == "BMW.DE"
    assert yahoo_ticker(stock("VOD", primary="LSE", currency="GBP")) == "VOD.L"
    assert yahoo_ticker(stock("VOO", kind="etf", primary="ARCA")) == "VOO"
    with pytest.raises(BadInput, match="only stocks and funds"):
        yahoo_ticker(stock("EUR", kind="forex", exchange="IDEALPRO"))
    with pytest.raises(BadInput, match=r"exchange SMART \(EUR\) is not known"):
        yahoo_ticker(stock("SAP", currency="EUR"))
    with pytest.raises(BadInput, match="exchange WSE"):
        yahoo_ticker(stock("CDR", exchange="WSE", currency="PLN"))


def test_a_symbol_never_becomes_a_path(cache):
    YahooActions(FakeYahoo(APPLE), NOW).actions(stock("../../x"))
    assert [path.parent for path in cache.rglob("*.json")] == [cache]
