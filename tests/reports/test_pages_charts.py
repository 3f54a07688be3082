"""What charts and the coverage map are made of, against the bars and ledgers themselves."""

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest
from django.http import QueryDict

from domain.adjustments import Delisting
from domain.bars import merge
from domain.errors import BadInput
from domain.gaps import GapClass, find_session_gaps
from domain.timeframe import Timeframe
from marketdata import calendars, services, store
from marketdata.holdings import holdings
from marketdata.models import CorporateAction
from marketdata.moments import as_ns
from reports.labels import NOTHING
from reports.ledgers import read_ledger
from reports.pages import barpages, charts, comparing, coverage
from reports.pages.barpages import Wanted, choose, iso, read_moment, read_page
from reports.pages.indicators import INDICATORS, read_indicators
from strategies.backtests import plan_backtest, run_backtest, run_directory
from strategies.config import parse_config
from tests.strategies import make
from tests.strategies.conftest import known, market, places  # noqa: F401

pytestmark = pytest.mark.django_db

MINUTES = Wanted(Timeframe.M1)


@pytest.fixture
def two_years(places):  # noqa: F811
    """Minutes of the turn of a year, which lie in two files."""
    bars = make.bars("1m", first="2019-12-20", last="2020-01-15")
    return make.instrument("ABC", bars), bars


def starts(page):
    return page.shown.start.tolist()


# ---- pages of bars


def test_the_newest_bars_come_first_with_those_before_them_to_warm_up(two_years):
    row, bars = two_years
    page = read_page(row, MINUTES)
    assert starts(page) == bars.start[-barpages.USUAL_BARS :].tolist()
    assert page.first == barpages.WARMUP_BARS
    assert page.bars.start.tolist() == bars.start[-barpages.USUAL_BARS - barpages.WARMUP_BARS :].tolist()
    assert (page.older, page.newer, page.merged) == (True, False, "")


def test_older_pages_lead_through_every_bar_once_and_newer_ones_back(two_years):
    row, bars = two_years
    seen, page = [], read_page(row, MINUTES)
    while True:
        seen = starts(page) + seen
        if not page.older:
            break
        page = read_page(row, MINUTES._replace(before=read_moment("before", iso(int(page.shown.start[0])))))
    assert seen == bars.start.tolist()
    back = starts(page)
    while page.newer:
        page = read_page(row, MINUTES._replace(after=read_moment("after", iso(int(page.shown.start[-1])))))
        back += starts(page)
    assert back == bars.start.tolist()


def test_a_range_of_too_many_bars_is_merged_and_keeps_its_extremes(two_years):
    row, bars = two_years
    page = read_page(row, MINUTES._replace(range="All"))
    shown = page.shown
    assert len(shown) <= barpages.MAX_BARS < len(bars)
    assert page.merged == "5 minutes"
    assert (shown.high.max(), shown.low.min()) == (bars.high.max(), bars.low.min())
    assert shown.volume.sum() == pytest.approx(bars.volume.sum())
    assert (shown.open[0], shown.close[-1]) == (bars.open[0], bars.close[-1])


def test_a_range_counts_days_back_from_where_the_view_ends(two_years):
    row, bars = two_years
    end = int(bars.end[-1])
    page = read_page(row, MINUTES._replace(range="5D"))
    assert starts(page) == bars.start[bars.start >= end - 5 * 86_400 * 10**9].tolist()
    cut = int(bars.start[3_000])
    page = read_page(row, MINUTES._replace(range="5D", before=cut))
    assert starts(page) == bars.start[(bars.start < cut) & (bars.start >= cut - 5 * 86_400 * 10**9)].tolist()


def test_no_view_holds_more_bars_than_are_promised(two_years):
    row, _ = two_years
    for name in ("", *barpages.RANGES):
        assert len(read_page(row, MINUTES._replace(range=name)).shown) <= barpages.MAX_BARS


def test_what_is_not_held_is_refused_by_name(two_years):
    row, _ = two_years
    held = store.coverage(row)
    assert choose(row, held, QueryDict("")) == MINUTES
    for query, message in {
        "timeframe=1d": "no 1d bars are held .held: 1m.",
        "timeframe=nonsense": "nonsense",
        "what=BID_ASK": "no 1m bars of 'BID_ASK'",
        "adjustment=total": "no 'total' prices are held .held: raw.",
        "range=9Q": "range '9Q'",
        "before=yesterday": "before: 'yesterday' is no time",
        "after=0001-01-01": "too far away",
    }.items():
        with pytest.raises(BadInput, match=message):
            choose(row, held, QueryDict(query))
    with pytest.raises(BadInput, match="no bars are held there"):
        read_page(row, MINUTES._replace(before=read_moment("before", "2001-01-01")))
    assert choose(row, [], QueryDict("")) is None


def test_labels_are_the_clock_of_utc_or_of_the_exchange_and_each_stands_once(two_years):
    _, bars = two_years
    day = bars[:390]
    sessions = calendars.sessions("XNYS")
    assert barpages.labels(day, None, clock=True)[::389] == ["2019-12-20 14:30", "2019-12-20 20:59"]
    assert barpages.labels(day, sessions, clock=True)[::389] == ["2019-12-20 09:30", "2019-12-20 15:59"]
    assert barpages.labels(day[:1], sessions, clock=False) == ["2019-12-20"]
    twice = replace(day[:2], start=day.start[0] + np.array([0, 1]))
    assert barpages.labels(twice, None, clock=True) == ["2019-12-20 14:30", "2019-12-20 14:30 (2)"]


# ---- indicators


def test_every_indicator_draws_lines_of_the_bars_length_at_its_usual_numbers():
    bars = make.bars()
    for name, indicator in INDICATORS.items():
        (chosen,) = read_indicators({name: indicator.usual})
        lines = chosen.lines(bars)
        assert lines and all(len(values) == len(bars) and np.isfinite(values[-1]) for values in lines.values()), name


def test_wrong_indicators_are_refused_before_anything_is_computed():
    for name, text in (
        ("sma", "x"),
        ("sma", "0"),
        ("sma", "501"),
        ("sma", "2.5"),
        ("sma", "nan"),
        ("sma", "1e400"),
        ("sma", "20/2"),
        ("macd", "12/26"),
        ("bollinger", "20/-1"),
        ("rsi", "1,2,3,4,5"),
    ):
        with pytest.raises(BadInput):
            read_indicators({name: text})
    assert [each.label for each in read_indicators({"sma": "20, 50", "bollinger": "20/2.5"})] == [
        "SMA 20",
        "SMA 50",
        "BOLLINGER 20/2.5",
    ]
    with pytest.raises(BadInput, match="fast must be below slow"):
        read_indicators({"macd": "26/12/9"})[0].lines(make.bars())


# ---- figures


def test_the_price_chart_has_the_bars_and_a_warm_average(two_years):
    row, bars = two_years
    page = read_page(row, MINUTES)
    labels = barpages.labels(page.shown, None, clock=True)
    figure = charts.price_chart(page.bars, page.first, labels, indicators=read_indicators({"sma": "20", "rsi": "14"}))
    candles, volume, average, rsi = figure["data"]
    assert candles["close"] == np.round(bars.close[-500:], 6).tolist()
    assert volume["y"] == bars.volume[-500:].tolist()
    plain = np.convolve(bars.close, np.ones(20) / 20, "valid")[-500:]
    assert average["y"] == pytest.approx(plain.tolist(), abs=1e-6)  # the first, too: it is warm
    assert (rsi["yaxis"], figure["layout"]["yaxis3"]["title"]["text"]) == ("y3", "RSI")
    domains = [figure["layout"][name]["domain"] for name in ("yaxis3", "yaxis2", "yaxis")]
    assert [low for low, _ in domains[1:]] >= [high for _, high in domains[:-1]]
    json.dumps(figure, allow_nan=False)


def test_marks_and_actions_stand_at_their_bars():
    bars = make.bars()
    labels = barpages.labels(bars, None, clock=False)
    marks = {
        "time": bars.start[[10, 20]] + 1,
        "quantity": np.array([5.0, 7.0]),
        "price": np.array([99.5, 101.25]),
        "sign": np.array([1, -1]),
    }
    split = CorporateAction(ex_date="2019-07-04", kind="split", value=2)  # a holiday: it counts at the next session
    far = CorporateAction(ex_date="2031-01-01", kind="split", value=2)
    early = CorporateAction(ex_date="2001-01-01", kind="dividend", value=1)
    figure = charts.price_chart(bars, 0, labels, marks=marks, actions=[split, far, early])
    found = {trace["name"]: trace for trace in figure["data"]}
    assert (found["Buy"]["x"], found["Buy"]["y"]) == ([labels[10]], [99.5])
    assert (found["Sell"]["x"], found["Sell"]["customdata"]) == ([labels[20]], [7.0])
    assert (found["Split"]["x"], found["Split"]["text"]) == (["2019-07-05"], ["S"])
    assert "Dividend" not in found


# ---- coverage


def holed(row, series, rows):
    """The series without these rows, stored."""
    keep = np.ones(len(series), bool)
    keep[rows] = False
    cuts = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(int), [0]])))
    store.write_bars(
        instrument=row, series=merge([series[lo:hi] for lo, hi in zip(cuts[::2], cuts[1::2], strict=True)]), source="t"
    )
    return series.start[keep]


def cells_by(rows, bucket):
    return {key: cell for row_key, row in enumerate(rows) for key, cell in bucket(row_key, row) if cell.expected}


@pytest.mark.parametrize("timeframe", ["1d", "30m"])
def test_the_map_counts_each_month_and_day_as_the_bars_do(places, timeframe):  # noqa: F811
    row = make.instrument("ABC")
    series = make.bars(timeframe)
    random = np.random.default_rng(5)
    gone = np.unique(np.concatenate([random.integers(1, len(series) - 1, 60), np.arange(100, 140)]))
    kept = holed(row, series, gone)
    (found,) = holdings(row)
    lo, hi = as_ns(found.held.start), as_ns(found.held.end)
    sessions = calendars.sessions("XNYS")
    rows = coverage.months(found.gaps, sessions, Timeframe(timeframe), coverage.Span(lo, hi))
    cells = cells_by(rows, lambda _, each: (((int(each.label), m), c) for m, c in enumerate(each.cells, 1)))
    for (year, month), cell in cells.items():
        wanted = np.datetime64(f"{year}-{month:02}")
        expected = (series.start.astype("datetime64[ns]").astype("datetime64[M]") == wanted).sum()
        held = (kept.astype("datetime64[ns]").astype("datetime64[M]") == wanted).sum()
        assert (cell.expected, cell.held) == (expected, held)
    assert len(cells) == 24
    assert sum(cell.expected for cell in cells.values()) == found.gaps.expected
    assert sum(sum(cell.missing) for cell in cells.values()) == int(found.gaps.missing.sum()) == len(gone)

    rows = coverage.days(found.gaps, sessions, Timeframe(timeframe), coverage.Span(lo, hi), 2020)
    assert [len(each.cells) for each in rows] == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    days = cells_by(rows, lambda m, each: (((m + 1, d), c) for d, c in enumerate(each.cells, 1)))
    for (month, day), cell in days.items():
        wanted = np.datetime64(f"2020-{month:02}-{day:02}")
        assert cell.held == (kept.astype("datetime64[ns]").astype("datetime64[D]") == wanted).sum()
    assert (
        sum(cell.expected for cell in days.values())
        == (series.start.astype("datetime64[ns]") >= np.datetime64("2020")).sum()
    )
    assert coverage.days(found.gaps, sessions, Timeframe(timeframe), coverage.Span(lo, hi), 1990) == []


def test_classes_of_gaps_are_told_apart_by_letter_name_and_count(places):  # noqa: F811
    row = make.instrument("ABC")
    series = make.bars()
    holed(row, series, np.r_[10:15, 400:500])
    day = int(np.datetime64("2020-08-01").astype(np.int64))
    services.record_actions(instrument=row, actions=[Delisting(day)], source="test")
    (found,) = holdings(row)
    legend = {each["class"]: each for each in coverage.legend(found.gaps)}
    assert set(legend) == {each.label for each in GapClass} == {code.label for code in coverage.CLASSES}
    assert len({each["letter"] for each in legend.values()}) == len(legend)
    by_class = {
        code.label: (int((found.gaps.reason == code).sum()), int(found.gaps.missing[found.gaps.reason == code].sum()))
        for code in GapClass
    }
    assert {name: (each["gaps"], each["bars"]) for name, each in legend.items()} == by_class
    assert by_class["after_delisting"][1] > 0 and sum(bars for _, bars in by_class.values()) == 105
    first, *_ = coverage.largest(found.gaps, 5)
    assert first["missing"] == int(found.gaps.missing.max())
    span = coverage.Span(as_ns(found.held.start), as_ns(found.held.end))
    months = coverage.months(found.gaps, calendars.sessions("XNYS"), Timeframe.D1, span)
    january, september = months[0].cells[0], months[1].cells[8]
    assert january.text.endswith("?") and january.level == "part" and "5 unexplained" in january.title
    assert september.text == "0X" and september.level == "none"


def test_holidays_half_days_and_the_time_before_the_history_are_marked(places):  # noqa: F811
    row = make.instrument("ABC")
    kept = holed(row, make.bars(), [])
    (found,) = holdings(row)
    table, end = calendars.sessions("XNYS"), as_ns(found.held.end)
    span = coverage.Span(as_ns(found.held.start), end)
    days = coverage.days(found.gaps, table, Timeframe.D1, span, 2020, found.absences())
    july, november = days[6].cells, days[10].cells
    assert (july[2].text, july[2].level) == ("C", "closed") and "holiday" in july[2].title
    assert [cell.text for cell in november[25:29]] == ["C", "100½", "", ""]
    assert "half day: 180 minutes less" in november[26].title

    head = as_ns(dt.datetime(2018, 11, 20, tzinfo=dt.UTC))
    gaps = find_session_gaps(kept, table, Timeframe.D1, head, end)
    year, *_ = coverage.months(gaps, table, Timeframe.D1, coverage.Span(head, end, head))
    assert (year.label, [cell.text for cell in year.cells]) == ("2018", ["L"] * 10 + ["0?"] * 2)
    days = coverage.days(gaps, table, Timeframe.D1, coverage.Span(head, end, head), 2018)
    assert [cell.text for cell in days[10].cells[17:22]] == ["L", "L", "0?", "0?", ""]  # Thursday the 22nd is a holiday
    assert (days[0].cells[0].title, days[0].cells[0].level) == ("before IB's history begins", "closed")


def test_only_a_whole_month_is_called_100():
    assert coverage.Cell(1_000, (1, 0, 0, 0, 0)).text == "99?"
    assert coverage.Cell(1_000, (1, 0, 0, 0, 0)).level == "most"
    assert (coverage.Cell(5, (0,) * 5).text, coverage.Cell(5, (0,) * 5).level) == ("100", "full")
    assert (coverage.NOTHING.text, coverage.NOTHING.level) == ("", "closed")


# ---- comparing


def ran(**more):
    asked = {"symbols": ["ABC", "XYZ"], "strategy": {"name": "ma_crossover", "params": {"fast": 5, "slow": 12}}} | more
    return run_backtest(plan_backtest(parse_config(asked)))


def test_compared_curves_are_the_ledgers_equity_and_its_fall(market, known):  # noqa: F811
    rows = [ran(), ran(cash=50_000)]
    curves = []
    for row in rows:
        equity = read_ledger(run_directory(row), "equity")
        curves.append(charts.Curve(equity["time"], equity["equity"], float(row.config["cash"])))
    figure = charts.compare_chart(curves, "AB", intraday=False)
    assert [trace["name"] for trace in figure["data"]] == ["A", "A drawdown", "B", "B drawdown"]
    for letter, (equity, under) in enumerate(zip(figure["data"][::2], figure["data"][1::2], strict=True)):
        curve = curves[letter]
        assert equity["y"] == pytest.approx((curve.equity / curve.cash).tolist(), abs=1e-5)
        peak, falls = curve.cash, []
        for value in curve.equity:
            peak = max(peak, value)
            falls.append(100 * (value / peak - 1))
        assert under["y"] == pytest.approx(falls, abs=1e-3)
        assert min(under["y"]) == pytest.approx(100 * rows[letter].max_drawdown, abs=1e-3)
    assert len({trace["line"]["dash"] for trace in figure["data"]}) == 2


def test_a_fall_below_the_starting_cash_is_a_drawdown_from_the_first_bar():
    times = make.bars().end[:4]
    curve = charts.Curve(times, np.array([90.0, 95.0, 120.0, 108.0]), 100.0)
    multiple, under = charts.compare_chart([curve], "A", intraday=False)["data"]
    assert multiple["y"] == [0.9, 0.95, 1.2, 1.08]
    assert under["y"] == pytest.approx([-10, -5, 0, -10])


def test_differences_are_exactly_the_settings_that_differ(market, known):  # noqa: F811
    first, second = ran(), ran(cash=50_000, risk={"long_only": False})
    found = {each.place: each.values for each in comparing.differences([first.config, second.config])}
    assert found == {"cash": ["100000.0", "50000.0"], "risk.long_only": ["true", "false"]}
    assert comparing.differences([first.config, first.config]) == []
    (missing,) = comparing.differences([{"a": {"b": 1}}, {}])
    assert (missing.place, missing.values) == ("a.b", ["1", NOTHING])


def test_the_best_is_marked_only_where_one_is_better():
    rows = comparing.metric_rows(
        [
            {"metrics": {"max_drawdown": -0.2, "sharpe": 1.0, "trades": 5, "volatility": 0.1, "value_at_risk": -0.03}},
            {"metrics": {"max_drawdown": -0.1, "sharpe": 1.0, "trades": 9, "volatility": 0.2, "value_at_risk": None}},
            {"metrics": {"max_drawdown": -0.3, "sharpe": 1.0, "trades": 7, "volatility": 0.1, "value_at_risk": -0.01}},
        ]
    )
    best = {row["label"]: [cell["best"] for cell in row["cells"]] for row in rows}
    assert best["Max drawdown"] == [False, True, False]
    assert best["Volatility"] == [True, False, True]
    assert best["Value at risk (5 %, a day)"] == [False, False, True]
    assert not any(best["Sharpe"]) and not any(best["Trades"])


def test_splits_are_actions_of_their_exchange_day():
    bars = make.bars()
    actions = [CorporateAction(ex_date=each, kind="split", value=2) for each in ("2019-01-02", "2020-12-31")]
    assert charts.action_rows(bars, actions).tolist() == [0, len(bars) - 1]
