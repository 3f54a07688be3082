"""The queues, and what holds for the work on each. Importable without Django and Celery."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Queue(NamedTuple):
    """Where processes are forked, `soft_seconds` ends work with an error and `hard_seconds` kills its process; a child
    is replaced after `max_tasks` pieces of work, or where it holds more than `max_memory_mb` after one."""

    pool: Literal["prefork", "threads"]
    concurrency: int
    soft_seconds: int
    hard_seconds: int
    max_tasks: int
    max_memory_mb: int


QUEUES = {
    # Its worker holds the connection to the gateway, which lives in one process: threads share it.
    "data": Queue("threads", 8, 600, 660, 0, 0),
    "import": Queue("prefork", 2, 120, 150, 200, 400),
    "scan": Queue("prefork", 2, 50, 60, 50, 600),
    "backtest": Queue("prefork", 2, 1800, 1860, 50, 1000),
    "report": Queue("prefork", 1, 540, 600, 50, 800),
    "notify": Queue("threads", 4, 60, 90, 0, 0),
    # Ticks wait for the database, not for a processor: threads do, and save a process.
    "maintenance": Queue("threads", 2, 120, 150, 0, 0),
}
"""The limit of a backtest is the setting BACKTEST_SECONDS; what stands here is its default."""
ALONE = frozenset({"data"})
"""Queues whose worker serves no other: what it holds must not end because something else grew too large or crashed."""


def limits(queue: str) -> dict[str, int]:
    """The time limits of a task on that queue, which hold in whatever worker runs it."""
    soft, hard = QUEUES[queue].soft_seconds, QUEUES[queue].hard_seconds
    if queue == "backtest":
        from django.conf import settings

        soft, hard = settings.BACKTEST_SECONDS, hard_limit(settings.BACKTEST_SECONDS)
    return {"soft_time_limit": soft, "time_limit": hard}


def hard_limit(soft_seconds: int) -> int:
    """When work that did not end by its soft limit is killed."""
    return soft_seconds + max(10, soft_seconds // 30)
