"""Signs of life: which processes have spoken lately, and which queues have a worker."""

from __future__ import annotations

from typing import Any

from tradingsite.health import Signs
from tradingsite.queues import QUEUES

_PULSE = "queue:"


def signs_of_life() -> dict[str, Any]:
    """`processes` as they told, and every queue with whether a living worker serves it and when one last answered."""
    signs = Signs.read()
    processes = [{"row": row, "alive": signs.alive(row)} for row in signs.rows if not row.name.startswith(_PULSE)]
    answered = {row.name.removeprefix(_PULSE): row.seen for row in signs.rows if row.name.startswith(_PULSE)}
    queues = []
    for name in QUEUES:
        served = any(signs.alive(row) for row in signs.workers(frozenset({name})))
        queues.append({"name": name, "served": served, "answered": answered.get(name)})
    return {
        "processes": processes,
        "queues": queues,
        "unserved": [each["name"] for each in queues if not each["served"]],
        "beat_runs": any(row.name == "beat" and signs.alive(row) for row in signs.rows),
    }
