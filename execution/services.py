"""Use cases of trading that do not place orders: where it happens, and the kill switch."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from domain.errors import BadInput
from execution.models import Account, KillSwitch

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_ROLES = "django.contrib.auth.backends.ModelBackend"
_COLOURS = {"simulated": "success", "paper": "info", "live": "danger"}


class Environment(NamedTuple):
    """What every page says of the money at stake. `colour` is success, info, warning or danger."""

    label: str
    colour: str


def environment() -> Environment:
    """SIMULATED, PAPER or LIVE; HALTED as long as any kill switch is engaged."""
    if KillSwitch.objects.filter(released__isnull=True).exists():
        return Environment("HALTED", "warning")
    return Environment(settings.TRADING_MODE.upper(), _COLOURS[settings.TRADING_MODE])


def engage(
    *,
    person: User,
    level: str = KillSwitch.Level.PAUSE,
    reason: str = "",
    account: Account | None = None,
    now: dt.datetime | None = None,
) -> KillSwitch:
    """Halt an account, or all of them. Where that very halt is engaged already its row is returned as it is.

    PermissionDenied without execution.halt; BadInput where there is no such level.
    """
    if not person.has_perm("execution.halt"):
        raise PermissionDenied("You may not engage the kill switch; a trader or an admin may.")
    if level not in KillSwitch.Level.values:
        raise BadInput(f"unknown level {level[:80]!r} of the kill switch; known: {', '.join(KillSwitch.Level.values)}")
    engaged = KillSwitch.objects.filter(account=account, level=level, released__isnull=True).first()
    return engaged or KillSwitch.objects.create(
        account=account, level=level, reason=reason[:300], engaged=now or timezone.now(), engaged_by=person
    )


def may_release(*, switch: KillSwitch, person: User) -> bool:
    """Another person than engaged it, superusers too; where nobody else may, as on a desk of one, the same one."""
    from django.contrib.auth.models import User

    if not person.has_perm("execution.resume"):
        return False
    others = User.objects.with_perm("execution.resume", backend=_ROLES).exclude(pk=person.pk)
    return switch.engaged_by_id != person.pk or not others.exists()


def release(*, switch: KillSwitch, person: User, now: dt.datetime | None = None) -> None:
    """End a halt, once. It takes another person than engaged it, superusers too: two look before trading resumes.
    Where nobody else may, as on a desk of one, the same person does it.

    PermissionDenied without execution.resume; BadInput where another person must, or it was released before.
    """
    if not person.has_perm("execution.resume"):
        raise PermissionDenied("You may not release the kill switch; an admin may.")
    if not may_release(switch=switch, person=person):
        raise BadInput("You engaged this kill switch, so another person with the role admin must release it.")
    released = now or timezone.now()
    if not KillSwitch.objects.filter(pk=switch.pk, released__isnull=True).update(released=released, released_by=person):
        raise BadInput("This kill switch has been released already.")
    switch.released, switch.released_by = released, person
