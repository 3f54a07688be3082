import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.adjustments import Dividend, Split, adjust
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries
from domain.errors import BadInput
from domain.restatement import Verdict, compare
from domain.timeframe import DAY_NS, Timeframe
from tests.domain.shared_files import columns, day

EXAMPLES = int(os.environ.get("RESTATEMENT_EXAMPLES", "200"))
RATIOS = [
    2.0,
    3.0,
    4.0,
    5.0,
    7.0,
    8.0,
    10.0,
    15.0,
    20.0,
    1.5,
    2.5,
    4 / 3,
    5 / 4,
    0.5,
    1 / 3,
    0.25,
    0.2,
    0.125,
    0.1,
    0.05,
]


def walk(count, *, price=50.0, seed=1, adjustment=Adjustment.SPLIT):
    """Daily bars in cents."""
    random = np.random.default_rng(seed)
    close = np.maximum(np.round(price * np.exp(np.cumsum(random.normal(0, 0.01, count))), 2), 0.05)
    open_ = np.maximum(np.round(close * np.exp(random.normal(0, 0.005, count)), 2), 0.05)
    return BarSeries.from_columns(
        Timeframe.D1,
        start=np.arange(count) * DAY_NS,
        open=open_,
        high=np.maximum(open_, close) + 0.03,
        low=np.minimum(open_, close) - 0.02,
        close=close,
        volume=random.integers(1000, 100_000, count).astype(float),
        adjustment=adjustment,
    )


def told_again(held, factor, volume_factor):
    """As IB sends it: prices with four decimals, volumes whole."""
    prices = {name: np.round(getattr(held, name) * factor, 4) for name in PRICE_COLUMNS}
    return replace(held, volume=np.rint(held.volume * volume_factor), **prices)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    split=st.sampled_from(RATIOS),
    count=st.integers(2, 30),
    price=st.floats(3, 3000),
    seed=st.integers(0, 1000),
    knows_volume=st.booleans(),
)
def test_every_split_is_recognised_with_its_ratio(split, count, price, seed, knows_volume):
    held = walk(count, price=price, seed=seed)
    if not knows_volume:
        held = replace(held, volume=np.full(count, np.nan))
    found = compare(held, told_again(held, 1 / split, split))
    assert found.verdict is Verdict.RESTATED and found.scaled == found.overlap == found.different == count
    assert found.split == pytest.approx(split)
    assert found.ratio == pytest.approx(1 / split, rel=2e-3)
    assert np.isnan(found.volume_ratio) != knows_volume


@settings(max_examples=EXAMPLES, deadline=None)
@given(count=st.integers(2, 30), price=st.floats(5, 3000), seed=st.integers(0, 1000), data=st.data())
def test_noise_of_a_cent_is_no_restatement(count, price, seed, data):
    held = walk(count, price=price, seed=seed)
    cents = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=2 * count, max_size=2 * count))).reshape(2, count)
    closes, highs = cents / 100
    close = np.clip(held.close + closes, held.low, held.high)
    fresh = replace(held, close=close, high=held.high + np.abs(highs))
    found = compare(held, fresh)
    is_same = (close == held.close).all() and not highs.any()
    assert found.verdict is (Verdict.SAME if is_same else Verdict.REVISED)
    assert found.split is None and found.largest_shift < 0.005


@pytest.mark.parametrize(
    ("file", "date", "split"),
    [
        ("lean/daily/AAPL.csv", "2014-06-09", 7.0),
        ("lean/daily/AAPL.csv", "2020-08-31", 4.0),
        ("lean/daily/USO.csv", "2020-04-29", 0.125),
        ("lean/daily/IBM.csv", "1999-05-27", 2.0),
        ("backtrader/daily/ORCL_1995_2014_raw.csv", "1997-08-18", 1.5),
    ],
)
def test_the_bars_before_a_real_split_fetched_after_it_are_restated(file, date, split):
    data = columns(f"data/{file}")
    days = data["timestamp"].astype("datetime64[D]").astype(np.int64)
    first = int(np.searchsorted(days, day(date)))
    rows = slice(first - 5, first + 3)
    prices = {name: data[name][rows] for name in (*PRICE_COLUMNS, "volume")}
    prices["high"] = np.maximum.reduce([prices[name] for name in PRICE_COLUMNS])
    prices["low"] = np.minimum.reduce([prices[name] for name in PRICE_COLUMNS])
    raw = BarSeries.from_columns(Timeframe.D1, start=days[rows] * DAY_NS, **prices)
    after = adjust(raw, days[rows], [Split(day(date), split)], Adjustment.SPLIT)
    held = replace(raw, adjustment=Adjustment.SPLIT)
    before = compare(held[:5], after[:5])
    assert (before.verdict, before.split, before.scaled) == (Verdict.RESTATED, pytest.approx(split), 5)
    # With bars from after the split in the overlap, as many as agree.
    across = compare(held, after)
    assert (across.verdict, across.split, across.scaled, across.overlap) == (
        Verdict.RESTATED, pytest.approx(split), 5, 8,
    )  # fmt: skip
    assert compare(held[5:], after[5:]).verdict is Verdict.SAME


def test_the_same_bars_are_the_same_and_ib_s_fourth_decimal_is_not_a_difference():
    held = walk(20)
    assert compare(held, held) == (Verdict.SAME, 20, 0, 0, 0, 1.0, 1.0, 0.0, None)
    rounded = replace(held, close=held.close + 0.0001, high=held.high + 0.0001)
    assert compare(held, rounded).verdict is Verdict.SAME


def test_one_corrected_bar_is_a_revision_however_large():
    held = walk(5)
    high = held.high.copy()
    high[2] *= 1.3
    found = compare(replace(held, high=high), held)
    assert (found.verdict, found.different, found.prices_differ) == (Verdict.REVISED, 1, 1)
    assert found.largest_shift == pytest.approx(1 - 1 / 1.3) and found.ratio == 1.0


def test_a_volume_that_came_late_is_a_revision():
    held = walk(5)
    volume = held.volume.copy()
    volume[4] += 300
    found = compare(held, replace(held, volume=volume))
    assert (found.verdict, found.different, found.prices_differ) == (Verdict.REVISED, 1, 0)
    volume[4] = np.nan
    assert compare(held, replace(held, volume=volume)).different == 1


def test_a_dividend_restates_prices_that_contain_dividends():
    days, held = np.arange(30), walk(30, adjustment=Adjustment.RAW)
    actions = [Dividend(29, 0.31)]
    before = adjust(held[:29], days[:29], actions, Adjustment.TOTAL)
    after = adjust(held, days, actions, Adjustment.TOTAL)
    found = compare(before[-5:], told_again(after, 1, 1)[-6:])
    assert (found.verdict, found.overlap, found.split) == (Verdict.RESTATED, 5, None)
    assert found.ratio == pytest.approx(1 - 0.31 / float(held.close[28]), rel=1e-4)


def test_a_ratio_without_its_volumes_is_restated_but_not_called_a_split():
    held = walk(10)
    found = compare(held, told_again(held, 0.5, 1))
    assert (found.verdict, found.split, found.volume_ratio) == (Verdict.RESTATED, None, 1.0)
    spun_off = compare(held, told_again(held, 0.41327, 1))
    assert (spun_off.verdict, spun_off.split) == (Verdict.RESTATED, None)
    assert spun_off.ratio == pytest.approx(0.41327, rel=1e-4)


def test_a_typical_shift_of_more_than_half_a_percent_is_a_restatement_without_one_ratio():
    held, random = walk(12), np.random.default_rng(4)
    moved = replace(held, **{name: getattr(held, name) * random.uniform(1.006, 1.012, 12) for name in PRICE_COLUMNS})
    assert compare(held, moved).verdict is Verdict.RESTATED
    assert compare(held[:1], moved[:1]).verdict is Verdict.RESTATED


def test_without_bars_in_common_nothing_is_known():
    bars = walk(10)
    found = compare(bars[:5], bars[5:])
    assert (found.verdict, found.overlap) == (Verdict.SAME, 0)
    assert compare(bars[:0], bars).overlap == 0


def test_bars_of_different_basis_or_timeframe_are_not_compared():
    bars = walk(3)
    with pytest.raises(BadInput, match="1d split bars with 1d raw ones"):
        compare(bars, replace(bars, adjustment=Adjustment.RAW))
    with pytest.raises(BadInput, match="1d split bars with 1w split ones"):
        compare(bars, replace(bars, timeframe=Timeframe.W1))
