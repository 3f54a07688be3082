"""Signs of life in the database, where every process and page can read them."""

from __future__ import annotations

import logging
import os
import platform
import threading
from typing import Any

from django.db import DatabaseError, connections
from django.utils import timezone

BEAT_SECONDS = 10.0
# Silent for so long means: not alive, or not able to work.
SILENT_SECONDS = 45.0

log = logging.getLogger(__name__)
_started = timezone.now()


def host() -> str:
    return platform.node()


def beat(name: str, **details: Any) -> bool:
    """Say that `name` is alive. False where the database does not answer: the process goes on, and others see it
    silent."""
    from tradingsite.models import Heartbeat

    try:
        Heartbeat.objects.update_or_create(
            name=name,
            defaults={
                "seen": timezone.now(),
                "started": _started,
                "host": host(),
                "pid": os.getpid(),
                "details": details,
            },
        )
    except DatabaseError as error:
        log.warning("%s: no heartbeat, the database does not answer (%s)", name, error)
        return False
    finally:
        _release()
    return True


def forget(name: str) -> None:
    """Take back a process that ended as it should, so that nobody waits for it."""
    from tradingsite.models import Heartbeat

    try:
        Heartbeat.objects.filter(name=name).delete()
    except DatabaseError as error:
        log.warning("%s: its heartbeat stays, the database does not answer (%s)", name, error)
    finally:
        _release()


def _release() -> None:
    """A thread that tells keeps no connection: a worker's parent forks, and a child must not inherit one in use."""
    if threading.current_thread() is not threading.main_thread():
        connections.close_all()
