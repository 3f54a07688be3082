"""One holder for each role, as a row that expires: who takes it may act until it has to stop, and nobody else may.

The row lives by the database's clock, the holder by its own: it counts from before it asked, and stops STOP_SECONDS
before the row can expire. So two may never act at once, whatever pauses a process, as long as the database's clock is
not put forward by more than that in one go. A second fence holds where the row cannot: `role_lock`, a file that one
process of a machine can have. A process that is paused between asking `may_act` and acting is caught by neither; what
it sends carries an old epoch, and the gateway lets no second client in under the same id.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Expression, Q, QuerySet
from django.db.models.functions import Now

from tradingsite.heartbeats import host
from tradingsite.models import Lease
from tradingsite.supervisor import only_one

TTL_SECONDS = 15.0
RENEW_SECONDS = 5.0
STOP_SECONDS = 5.0


def awake_seconds() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps, where the system has one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def new_holder() -> str:
    """A name for this process that no other has, and none after it gets."""
    return f"{host()}:{os.getpid()}:{secrets.token_hex(4)}"


class HeldLease:
    """One taking of a role. `now` is the database's clock, as an expression; `clock` the holder's own, in seconds."""

    def __init__(
        self, role: str, holder: str, epoch: int, began: float, now: Expression | Any, clock: Callable[[], float]
    ) -> None:
        self.role, self.holder, self.epoch = role, holder, epoch
        self._now, self._clock = now, clock
        self._until = began + TTL_SECONDS

    def may_act(self, seconds_left: float = STOP_SECONDS) -> bool:
        """Whether the lease lasts for so many seconds more. Asks no database, so it never waits."""
        return self._clock() < self._until - seconds_left

    def renew(self) -> bool:
        """Hold it for TTL_SECONDS from now. False where it has expired or is another's: then it is lost for good."""
        began = self._clock()
        mine = self._mine().filter(expires__gt=self._now)
        if not mine.update(expires=self._now + timedelta(seconds=TTL_SECONDS)):
            self._until = began
            return False
        self._until = began + TTL_SECONDS
        return True

    def release(self) -> None:
        """Give it back, so that the next one need not wait. Nothing happens where it is another's by now."""
        self._until = self._clock()
        self._mine().update(holder="", expires=None)

    def _mine(self) -> QuerySet[Lease]:
        return Lease.objects.filter(role=self.role, holder=self.holder, epoch=self.epoch)


def take(
    role: str, holder: str, *, now: Expression | Any = None, clock: Callable[[], float] = awake_seconds
) -> HeldLease | None:
    """Take a role that nobody holds, or whose holder let it expire; None where somebody has it.

    Compare-and-set on the epoch: of several that read the same row, one changes it.
    """
    now = Now() if now is None else now
    row, _made = Lease.objects.get_or_create(role=role)
    began = clock()
    free = Lease.objects.filter(Q(holder="") | Q(expires__lte=now), role=role, epoch=row.epoch)
    expires = now + timedelta(seconds=TTL_SECONDS)
    if not free.update(holder=holder, epoch=row.epoch + 1, taken=now, expires=expires):
        return None
    return HeldLease(role, holder, row.epoch + 1, began, now, clock)


def role_lock(role: str) -> AbstractContextManager[bool]:
    """A lock of this machine, held until the block or the process ends; False where another process has it."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", role)
    return only_one(Path(settings.LOCKS_DIR) / f"{name}.lock")
