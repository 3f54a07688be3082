"""Signs of life: which processes and queues have spoken lately."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tradingsite.heartbeats import SILENT_SECONDS
from tradingsite.models import Heartbeat
from tradingsite.queues import QUEUES

_QUEUE = "queue:"


def signs_of_life(now: dt.datetime) -> dict[str, Any]:
    """`processes` as they told, and every queue with when its workers last answered (None: never)."""
    rows = list(Heartbeat.objects.all())
    answered = {row.name.removeprefix(_QUEUE): row.seen for row in rows if row.name.startswith(_QUEUE)}
    processes = [{"row": row, "alive": _lately(row.seen, now)} for row in rows if not row.name.startswith(_QUEUE)]
    alive = [row.name for row in rows if _lately(row.seen, now)]
    queues = [{"name": name, "seen": answered.get(name), "alive": _lately(answered.get(name), now)} for name in QUEUES]
    return {
        "processes": processes,
        "queues": queues,
        "deaf": [each["name"] for each in queues if not each["alive"]],
        "beat_runs": "beat" in alive,
        "a_worker_runs": any(name.startswith("worker:") for name in alive),
    }


def _lately(seen: dt.datetime | None, now: dt.datetime) -> bool:
    return seen is not None and (now - seen).total_seconds() <= SILENT_SECONDS
