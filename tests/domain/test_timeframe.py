import pytest

from domain.errors import UnknownName
from domain.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, Timeframe


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("1m", "1m"), ("1min", "1m"), ("5 mins", "5m"), ("15m", "15m"), ("30min", "30m"), ("60m", "1h"),
        ("1 hour", "1h"), ("1H", "1h"), ("1D", "1d"), ("day", "1d"), ("Daily", "1d"), (" 1d ", "1d"),
        ("1W", "1w"), ("week", "1w"),
    ],
)  # fmt: skip
def test_spellings_that_people_use_are_read(text, frame):
    assert Timeframe.parse(text) == frame


def test_a_month_is_not_read_as_a_minute():
    with pytest.raises(UnknownName, match="unknown timeframe '1M'"):
        Timeframe.parse("1M")


@pytest.mark.parametrize("text", ["", "2m", "tick", "1dd"])
def test_what_is_no_timeframe_is_refused(text):
    with pytest.raises(UnknownName, match="timeframe"):
        Timeframe.parse(text)


def test_lengths_and_kinds():
    assert [frame.nanoseconds for frame in (Timeframe.M1, Timeframe.H1, Timeframe.W1)] == [
        MINUTE_NS,
        HOUR_NS,
        7 * DAY_NS,
    ]
    assert [frame.value for frame in Timeframe if not frame.is_intraday] == ["1d", "1w"]
    assert sorted(Timeframe, key=lambda frame: frame.nanoseconds) == list(Timeframe)
