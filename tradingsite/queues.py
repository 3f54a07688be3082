"""The queues, and what holds for the work on each. Importable without Django and Celery."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Queue(NamedTuple):
    """`soft_seconds` ends work with an error, `hard_seconds` kills its process; a child is replaced after `max_tasks`
    pieces of work, or where it holds more than `max_memory_mb` after one."""

    pool: Literal["prefork", "threads"]
    concurrency: int
    soft_seconds: int
    hard_seconds: int
    max_tasks: int
    max_memory_mb: int


QUEUES = {
    "data": Queue("prefork", 2, 120, 150, 200, 400),
    "scan": Queue("prefork", 2, 50, 60, 50, 600),
    "backtest": Queue("prefork", 2, 1800, 1860, 50, 1000),
    "report": Queue("prefork", 1, 540, 600, 50, 800),
    "notify": Queue("threads", 4, 60, 90, 0, 0),
    "maintenance": Queue("prefork", 1, 120, 150, 200, 400),
}
"""Longest hard limit: 1,860 s. The broker's visibility timeout must stay well above it (`tradingsite.celery`)."""


def limits(queue: str) -> dict[str, int]:
    """The time limits of a task on that queue, which hold in whatever worker runs it."""
    return {"soft_time_limit": QUEUES[queue].soft_seconds, "time_limit": QUEUES[queue].hard_seconds}
