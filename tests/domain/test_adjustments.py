import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.adjustments import (
    Delisting,
    Dividend,
    DividendConvention,
    Split,
    adjust,
    derive_actions,
    dividend_factors,
    snap_ratio,
    split_factors,
)
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries
from domain.errors import BadInput
from domain.timeframe import DAY_NS, Timeframe
from tests.domain.shared_files import columns, day, golden, rows

EX_CLOSE, PREVIOUS_CLOSE = DividendConvention.EX_CLOSE, DividendConvention.PREVIOUS_CLOSE
ACTIONS = "data/lean/corporate_actions"
# Securities of LEAN's factor files and the file that holds their raw prices under one ticker all the time.
LEAN_FILES = {name: name for name in ("AAPL", "IBM", "SPY", "IWM", "BAC")}


def daily(relative):
    """(days, close, whole columns) of a daily file."""
    data = columns(f"data/{relative}")
    return data["timestamp"].astype("datetime64[D]").astype(np.int64), data["close"], data


def series_of(days, data):
    start = days * DAY_NS
    # Vendors round single rows to a close just outside [low, high]; what counts here is the arithmetic.
    high = np.maximum.reduce([data["high"], data["close"], data["open"]])
    low = np.minimum.reduce([data["low"], data["close"], data["open"]])
    return BarSeries.from_columns(
        Timeframe.D1, start=start, open=data["open"], high=high, low=low, close=data["close"], volume=data["volume"]
    )


def lean_actions(symbol):
    splits = [
        Split(day(r["ex_date"]), float(r["new_per_old"]))
        for r in rows(f"{ACTIONS}/splits.csv")
        if r["symbol"] == symbol
    ]
    cash = [
        Dividend(day(r["ex_date"]), float(r["amount"]))
        for r in rows(f"{ACTIONS}/dividends.csv")
        if r["symbol"] == symbol
    ]
    return splits + cash


def lean_factors(symbol, days):
    """LEAN's own (price factor, split factor) for each day: a row of the file is valid up to its last_date."""
    lines = [r for r in rows(f"{ACTIONS}/factors.csv") if r["symbol"] == symbol]
    last = np.array([day(r["last_date"]) for r in lines])
    row = np.searchsorted(last, days)
    return [np.array([float(r[name]) for r in lines])[row] for name in ("price_factor", "split_factor")]


def toy(closes, volume=100.0):
    closes = np.asarray(closes, float)
    return BarSeries.from_columns(
        Timeframe.D1,
        start=np.arange(len(closes)) * DAY_NS,
        open=closes,
        high=closes,
        low=closes,
        close=closes,
        volume=np.full(len(closes), volume),
    )


def test_adjusted_prices_are_those_of_the_reference():
    expected = golden("corporate_actions/ca01_aapl.json")
    days, _, data = daily(expected["file"].removeprefix("shared/data/"))
    raw, actions = series_of(days, data), lean_actions("AAPL")
    split, total = adjust(raw, days, actions, Adjustment.SPLIT), adjust(raw, days, actions, Adjustment.TOTAL)
    assert len(expected["expected"]) == 12
    for row in expected["expected"]:
        i = int(np.searchsorted(days, day(row["date"])))
        assert raw.close[i] == row["raw_close"] and raw.volume[i] == row["raw_volume"]
        # The reference prints six decimals.
        assert split.close[i] == pytest.approx(row["split_adjusted_close"], rel=5e-6)
        assert total.close[i] == pytest.approx(row["total_return_adjusted_close"], rel=5e-6)
        assert split.volume[i] == pytest.approx(row["split_adjusted_volume"], rel=1e-12)
        assert total.volume[i] == split.volume[i]
    in_two_steps = adjust(split, days, actions, Adjustment.TOTAL)
    for name in PRICE_COLUMNS:
        np.testing.assert_allclose(getattr(in_two_steps, name), getattr(total, name), rtol=1e-12)
    split.check()


@pytest.mark.parametrize("symbol", LEAN_FILES)
def test_our_factors_are_lean_s_factors(symbol):
    days, _, data = daily(f"lean/daily/{symbol}.csv")
    raw, actions = series_of(days, data), lean_actions(symbol)
    assert len(actions) > 30
    price, split = lean_factors(symbol, days)
    price, split = price / price[-1], split / split[-1]
    np.testing.assert_allclose(split_factors(days, actions), split, rtol=1e-5)
    factors = dividend_factors(days, raw.close * split_factors(days, actions), actions)
    # Until 1998-09-30 the ticker BAC was another company's: LEAN made its factors with the closes of NB.
    own = days >= (day("1998-10-01") if symbol == "BAC" else 0)
    np.testing.assert_allclose(factors[own], price[own], rtol=1e-6)


def test_a_reverse_split_multiplies_earlier_prices():
    days, _, _ = daily("lean/daily/USO.csv")
    actions = lean_actions("USO")
    factors = split_factors(days, actions)
    assert [a.new_per_old for a in actions] == [0.125]
    before = days < day("2020-04-29")
    assert before.any() and (factors[before] == 8).all() and (factors[~before] == 1).all()


def test_actions_recovered_from_raw_and_adjusted_closes_are_those_of_the_reference():
    expected = golden("corporate_actions/ca07_derive_aapl_wiki.json")
    days, close, data = daily(expected["file"].removeprefix("shared/data/"))
    for convention, amount in ((EX_CLOSE, "amount"), (PREVIOUS_CLOSE, "amount_if_previous_close_convention")):
        found = derive_actions(days, close, data["adj_close"], convention)
        assert [action.ex_day for action in found] == [day(row["ex_date"]) for row in expected["actions"]]
        for action, row in zip(found, expected["actions"], strict=True):
            if row["kind"] == "split":
                assert action == Split(day(row["ex_date"]), row["new_per_old"])
            else:
                assert isinstance(action, Dividend) and action.amount == pytest.approx(row[amount], abs=0.005)


@pytest.mark.parametrize(
    ("file", "convention", "splits", "dividends"),
    [
        ("pip_bokeh_sampledata/daily/GOOG.csv", EX_CLOSE, [], 0),  # adjusted closes are half the closes throughout
        ("pip_bokeh_sampledata/daily/FB.csv", EX_CLOSE, [], 0),
        ("pip_bokeh_sampledata/daily/IBM.csv", EX_CLOSE, [], 52),
        ("pip_bokeh_sampledata/daily/MSFT.csv", EX_CLOSE, [2.0], 37),
        ("pyalgotrade/daily/AAPL_2011_2012_wiki.csv", EX_CLOSE, [], 2),
        ("pyalgotrade/daily/ORCL_2000_wiki.csv", EX_CLOSE, [2.0, 2.0], 0),
        ("pyalgotrade/daily/ORCL_2000_yahoo.csv", PREVIOUS_CLOSE, [2.0, 2.0], 0),
        ("backtrader/daily/ORCL_1995_2014_raw.csv", PREVIOUS_CLOSE, [1.5, 1.5, 1.5, 1.5, 2.0, 2.0], 22),
        ("backtrader/daily/NVDA_1999_2014.csv", PREVIOUS_CLOSE, [], 9),
        ("backtrader/daily/YHOO_1996_2015.csv", PREVIOUS_CLOSE, [], 0),
        ("mplfinance/daily/AAPL_2004_2018_yahoo.csv", PREVIOUS_CLOSE, [], 22),
        ("mplfinance/daily/SPY_2008_2017_yahoo.csv", PREVIOUS_CLOSE, [], 40),
    ],
)
def test_every_vendor_s_adjusted_closes_give_the_actions_and_the_actions_give_them_back(
    file, convention, splits, dividends
):
    days, close, data = daily(file)
    adjusted = data["adj_close"]
    found = derive_actions(days, close, adjusted, convention)
    assert [a.new_per_old for a in found if isinstance(a, Split)] == splits
    assert sum(isinstance(a, Dividend) for a in found) == dividends
    back = derive_actions(days, close, adjusted, PREVIOUS_CLOSE)
    ours = adjust(series_of(days, data), days, back, Adjustment.TOTAL).close
    # Cents of an adjusted price of 2 dollars are 0.25 %; all other files have four decimals or more.
    tolerance = 1e-2 if "ORCL" in file else 1e-4
    np.testing.assert_allclose(ours / ours[-1], adjusted / adjusted[-1], rtol=tolerance)


@pytest.mark.parametrize(
    ("file", "first", "amounts"),
    [
        ("pip_bokeh_sampledata/daily/IBM.csv", "2012-05-08", [0.85, 0.85, 0.85, 0.85]),
        ("pip_bokeh_sampledata/daily/MSFT.csv", "2004-08-23", [0.08, 3.08, 0.08]),
        ("backtrader/daily/NVDA_1999_2014.csv", "2012-11-20", [0.075, 0.075, 0.075, 0.075, 0.085]),
        ("mplfinance/daily/SPY_2008_2017_yahoo.csv", "2008-03-20", [0.642, 0.669, 0.691, 0.719]),
    ],
)
def test_derived_dividends_are_the_ones_that_were_paid(file, first, amounts):
    days, close, data = daily(file)
    convention = EX_CLOSE if "bokeh" in file else PREVIOUS_CLOSE
    found = [a for a in derive_actions(days, close, data["adj_close"], convention) if a.ex_day >= day(first)]
    assert [a.amount for a in found][: len(amounts)] == pytest.approx(amounts, abs=5e-4)


@pytest.mark.parametrize("symbol", LEAN_FILES)
def test_deriving_undoes_lean_s_factors(symbol):
    days, close, _ = daily(f"lean/daily/{symbol}.csv")
    price, split = lean_factors(symbol, days)
    found = derive_actions(days, close, close * price * split)
    listed = [a for a in lean_actions(symbol) if days[0] < a.ex_day <= days[-1]]
    assert sorted(a.ex_day for a in found) == sorted(a.ex_day for a in listed)
    assert [a for a in found if isinstance(a, Split)] == [a for a in listed if isinstance(a, Split)]


def test_a_dividend_of_two_thirds_of_the_price_is_no_split():
    days, close, _ = daily("lean/daily/AAA.csv")
    old = days <= day("2007-05-18")  # another security has the ticker since 2020
    days, close = days[old], close[old]
    price, split = lean_factors("AAA.1", days)
    found = derive_actions(days, close, close * price * split)
    assert all(isinstance(a, Dividend) for a in found)
    special = found[-1]
    assert special.ex_day == day("2007-05-15") and special.amount / 69.35 == pytest.approx(0.68, abs=0.005)


def test_ratios_are_snapped_to_usual_ones_and_others_are_not():
    assert snap_ratio(0.0357143 / 0.25, 1e-4) == 1 / 7
    assert snap_ratio(0.25641, 0.03) == 0.25 and snap_ratio(0.2496, 0.03) == 0.25
    assert snap_ratio(1.5020720433523524, 5e-3) == 1.5
    assert snap_ratio(1.0027, 1e-3) is None and snap_ratio(3.1108, 0.03) is None


def test_a_spin_off_is_a_payment_and_not_a_split():
    """Every change of more than a sixth in two years of 307 real symbols; the odd ratios are spin-offs."""
    payments = set()
    listed = [row for row in rows("data/pystock/us_actions_2015_2017.csv") if row["kind"] == "split_or_spinoff"]
    assert len(listed) == 42
    for row in listed:
        close, adjusted = float(row["prev_close"]), float(row["prev_adj_close"])
        found = derive_actions(np.arange(2), np.array([close, adjusted]), np.array([adjusted, adjusted]))
        assert len(found) == 1
        if isinstance(found[0], Dividend):
            payments.add(row["symbol"])
        else:
            assert found[0].new_per_old == pytest.approx(float(row["new_per_old"]), rel=1e-3)
    assert payments == {"BAX", "CCE", "CSC", "EBAY", "FCAU", "HPQ", "NI", "YUM"}


def test_a_split_with_a_dividend_on_its_ex_day_is_told_apart():
    days, close = np.arange(4), np.array([100.0, 102.0, 50.5, 51.0])
    for convention in DividendConvention:
        kept = 1 - 0.4 / 51 if convention is PREVIOUS_CLOSE else 50.5 / 50.9
        adjusted = close * np.array([kept / 2, kept / 2, 1, 1])
        split, dividend = derive_actions(days, close, adjusted, convention)
        assert split == Split(2, 2.0) and dividend.ex_day == 2 and dividend.amount == pytest.approx(0.4)
    back = [Split(2, 2.0), Dividend(2, 0.4)]
    ours = adjust(toy(close), days, back, Adjustment.TOTAL).close
    np.testing.assert_allclose(ours[:2], close[:2] * (1 - 0.4 / 51) / 2)


def test_what_prices_that_contain_splits_lack_is_cash_however_much():
    days, close = np.arange(4), np.array([100.0, 102.0, 50.5, 51.0])
    adjusted = close * np.array([0.5, 0.5, 1, 1])
    assert derive_actions(days, close, adjusted) == [Split(2, 2.0)]
    assert derive_actions(days, close, adjusted, contains_splits=True) == [Dividend(2, 51.0)]
    with pytest.raises(BadInput, match=r"before 1970-01-03 are raised by 100\.0.*get both again"):
        derive_actions(days, close, close * np.array([2, 2, 1, 1]), contains_splits=True)


def test_an_odd_reverse_split_is_reported_as_it_is():
    days, close = np.arange(3), np.array([10.0123, 10.0456, 13.0789])
    (split,) = derive_actions(days, close, close * np.array([1.3, 1.3, 1.0]))
    assert split.ex_day == 2 and split.new_per_old == pytest.approx(1 / 1.3)


def test_an_action_changes_only_what_came_before_it_and_only_once_it_is_known():
    days, actions = np.arange(6), [Split(2, 2.0), Split(5, 3.0), Delisting(6, 1.0)]
    assert split_factors(days, actions).tolist() == [1 / 6, 1 / 6, 1 / 3, 1 / 3, 1 / 3, 1]
    assert split_factors(days, actions, as_of_day=4).tolist() == [0.5, 0.5, 1, 1, 1, 1]
    assert split_factors(days, actions, as_of_day=1).tolist() == [1] * 6
    assert split_factors(days[:0], actions).tolist() == []
    # An ex-day without a bar (a halt) takes effect at the first bar after it.
    assert split_factors(np.array([0, 1, 4]), [Split(2, 2.0)]).tolist() == [0.5, 0.5, 1]


@given(
    closes=st.lists(st.floats(1, 1000), min_size=3, max_size=30),
    splits=st.dictionaries(st.integers(0, 35), st.sampled_from([2.0, 1.5, 0.1, 7.0]), max_size=3),
    dividends=st.dictionaries(st.integers(0, 35), st.floats(0.001, 0.02), max_size=4),
    cut=st.integers(1, 30),
)
def test_the_view_of_an_earlier_day_never_depends_on_later_actions(closes, splits, dividends, cut):
    days = np.arange(len(closes))
    actions = [Split(d, r) for d, r in splits.items()] + [Dividend(d, a) for d, a in dividends.items()]
    series, n = toy(closes), min(cut, len(closes))
    known = [a for a in actions if a.ex_day <= days[n - 1]]
    for to in (Adjustment.SPLIT, Adjustment.TOTAL):
        early = adjust(series[slice(n)], days[:n], actions, to)
        np.testing.assert_array_equal(early.close, adjust(series[slice(n)], days[:n], known, to).close)
        # Seen later, the same bars differ by one constant factor: returns stay.
        late = adjust(series, days, actions, to).close[:n]
        np.testing.assert_allclose(late / late[-1], early.close / early.close[-1], rtol=1e-9)
    split = adjust(series, days, actions, Adjustment.SPLIT)
    np.testing.assert_allclose(split.close * split.volume, series.close * series.volume)
    np.testing.assert_allclose(split.close, series.close * split_factors(days, actions), rtol=1e-12)


def test_total_return_prices_grow_as_a_holding_that_reinvests():
    days = np.arange(5)
    closes = np.array([100.0, 110.0, 52.0, 54.0, 53.0])  # 2:1 on day 2, cash 1.5 on day 4
    total = adjust(toy(closes), days, [Split(2, 2.0), Dividend(4, 1.5)], Adjustment.TOTAL)
    shares = 1 * 2 * (54.0 / (54.0 - 1.5))  # the dividend buys at the close before, less what was paid
    assert total.close[-1] / total.close[0] == pytest.approx(shares * 53.0 / 100.0)


def test_nothing_is_adjusted_twice():
    days, series = np.arange(3), toy([1, 2, 3])
    split = adjust(series, days, [], Adjustment.SPLIT)
    total = adjust(series, days, [], Adjustment.TOTAL)
    for given_series, to in ((series, "raw"), (split, "split"), (split, "raw"), (total, "split"), (total, "total")):
        with pytest.raises(BadInput, match="already and cannot be made"):
            adjust(given_series, days, [Split(1, 2.0)], Adjustment(to))
    with pytest.raises(BadInput, match="2 exchange dates for 3 bars"):
        adjust(series, days[:2], [], Adjustment.SPLIT)


def test_an_empty_series_is_adjusted_to_an_empty_one():
    empty = adjust(
        BarSeries.empty(Timeframe.D1), np.empty(0, np.int64), [Split(1, 2.0), Dividend(1, 1.0)], Adjustment.TOTAL
    )
    assert len(empty) == 0 and empty.adjustment is Adjustment.TOTAL


def test_values_that_cannot_be_right_are_refused():
    for bad in (0, -1, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="split's ratio on 1970-01-02"):
            Split(1, bad)
        with pytest.raises(BadInput, match="dividend's amount on 1970-01-02"):
            Dividend(1, bad)
    with pytest.raises(BadInput, match="delisting on 1970-01-02"):
        Delisting(1, -0.5)
    with pytest.raises(BadInput, match="times the close before it"):
        adjust(toy([10, 10]), np.arange(2), [Dividend(1, 10.0)], Adjustment.TOTAL)
    good = np.array([1.0, 2.0])
    with pytest.raises(BadInput, match="a close is not a positive number"):
        derive_actions(np.arange(2), np.array([1.0, np.nan]), good)
    with pytest.raises(BadInput, match="adjusted close is not a positive number"):
        derive_actions(np.arange(2), good, np.array([1.0, 0.0]))
    with pytest.raises(BadInput, match="3 days, 2 closes"):
        derive_actions(np.arange(3), good, good)
    with pytest.raises(BadInput, match="days do not increase"):
        derive_actions(np.array([2, 1]), good, good)
    assert derive_actions(np.arange(0), good[:0], good[:0]) == []
