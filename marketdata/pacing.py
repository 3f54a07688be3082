"""The request budget of one IB login; until it is there, nobody waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from domain.pacing import HistoryAsk, Priority


@contextmanager
def slot(ask: HistoryAsk, priority: Priority, *, wait: Callable[[float], None]) -> Iterator[None]:
    yield


def pause(seconds: float | None = None) -> None:
    """The whole login waits."""
