import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import Adjustment, BarSeries, merge
from domain.errors import BadInput
from domain.timeframe import DAY_NS, Timeframe

DAY_ONE = 18_262 * DAY_NS


def series(starts, price=10.0, **more):
    starts = np.asarray(starts, np.int64)
    prices = np.full(len(starts), float(price))
    return BarSeries.from_columns(
        Timeframe.D1, **{"start": starts, "open": prices, "high": prices, "low": prices, "close": prices, **more}
    )


def four_days(**more):
    return series(DAY_ONE + np.arange(4) * DAY_NS, **more)


def test_columns_become_float64_and_int64_and_a_bar_lasts_its_timeframe():
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")
    bars = BarSeries.from_columns("1 day", start=days, open=[1, 2], high=[3, 4], low=[1, 1], close=[2, 3])
    assert bars.timeframe is Timeframe.D1
    assert bars.start.tolist() == [DAY_ONE, DAY_ONE + DAY_NS] and bars.start.dtype == np.int64
    assert bars.end.tolist() == [DAY_ONE + DAY_NS, DAY_ONE + 2 * DAY_NS]
    assert bars.open.dtype == np.float64
    assert np.isnan(bars.volume).all()
    assert bars.adjustment is Adjustment.RAW


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("open", np.nan, "row 2 .*open is not a positive number"),
        ("close", 0.0, "row 2 .*close is not a positive number"),
        ("low", -1.0, "row 2 .*low is not a positive number"),
        ("high", np.inf, "row 2 .*high is not a positive number"),
        ("high", 9.0, "row 2 .*high is below low"),
        ("open", 11.0, r"row 2 .*open is outside \[low, high\]"),
        ("close", 9.5, r"row 2 .*close is outside \[low, high\]"),
        ("volume", -1.0, "row 2 .*volume is negative or infinite"),
        ("volume", np.inf, "row 2 .*volume is negative or infinite"),
    ],
)
def test_a_bad_value_is_refused_with_its_row_and_time(column, value, message):
    values = np.full(4, 10.0)
    values[2] = value
    with pytest.raises(BadInput, match=message) as caught:
        four_days(**{column: values})
    assert "2020-01-03" in str(caught.value)


@pytest.mark.parametrize("starts", [[0, 2, 1], [0, 1, 1]])
def test_unsorted_and_doubled_starts_are_refused(starts):
    with pytest.raises(BadInput, match=r"row 2 .*start does not increase"):
        series(np.array(starts) * DAY_NS)


def test_an_end_before_its_start_and_columns_of_other_lengths_are_refused():
    starts = DAY_ONE + np.arange(4) * DAY_NS
    with pytest.raises(BadInput, match="end is not after start"):
        four_days(end=starts)
    with pytest.raises(BadInput, match=r"column 'open' has shape \(3,\), expected \(4,\)"):
        four_days(open=np.full(3, 10.0))


def test_times_that_are_no_times_are_refused():
    with pytest.raises(BadInput, match="times must be datetime64 or int64 nanoseconds"):
        BarSeries.from_columns("1d", start=[0.5, 1.5], open=[1, 1], high=[1, 1], low=[1, 1], close=[1, 1])


def test_slices_and_ranges_are_views():
    bars = four_days()
    some = bars.between(DAY_ONE + DAY_NS, DAY_ONE + 3 * DAY_NS)
    assert some.start.tolist() == bars.start[1:3].tolist()
    assert np.shares_memory(some.close, bars.close)
    assert len(bars.between(None, None)) == 4
    assert len(bars.between(DAY_ONE + 4 * DAY_NS, None)) == 0


def test_empty_bars_are_right_and_hash_like_others():
    empty = BarSeries.empty(Timeframe.M1)
    empty.check()
    assert len(empty) == 0
    assert empty.content_hash() != BarSeries.empty(Timeframe.M5).content_hash()


def test_the_hash_is_of_the_content_only():
    bars = four_days()
    again = BarSeries(**{name: getattr(bars, name) for name in BarSeries.__slots__})
    assert bars.content_hash() == again.content_hash() == four_days().content_hash()
    changed = four_days(volume=np.array([1.0, 2.0, 3.0, 4.0]))
    split = four_days(adjustment=Adjustment.SPLIT)
    assert len({bars.content_hash(), changed.content_hash(), split.content_hash(), bars[:3].content_hash()}) == 4


def test_of_bars_of_one_start_the_later_piece_wins():
    old, new = four_days(price=10.0), series(DAY_ONE + np.arange(2, 6) * DAY_NS, price=20.0)
    assert merge([old, new]).close.tolist() == [10, 10, 20, 20, 20, 20]
    assert merge([new, old]).close.tolist() == [10, 10, 10, 10, 20, 20]
    assert merge([old]) is old


def test_pieces_that_do_not_fit_are_not_merged():
    with pytest.raises(BadInput, match="nothing to merge"):
        merge([])
    with pytest.raises(BadInput, match="cannot merge 1d split with 1d raw"):
        merge([four_days(), four_days(adjustment=Adjustment.SPLIT)])


@given(st.data())
def test_merging_any_partition_in_any_order_gives_the_same_bars(data):
    count = data.draw(st.integers(1, 30))
    whole = series(DAY_ONE + np.arange(count) * DAY_NS, volume=np.arange(count, dtype=float))
    owner = np.array(data.draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)))
    pieces = []
    for piece in data.draw(st.permutations(range(5))):
        rows = np.flatnonzero(owner == piece)
        if len(rows):
            pieces.append(series(whole.start[rows], volume=whole.volume[rows]))
    assert merge(pieces).content_hash() == whole.content_hash()
