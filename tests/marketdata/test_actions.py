"""Corporate actions from Interactive Brokers: the simulated gateway's own are the oracle."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from domain.adjustments import Dividend, Split, adjust
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries
from domain.errors import BadInput, UnknownName
from domain.restatement import Verdict, compare
from domain.timeframe import DAY_NS, Timeframe
from gateway.contract import Contract
from gateway.history import HistoryRequest, ProvenEmpty
from gateway.simulator.clock import ManualClock
from gateway.simulator.server import DEFAULT_START_NS, start_simulator
from marketdata import actions, calendars, services, store
from marketdata.models import Restatement, What
from marketdata.moments import as_datetime
from tests.gateway.gateways import connected, start_gateway
from tests.gateway.simulator.worlds import known_market
from tests.marketdata import make

TABLE = calendars.sessions("XNYS")
TODAY = DEFAULT_START_NS // DAY_NS
# With none, two, four and five splits, and one that pays nothing.
SYMBOLS = ("SPY", "ACN", "NEM", "TUPZ", "DOW")


@pytest.fixture(scope="module")
def connection():
    with start_gateway(history_pacing=False) as gateway, connected(gateway) as connection:
        yield connection


def contract_and_actions(symbol):
    """The simulator's contract and what it says happened to it, up to its today."""
    (listing,) = known_market().find(Contract(symbol=symbol, sec_type="STK", exchange="SMART", currency="USD"))
    con_id = listing.contract.con_id
    happened = [action for action in known_market().actions(con_id) if action.ex_day <= TODAY]
    return Contract(con_id=con_id, exchange="SMART"), happened


def only(kind, found, first=0):
    return [action for action in found if isinstance(action, kind) and action.ex_day > first]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_dividends_of_the_simulated_exchange_come_back_to_the_cent(connection, symbol):
    contract, happened = contract_and_actions(symbol)
    first = int(TABLE.trading_dates(np.array([DEFAULT_START_NS - 20 * 365 * DAY_NS]))[0])
    found = actions.ask_dividends(connection.history, contract, TABLE, happened)
    expected = only(Dividend, happened, first + 6)
    assert only(Dividend, found, first + 6) == expected
    assert len(expected) > 20 or symbol == "TUPZ"


def daily(connection, contract, what):
    return connection.history(HistoryRequest(contract, Timeframe.D1, "10 Y", what), TABLE)


@pytest.mark.django_db
@pytest.mark.usefixtures("bars_root")
def test_stored_series_give_them_and_recording_them_again_changes_nothing(connection):
    contract, happened = contract_and_actions("NEM")
    newmont = make.instrument("NEM", con_id=contract.con_id)
    splits = only(Split, happened)
    assert splits
    services.record_actions(instrument=newmont, actions=splits, source="csv")
    provider = actions.provider("ib")
    with pytest.raises(BadInput, match=r"daily TRADES bars .*load them: manage.py ib_load NEM 1d$"):
        provider.actions(newmont)
    for what in (What.TRADES, What.ADJUSTED_LAST):
        bars = daily(connection, contract, what.value)
        store.write_bars(instrument=newmont, series=bars, what=what, source="IB")
        if what is What.TRADES:
            with pytest.raises(BadInput, match=r"ib_load NEM 1d --what ADJUSTED_LAST"):
                provider.actions(newmont)
    found = provider.actions(newmont)
    first = int(TABLE.trading_dates(bars.start[:1])[0])
    assert found == only(Dividend, happened, first)
    assert services.record_actions(instrument=newmont, actions=found, source="ib").added == len(found)
    again = services.record_actions(instrument=newmont, actions=provider.actions(newmont), source="ib")
    assert (again.added, again.changed, again.unchanged) == (0, 0, len(found))


@pytest.mark.django_db
def test_what_does_not_give_dividends_says_so(connection):
    contract, _ = contract_and_actions("DOW")
    trades, adjusted = (daily(connection, contract, what) for what in ("TRADES", "ADJUSTED_LAST"))
    with pytest.raises(BadInput, match="1d split bars, not from 1d total"):
        actions.derive_dividends(adjusted, trades, TABLE)
    with pytest.raises(BadInput, match="no two days in common"):
        actions.derive_dividends(trades[:100], adjusted[100:], TABLE)
    nothing = ProvenEmpty("HMDS query returned no data")
    assert actions.ask_dividends(lambda request, sessions: nothing, contract, TABLE) == []


def test_series_that_were_not_made_at_the_same_time_are_refused():
    start, end = TABLE.expected_bars(
        Timeframe.D1, *(np.datetime64(day, "ns").astype(int) for day in ("2023-01-03", "2023-03-01"))
    )
    price = np.linspace(50, 51, len(start)).round(2)
    trades = BarSeries.from_columns(
        "1d", start=start, end=end, open=price, high=price, low=price, close=price, adjustment=Adjustment.SPLIT
    )
    raised = np.where(np.arange(len(price)) < 10, 1.02, 1.0)
    columns = {name: np.round(price * raised, 4) for name in PRICE_COLUMNS}
    with pytest.raises(BadInput, match=r"before 2023-01-18 are raised by 2\.0.*get both again"):
        actions.derive_dividends(trades, replace(trades, adjustment=Adjustment.TOTAL, **columns), TABLE)


def test_a_day_that_one_series_lacks_moves_a_dividend_to_the_next():
    days = TABLE.label[-600:-500]
    start, end = TABLE.open[-600:-500], TABLE.close[-600:-500]
    price = np.round(100 + np.arange(100) / 7, 2)
    raw = BarSeries.from_columns("1d", start=start, end=end, open=price, high=price, low=price, close=price)
    happened = [Dividend(int(days[20]), 0.31), Split(int(days[50]), 4.0), Dividend(int(days[70]), 0.08)]
    trades, adjusted = (adjust(raw, days, happened, basis) for basis in (Adjustment.SPLIT, Adjustment.TOTAL))
    rounded = [
        replace(bars, **{name: np.round(getattr(bars, name), 4) for name in PRICE_COLUMNS})
        for bars in (trades, adjusted)
    ]
    assert actions.derive_dividends(*rounded, TABLE, happened) == only(Dividend, happened)
    # Without the split nobody knows that the first was paid on shares four times as large.
    assert [each.amount for each in actions.derive_dividends(*rounded, TABLE)] == [0.0775, 0.08]
    holed = [rounded[0], rounded[1].between(None, int(start[70]))]
    assert actions.derive_dividends(*holed, TABLE, happened) == [happened[0]]
    gap = [BarSeries(**{n: np.delete(getattr(rounded[1], n), 20) for n in _columns()}, **_kind(rounded[1])), rounded[0]]
    assert actions.derive_dividends(gap[1], gap[0], TABLE, happened)[0].ex_day == days[21]


def _columns():
    return ("start", "end", *PRICE_COLUMNS, "volume")


def _kind(bars):
    return {"timeframe": bars.timeframe, "adjustment": bars.adjustment}


def test_amounts_have_the_fewest_decimals_that_the_noise_allows():
    assert actions.shortest(0.46993, 1e-4) == 0.47
    assert actions.shortest(0.46993, 1e-5) == 0.46993
    assert actions.shortest(3.0801, 2e-4) == 3.08
    assert actions.shortest(0.0004, 0.001) == 0.0004  # never 0


# Splits that restatements tell of


def restated(instrument, *, bar, found, ratio=0.5, timeframe="1d", what="TRADES"):
    as_time = dt.datetime.fromisoformat
    return Restatement.objects.create(
        instrument=instrument, timeframe=timeframe, what=what, adjustment="split", bar=as_time(bar),
        found=as_time(found), ratio=ratio,
    )  # fmt: skip


def day(text):
    return int(np.datetime64(text, "D").astype(np.int64))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "found",
    ["2023-01-05T22:30+00:00", "2023-01-06T13:00+00:00", "2023-01-06T20:30+00:00"],
)
def test_a_split_found_before_the_next_session_closed_has_one_possible_day(found):
    spy = make.instrument()
    restated(spy, bar="2023-01-05T14:30+00:00", found=found, ratio=1 / 7)
    assert actions.restated_splits(spy, TABLE) == ([Split(day("2023-01-06"), 7.0)], [])


@pytest.mark.django_db
def test_a_split_found_later_is_told_without_a_day_until_it_is_known():
    spy = make.instrument()
    restated(spy, bar="2023-01-05T14:30+00:00", found="2023-01-09T22:00+00:00", ratio=0.3333)
    expected = "a split 3:1 on one of the sessions from 2023-01-06 to 2023-01-10"
    assert actions.restated_splits(spy, TABLE) == ([], [expected])
    with pytest.raises(BadInput, match=f"{expected}.*enter the split with its day"):
        actions.provider("ib").actions(spy)
    services.record_actions(instrument=spy, actions=[Split(day("2023-01-09"), 3.0)], source="csv")
    assert actions.restated_splits(spy, TABLE) == ([], [])


@pytest.mark.django_db
def test_the_timeframe_that_was_looked_at_most_often_tells_the_day_for_all():
    spy = make.instrument()
    restated(spy, bar="2023-01-03T14:30+00:00", found="2023-01-09T22:00+00:00")
    restated(spy, bar="2023-01-05T20:59+00:00", found="2023-01-06T15:00+00:00", timeframe="1m")
    assert actions.restated_splits(spy, TABLE) == ([Split(day("2023-01-06"), 2.0)], [])


@pytest.mark.django_db
def test_what_is_no_plain_ratio_or_contains_dividends_is_no_split():
    spy = make.instrument()
    restated(spy, bar="2023-01-05T14:30+00:00", found="2023-01-06T13:00+00:00", ratio=0.4133)
    restated(spy, bar="2023-01-05T14:30+00:00", found="2023-01-06T13:00+00:00", what="ADJUSTED_LAST")
    assert actions.restated_splits(spy, TABLE) == ([], [])


# The registry


@pytest.mark.django_db
def test_a_file_gives_the_actions_of_its_symbol(give):
    spy = make.instrument()
    path = give("symbol,date,kind,value\nSPY,2023-01-06,dividend,0.5\nQQQ,2023-01-06,split,2\n", "actions.csv")
    assert actions.provider("csv", path).actions(spy) == [Dividend(day("2023-01-06"), 0.5)]
    with pytest.raises(BadInput, match="no action of IBM in it"):
        actions.provider("csv", path).actions(make.instrument("IBM"))


def test_providers_are_known_by_name(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'yahoo'"):
        actions.provider("yaho")
    with pytest.raises(BadInput, match="csv needs a file"):
        actions.provider("csv")
    with pytest.raises(BadInput, match="ib reads no file"):
        actions.provider("ib", tmp_path)


@pytest.mark.django_db
@pytest.mark.parametrize("symbol", ["ACN", "NEM"])
def test_a_split_of_the_simulated_exchange_restates_its_past_and_is_dated_by_it(symbol):
    contract, _ = contract_and_actions(symbol)
    split = next(each for each in known_market().splits(contract.con_id) if each.ex_day < TODAY)
    row = int(TABLE.session_of_label(split.ex_day))
    hour = 3600 * 10**9
    evening, morning = int(TABLE.close[row - 1]) + 2 * hour, int(TABLE.open[row]) + hour
    told = []
    for now_ns in (evening, morning):
        clock = ManualClock(now_ns)
        with (
            start_simulator(market=known_market(), clock=clock, history_pacing=False) as gateway,
            connected(gateway) as connection,
        ):
            request = HistoryRequest(contract, Timeframe.D1, "30 D")
            told.append(connection.history(request, TABLE))
    found = compare(*told)
    assert (found.verdict, found.scaled, found.overlap) == (Verdict.RESTATED, len(told[0]) - 1, len(told[0]) - 1)
    assert found.split == pytest.approx(split.new_per_old)
    instrument = make.instrument(symbol)
    restated(
        instrument, bar=as_datetime(int(told[0].start[-1])).isoformat(), found=as_datetime(morning).isoformat(),
        ratio=found.ratio,
    )  # fmt: skip
    assert actions.restated_splits(instrument, TABLE).dated == [split]
