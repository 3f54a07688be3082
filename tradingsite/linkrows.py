"""What every process may know of the connections to the gateway, and ask of them: by their rows alone.

Web, API and other workers never open a socket to the gateway; the process that holds a role does (`links`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.utils import timezone

from tradingsite.models import GatewayLink

DATA = "data"
REQUIRED = (DATA,)
"""The roles that an installation cannot do without."""
# A holder tells every five seconds; one that has been silent for so long is gone, or cannot work.
SILENT_SECONDS = 20.0

_START = {DATA: "`manage.py worker data` starts it; `manage.py up` does too"}

log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """How a role's connection is, the silence of its holder taken into account. `cause` and `remedy` are empty where
    all is well; `row` is None where nobody has ever held the role."""

    role: str
    state: str
    since: datetime | None
    cause: str
    remedy: str
    row: GatewayLink | None

    @property
    def ok(self) -> bool:
        return self.state == GatewayLink.State.READY

    @property
    def wanted(self) -> bool:
        """Whether it is a fault that it is not ready: what ended as it should is missed only where it is required."""
        return self.role in REQUIRED or self.state != GatewayLink.State.OFF


def standings(now: datetime | None = None) -> list[Standing]:
    """Of every role that is required or has a row, the required ones first."""
    now = now or timezone.now()
    rows = {row.role: row for row in GatewayLink.objects.select_related("disconnect_by").order_by("role")[:200]}
    roles = [*REQUIRED, *(role for role in rows if role not in REQUIRED)]
    return [standing_of(role, rows.get(role), now) for role in roles]


def standing(role: str) -> Standing:
    """Of one role, now."""
    return standing_of(role, GatewayLink.objects.filter(role=role).first(), timezone.now())


def standing_of(role: str, row: GatewayLink | None, now: datetime) -> Standing:
    start = _START.get(role, "start the process that holds it")
    off, down = GatewayLink.State.OFF, GatewayLink.State.DOWN
    if row is None or row.seen is None:
        return Standing(role, off, None, "no process has ever held it here", start, row)
    if row.state == off:
        return Standing(role, off, row.since, row.cause or "the process that held it has ended", start, row)
    if (now - row.seen).total_seconds() > SILENT_SECONDS:
        cause = f"its holder has said nothing since {row.seen:%H:%M:%S} UTC"
        return Standing(role, down, row.seen, cause, start, row)
    return Standing(role, row.state, row.since, row.cause, row.remedy, row)


def ask_to_reconnect(*, person: Any, roles: Iterable[str] | None = None) -> list[GatewayLink]:
    """Wish that the connections of these roles (None: of all) be ended and made anew; the rows that carry the wish.

    A wish that is still open stays as it is, so asking twice is asking once. Each is recorded in the admin's history.
    """
    with transaction.atomic():
        rows = GatewayLink.objects.order_by("role")
        if roles is not None:
            rows = rows.filter(role__in=list(roles))
        asked = []
        for row in rows:
            open_wish = GatewayLink.objects.filter(pk=row.pk, disconnect_asked__isnull=True)
            if open_wish.update(disconnect_asked=timezone.now(), disconnect_by=person):
                asked.append(row)
        if asked:
            LogEntry.objects.log_actions(person.pk, asked, CHANGE, "asked to disconnect and reconnect")
    for row in asked:
        log.warning("link %s: %s asks to disconnect and reconnect", row.role, person.get_username())
    return list(rows.select_related("disconnect_by").all())
