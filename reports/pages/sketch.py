"""Lines small enough to be drawn on the server, as paths of an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.html import format_html
from django.utils.safestring import SafeString


class Line(NamedTuple):
    """`path` and the `area` below it, in a box of the given width and height."""

    path: str
    area: str
    lowest: float
    highest: float


def draw(points: Sequence[tuple[float, float]], width: int = 600, height: int = 160) -> Line | None:
    """The points (x ascending) stretched over the box; None where there are less than two. A flat line lies midway."""
    if len(points) < 2:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    lowest, highest = min(ys), max(ys)
    wide = (xs[-1] - xs[0]) or 1.0
    places = [f"{(x - xs[0]) / wide * width:.1f} {height - _share(y, lowest, highest) * height:.1f}" for x, y in points]
    path = "M" + "L".join(places)
    return Line(path, f"{path}L{width} {height}L0 {height}Z", lowest, highest)


def spark(values: Sequence[float], label: str) -> SafeString:
    """An inline picture of a few closes; `label` says it in words. Nothing for less than two."""
    line = draw(list(enumerate(values)), 104, 24)
    if line is None:
        return SafeString("")
    return format_html(
        '<svg class="spark" viewBox="0 -1 104 26" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path d="{}"/></svg>',
        label,
        line.path,
    )


def _share(value: float, lowest: float, highest: float) -> float:
    return (value - lowest) / (highest - lowest) if highest > lowest else 0.5
