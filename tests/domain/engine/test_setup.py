import numpy as np
import pytest

from domain.adjustments import Delisting, Dividend, Split
from domain.bars import Adjustment, BarSeries
from domain.engine.setup import Feed, MarketAt, RunSettings, prepare
from domain.errors import BadInput, UnknownName
from domain.instrument import Instrument, InstrumentKind
from domain.risk import RiskLimits
from domain.sessions import SessionTable
from domain.sizing import Sizing, SizingKind
from domain.timeframe import DAY_NS, HOUR_NS, Timeframe
from tests.domain.engine.tables import DAY_ONE, sessions_of, table


def daily(closes, first_day=100, adjustment=Adjustment.RAW, timeframe="1d"):
    prices = np.asarray(closes, float)
    days = first_day + np.arange(len(prices))
    return BarSeries.from_columns(
        timeframe,
        start=days * DAY_NS,
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=np.full(len(prices), 1000.0),
        adjustment=adjustment,
    )


def feed(symbol="A", bars=None, actions=(), **more):
    return Feed(Instrument(symbol, **more), daily([10, 11, 12]) if bars is None else bars, actions)


def test_bars_that_end_together_share_one_moment():
    setup = prepare([feed("A", daily([1, 2, 3], 100)), feed("B", daily([1, 2, 3], 101))], RunSettings())
    assert (setup.times // DAY_NS).tolist() == [101, 102, 103, 104]
    assert [track.group.tolist() for track in setup.tracks] == [[0, 1, 2], [1, 2, 3]]


@pytest.mark.parametrize(
    ("feeds", "what"),
    [
        ([], "no instrument"),
        ([feed("A"), feed("A")], "listed twice"),
        ([feed("A"), feed("B", daily([1, 2], timeframe="1h"))], "one timeframe"),
        ([feed("A"), feed("B", currency="EUR")], "one currency"),
        ([feed("A", daily([]))], "no bars of A"),
        ([feed("SPX", kind=InstrumentKind.INDEX)], "cannot be bought"),
    ],
)
def test_feeds_that_do_not_fit_are_refused_by_name(feeds, what):
    with pytest.raises(BadInput, match=what):
        prepare(feeds, RunSettings())


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"cash": 0}, "cash"),
        ({"cash": float("nan")}, "cash"),
        ({"slippage_bps": -1}, "slippage_bps"),
        ({"volume_cap": 1.5}, "volume_cap"),
        ({"limits": RiskLimits(gross_exposure=0)}, "gross_exposure"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(values, what):
    with pytest.raises(BadInput, match=what):
        RunSettings(**values)


def test_flat_at_close_is_refused_on_daily_bars_and_a_volume_cap_without_volumes():
    with pytest.raises(BadInput, match="flat_at_close"):
        prepare([feed()], RunSettings(limits=RiskLimits(flat_at_close=True)))
    bars = daily([1, 2])
    bars.volume[0] = np.nan
    with pytest.raises(BadInput, match="volume_cap"):
        prepare([feed(bars=bars)], RunSettings(volume_cap=0.1))


def test_warm_up_and_trade_from_set_the_first_bar():
    setup = prepare([feed(bars=daily(range(1, 11)))], RunSettings(), warmup=4)
    assert setup.tracks[0].first == 3
    late = RunSettings(trade_from_ns=107 * DAY_NS)
    setup = prepare([feed(bars=daily(range(1, 11)))], late, warmup=4)
    assert (setup.tracks[0].first, setup.first_group) == (7, 7)


def test_a_strategy_sees_each_stretch_between_splits_in_its_own_units():
    bars = daily([100, 100, 50, 50, 25])
    setup = prepare([feed(bars=bars, actions=[Split(102, 2.0), Split(104, 2.0)])], RunSettings())
    views = [(lo, hi, view.close.tolist(), view.volume.tolist()) for lo, hi, view in setup.tracks[0].views()]
    assert views == [
        (0, 2, [100, 100], [1000, 1000]),
        (2, 4, [50, 50, 50, 50], [2000, 2000, 1000, 1000]),
        (4, 5, [25, 25, 25, 25, 25], [4000, 4000, 2000, 2000, 1000]),
    ]


def test_adjusted_bars_do_not_get_their_actions_twice():
    actions = [Split(102, 2.0), Dividend(101, 1.0), Dividend(103, 1.0)]

    def effective(adjustment):
        bars = daily([1, 1, 1, 1, 1], adjustment=adjustment)
        return prepare([feed(bars=bars, actions=actions)], RunSettings()).tracks[0].actions

    raw = [action for i in sorted(effective(Adjustment.RAW)) for action in effective(Adjustment.RAW)[i]]
    assert raw == sorted(actions, key=lambda action: action.ex_day)
    assert effective(Adjustment.SPLIT) == {1: [Dividend(101, 0.5)], 3: [Dividend(103, 1.0)]}
    assert effective(Adjustment.TOTAL) == {}


def test_a_delisting_takes_effect_after_the_last_bar_before_it_but_not_where_the_bars_just_end_earlier():
    bars = daily([1, 1, 1])
    held = prepare([feed(bars=bars, actions=[Delisting(103)])], RunSettings()).tracks[0].actions
    assert held == {2: [Delisting(103)]}
    assert prepare([feed(bars=bars, actions=[Delisting(200)])], RunSettings()).tracks[0].actions == {}


def test_bars_between_two_sessions_belong_to_the_later_one_and_cannot_trade():
    bars = table([1] * 10, timeframe=Timeframe.H1, days=[6, 4])
    whole = sessions_of(bars, [6, 4])
    opens, closes = whole.open + 2 * HOUR_NS, whole.close - np.array([HOUR_NS, 0])
    before = [opens[0] - DAY_NS, closes[0] - DAY_NS]
    labels = np.append(DAY_ONE - 1, whole.label)
    sessions = SessionTable("S", labels, np.append(before[0], opens), np.append(before[1], closes))
    track = prepare([Feed(Instrument("A"), bars, (), sessions)], RunSettings()).tracks[0]
    assert track.in_session.tolist() == [False, False, True, True, True, False, False, False, True, True]
    assert (track.day - DAY_ONE).tolist() == [0] * 5 + [1] * 5
    assert np.flatnonzero(track.last_of_session).tolist() == [4, 9]


def test_bars_beyond_the_calendar_are_refused():
    bars = table([1] * 4, timeframe=Timeframe.H1, days=[2, 2])
    known = sessions_of(bars[:2], [2])
    with pytest.raises(BadInput, match="bars of A reach beyond the calendar TABLE"):
        prepare([Feed(Instrument("A"), bars, (), known)], RunSettings())


def test_an_action_on_a_day_without_bars_is_in_force_from_the_next_bar():
    bars = table([1] * 6)
    holed = BarSeries(bars.timeframe, *(getattr(bars, name)[[0, 1, 4, 5]] for name in
                      ("start", "end", "open", "high", "low", "close", "volume")))  # fmt: skip
    actions = [Dividend(DAY_ONE + 2, 1.0), Dividend(DAY_ONE - 5, 9.0)]
    track = prepare([Feed(Instrument("A"), holed, actions)], RunSettings()).tracks[0]
    assert {bar: [a.amount for a in actions] for bar, actions in track.actions.items()} == {2: [1.0]}


def test_plain_texts_name_choices_and_wrong_ones_are_refused_with_a_suggestion():
    settings = RunSettings(
        market_at="close", default_order_type="limit", time_in_force="gtc", sizing=Sizing("fraction", 0.5)
    )
    assert settings.market_at is MarketAt.CLOSE and settings.sizing.kind is SizingKind.FRACTION
    with pytest.raises(UnknownName, match="did you mean 'close'"):
        RunSettings(market_at="clos")
    with pytest.raises(UnknownName, match="did you mean 'fraction'"):
        RunSettings(sizing=Sizing("fractions", 0.5))


def test_a_split_inside_a_raw_weekly_bar_is_refused_and_a_dividend_is_paid_in_its_week():
    prices = np.full(4, 10.0)
    weeks = (18_267 + 7 * np.arange(4)) * DAY_NS  # Mondays from 2020-01-06
    columns = {"open": prices, "high": prices, "low": prices, "close": prices}
    bars = BarSeries.from_columns("1w", start=weeks, end=weeks + 5 * DAY_NS, **columns)
    held = prepare([feed(bars=bars, actions=[Dividend(18_276, 1.0), Split(18_281, 2.0)])], RunSettings())
    assert held.tracks[0].actions == {1: [Dividend(18_276, 1.0)], 2: [Split(18_281, 2.0)]}
    with pytest.raises(BadInput, match="A splits on 2020-01-15, inside a weekly bar"):
        prepare([feed(bars=bars, actions=[Split(18_276, 2.0)])], RunSettings())


def test_dividends_on_split_adjusted_bars_count_only_the_splits_that_the_bars_contain():
    bars = daily([1, 1, 1, 1, 1], adjustment=Adjustment.SPLIT)
    actions = [Dividend(101, 1.0), Split(103, 2.0), Split(500, 2.0)]
    for anchor, amount in ((None, 0.5), (102, 1.0), (600, 0.25)):
        placed = prepare([Feed(Instrument("A"), bars, actions, anchor_day=anchor)], RunSettings())
        assert placed.tracks[0].actions == {1: [Dividend(101, amount)]}


def test_a_lunch_break_does_not_end_a_session():
    hours = np.arange(7)
    start = 100 * DAY_NS + hours * HOUR_NS
    bars = BarSeries.from_columns("1h", start=start, open=[1] * 7, high=[1] * 7, low=[1] * 7, close=[1] * 7)
    sessions = SessionTable(
        "T", *(np.array([value]) for value in (100, start[0], start[0] + 7 * HOUR_NS, start[3], start[4]))
    )
    [track] = prepare([Feed(Instrument("A"), bars, sessions=sessions)], RunSettings()).tracks
    assert track.in_session.tolist() == [True, True, True, False, True, True, True]
    assert np.flatnonzero(track.last_of_session).tolist() == [6]


@pytest.mark.parametrize(
    ("kind", "timeframe", "expected"),
    [("stock", "1m", 252 * 390), ("forex", "1m", 252 * 1440), ("stock", "1d", 252), ("stock", "1w", 52)],
)
def test_without_a_calendar_a_year_has_new_york_hours_for_stocks_and_24_for_the_rest(kind, timeframe, expected):
    bars = daily([1, 1], timeframe=timeframe)
    [track] = prepare([Feed(Instrument("A", kind), bars)], RunSettings()).tracks
    assert track.bars_per_year == expected


def test_a_calendar_says_how_many_bars_a_year_has():
    days = np.arange(1000, 2461)  # four years of days, six hours each
    sessions = SessionTable("T", days, days * DAY_NS, days * DAY_NS + 6 * HOUR_NS)
    bars = daily([1, 1], first_day=1500, timeframe="1h")
    [track] = prepare([Feed(Instrument("A"), bars, sessions=sessions)], RunSettings()).tracks
    assert track.bars_per_year == pytest.approx(6 * 365.25, rel=1e-3)
