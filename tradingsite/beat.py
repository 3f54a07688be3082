"""Beat over the rows of the admin. Imported by beat alone, once Django is set up."""

from __future__ import annotations

import time
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from tradingsite import heartbeats


class Scheduler(DatabaseScheduler):
    """Tells now and then that it is alive."""

    _told = -heartbeats.BEAT_SECONDS

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if time.monotonic() - self._told >= heartbeats.BEAT_SECONDS:
            self._told = time.monotonic()
            heartbeats.beat("beat")
        return min(float(super().tick(*args, **kwargs)), heartbeats.BEAT_SECONDS)
