"""Figures and times in pages, in the words of `reports.labels`. Text that comes from a user stays escaped."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django import template
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

from reports import labels

register = template.Library()
Number = float | Decimal | None


def _float(value: Number) -> float | None:
    return None if value is None or value == "" else float(value)


@register.filter
def money(value: Number) -> str:
    return labels.money(_float(value))


@register.filter
def number(value: Number, decimals: int | None = None) -> str:
    return labels.number(_float(value), decimals)


@register.filter
def price(value: Number) -> str:
    """Two decimals, or as many as it needs, so that a column of them aligns."""
    text = labels.number(_float(value))
    return labels.number(_float(value), 2) if len(text.partition(".")[2]) < 2 else text


@register.filter
def signed(value: Number, decimals: int = 2) -> SafeString:
    """With sign, arrow and colour: no one of them alone."""
    return _toned(_float(value), labels.signed(_float(value), decimals))


@register.filter
def change(value: Number) -> SafeString:
    """A fraction as per cent, with sign, arrow and colour."""
    return _toned(_float(value), labels.percent(_float(value)))


@register.filter
def percent(value: Number) -> str:
    return labels.percent(_float(value), plus=False)


@register.filter
def fall(value: Number) -> str:
    """A drawdown: a fraction as per cent below the peak."""
    return labels.percent(None if value is None else -abs(float(value)))


@register.filter
def codes(text: str) -> SafeString:
    """Text in which what stands between backticks is something to type."""
    pieces = str(text).split("`")
    marked = [
        format_html("<code>{}</code>", piece) if place % 2 and place < len(pieces) - 1 else conditional_escape(piece)
        for place, piece in enumerate(pieces)
    ]
    return format_html_join("", "{}", ((piece,) for piece in marked))


@register.filter
def share(value: float) -> str:
    """Progress: whole per cent, 100 only where it is done."""
    return f"{int(100 * value)}\u202f%"


def _toned(value: float | None, text: str) -> SafeString:
    tone = "gain" if text.startswith("+") else "loss" if text.startswith("\N{MINUS SIGN}") else ""
    return format_html('<span class="{}">{}</span>', tone, text) if tone else format_html("{}", text)


@register.filter
def moment(value: dt.datetime | None) -> SafeString:
    """A time in UTC to the minute, with its zone."""
    if value is None:
        return format_html("{}", labels.NOTHING)
    utc = value.astimezone(dt.UTC)
    return format_html('<time datetime="{}">{}</time>', utc.isoformat(), f"{utc:%Y-%m-%d %H:%M} UTC")


@register.filter
def second(value: dt.datetime | None) -> SafeString:
    """A time in UTC to the second, with its zone."""
    if value is None:
        return format_html("{}", labels.NOTHING)
    utc = value.astimezone(dt.UTC)
    return format_html('<time datetime="{}">{}</time>', utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S} UTC")


@register.filter
def day(value: dt.datetime | None) -> str:
    return labels.NOTHING if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d}"


@register.filter
def age(value: dt.datetime | None, suffix: str = "ago") -> SafeString:
    """How long ago, counted on by the page's script, so that the text that the server sends does not change."""
    if value is None:
        return format_html("{}", labels.NOTHING)
    utc = value.astimezone(dt.UTC)
    shown = f"{utc:%Y-%m-%d %H:%M} UTC"
    return format_html('<time datetime="{}" data-age="{}" title="{}">{}</time>', utc.isoformat(), suffix, shown, shown)


@register.filter
def seconds(value: dt.timedelta | None) -> str:
    """A length of time: 4.2 s, 3 min 12 s, 2 h 5 min."""
    if value is None:
        return labels.NOTHING
    whole = value.total_seconds()
    if whole < 60:
        return f"{whole:.1f} s"
    minutes, rest = divmod(int(whole), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@register.filter
def size(value: int | None) -> str:
    """Bytes in the unit that suits them."""
    if value is None:
        return labels.NOTHING
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@register.filter
def minus(value: int, other: int) -> int:
    return value - other
