"""Figures as people read them. A minus is U+2212, so that columns of digits align; what is undefined is a dash."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

_RETURNS = {"total_return", "cagr", "annual_return", "best_day", "worst_day"}
_FRACTIONS = {"volatility", "hit_rate", "exposure", "value_at_risk", "conditional_value_at_risk"}
_WHOLE = {"trades", "max_drawdown_days", "longest_drawdown_days", "days", "bars"}
_GAINS = {"average_trade", "average_win", "average_loss", "best_trade", "worst_trade"}
_NAMES = {"cagr": "CAGR", "exposure": "Time in market", "value_at_risk": "Value at risk (5 %, a day)"}
NOTHING = "\N{EN DASH}"


def label(name: str) -> str:
    """`max_drawdown_days` → Max drawdown days."""
    return _NAMES.get(name) or name.replace("_", " ").capitalize()


def number(value: float | None, decimals: int | None = None) -> str:
    """With thousands' separators; without `decimals` as many as the number needs, at most six."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if decimals is None:
        return _minus(f"{value:,.6f}".rstrip("0").rstrip("."))
    return _minus(f"{value:,.{decimals}f}")


def signed(value: float | None, decimals: int) -> str:
    """With + or − in front, so that colour is not the only signal; zero has none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:+,.{decimals}f}"
    return text[1:] if not text.strip("+-0.,") else _minus(text)


def percent(value: float | None, *, plus: bool = True) -> str:
    """A fraction in per cent, two decimals."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = signed(100.0 * value, 2) if plus else number(100.0 * value, 2)
    return f"{text}\u202f%"


def money(value: float | None) -> str:
    """In the account's currency, two decimals."""
    return number(value, 2)


def count(value: int) -> str:
    return f"{value:,}"


def span(nanoseconds: int) -> str:
    """A length of time in the unit that suits it: 349 days, 5.2 hours, 21 minutes."""
    minutes = nanoseconds / 60e9
    if minutes >= 10 * 1440:
        return f"{minutes / 1440:,.0f} days"
    if minutes >= 1440:
        return f"{minutes / 1440:.1f} days"
    return f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.0f} minutes"


def moment(text: str | None) -> str:
    """An ISO time in UTC with its zone; a bare date stays one, and a time that did not come is a dash."""
    if not text:
        return NOTHING
    if len(text) == 10:
        return date.fromisoformat(text).isoformat()
    time = datetime.fromisoformat(text)
    return f"{time.astimezone(UTC) if time.tzinfo else time:%Y-%m-%d %H:%M:%S} UTC"


def metric(name: str, value: float | int | str | None) -> str:
    """A figure of `summary.json` by its name; a name unknown here is shown as a plain number."""
    if isinstance(value, str):
        return value
    if name == "max_drawdown" and value is not None:
        return percent(-abs(value))
    if name in _RETURNS | _FRACTIONS:
        return percent(value, plus=name in _RETURNS)
    if name in _WHOLE:
        return number(value, 0)
    if name in _GAINS:
        return signed(value, 2)
    if name == "turnover":
        return NOTHING if value is None else f"{number(value, 2)}\N{MULTIPLICATION SIGN}"
    return number(value, 2)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
