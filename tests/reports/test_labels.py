import math

import pytest

from reports import labels


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("total_return", 0.1234, "+12.34\u202f%"),
        ("total_return", -0.5, "\u221250.00\u202f%"),
        ("max_drawdown", 0.2, "\u221220.00\u202f%"),
        ("max_drawdown", -0.2, "\u221220.00\u202f%"),
        ("hit_rate", 0.5, "50.00\u202f%"),
        ("sharpe", 1.005, "1.00"),
        ("sharpe", None, "\u2013"),
        ("sharpe", math.nan, "\u2013"),
        ("trades", 1234, "1,234"),
        ("average_trade", -1.5, "\u22121.50"),
        ("turnover", 3.0, "3.00\u00d7"),
        ("some_new_figure", 1.5, "1.50"),
        ("note", "text", "text"),
    ],
)
def test_a_figure_reads_as_people_write_it(name: str, value: float, text: str) -> None:
    assert labels.metric(name, value) == text


def test_zero_has_no_sign() -> None:
    assert [labels.signed(value, 2) for value in (0.0, -0.0, 0.001, -0.001)] == ["0.00"] * 4


def test_a_number_has_as_many_decimals_as_it_needs() -> None:
    assert [labels.number(value) for value in (25000.0, 0.5, -3.25)] == ["25,000", "0.5", "\u22123.25"]


def test_times_are_said_in_utc_with_their_zone() -> None:
    assert labels.moment("2024-03-05T16:00:00-05:00") == "2024-03-05 21:00:00 UTC"
    assert labels.moment("2024-03-05") == "2024-03-05"
    assert labels.moment(None) == "\u2013"


def test_a_span_is_said_in_its_own_unit() -> None:
    hour = 3_600_000_000_000
    assert [labels.span(n * hour) for n in (0.5, 2, 36, 24 * 400)] == [
        "30 minutes",
        "2.0 hours",
        "1.5 days",
        "400 days",
    ]
