"""Link: the one connection to the gateway that a role has, in the process that holds the role's lease.

It takes the lease, keeps a connection while it has it, tells the role's row how that is, and follows the wish to
disconnect. Two threads: one speaks with the database and may have to wait for it; the other waits for nothing, and
ends the connection when the lease runs out, whatever the first one waits for.
"""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from gateway.events import Event, Notice
from gateway.settings import AccountKind, ConnectionSettings
from gateway.status import ConnectionStatus
from tradingsite import leases
from tradingsite.leases import HeldLease
from tradingsite.models import GatewayLink
from tradingsite.scrubbing import scrub_text

TURN_SECONDS = 0.25
TAKE_SECONDS = 1.0
"""How often a role that somebody else has is asked for."""
TELL_SECONDS = 1.0
"""The soonest that a change is told."""
REPEAT_SECONDS = 5.0
"""How often it is told that nothing has changed."""
GUARD_SECONDS = 0.2
STOP_SECONDS = 20.0
NOTICES_KEPT = 50

# What moves all the time; it is told with the rest, and is no reason to tell.
_RESTLESS = ("heartbeat", "latency_ms", "clock_skew_s", "messages_in", "messages_out")

log = logging.getLogger(__name__)


class Connected(Protocol):
    """What a link needs of a connection: `gateway.connection.Connection`."""

    def open(self) -> Any: ...
    def close(self) -> None: ...
    def snapshot(self) -> ConnectionStatus: ...


Connect = Callable[[Callable[[Event], None]], Connected]


class Link:
    """`connect` makes a connection that is not open yet, with the function that hears its events; it is called anew for
    each. `now` is the database's clock, as an expression, `clock` this process's, in seconds."""

    def __init__(
        self,
        role: str,
        connect: Connect,
        *,
        now: Any = None,
        clock: Callable[[], float] = leases.awake_seconds,
    ) -> None:
        self.role = role
        self.holder = leases.new_holder()
        self._connect, self._now, self._clock = connect, now, clock
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._turn_of = threading.RLock()  # over the lease and the connection, for both threads
        self._lease: HeldLease | None = None
        self._connection: Connected | None = None
        self._said = ""
        self._told: dict[str, Any] = {}
        self._looked_at = self._told_at = self._renewed_at = -1e9
        self._earlier: Counter[str] = Counter()
        self._families: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._keep, name=f"link {role}", daemon=True),
            threading.Thread(target=self._guard, name=f"link {role} guard", daemon=True),
        ]

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """End the connection, give the lease back and tell the row. Waits for it, but not for ever."""
        self._stopping.set()
        self._drop()
        end = time.monotonic() + STOP_SECONDS
        for each in self._threads:
            each.join(max(end - time.monotonic(), 0.1))
            if each.is_alive():
                log.error("%s has not ended within %.0f s; the lease expires by itself", each.name, STOP_SECONDS)

    def connection(self) -> Any:
        """The connection where this process may use it now, else None."""
        lease, held = self._lease, self._connection
        return held if lease is not None and lease.may_act() else None

    @property
    def epoch(self) -> int:
        """Of the lease that is held; 0 without one."""
        lease = self._lease
        return 0 if lease is None else lease.epoch

    # ---- the thread that may wait --------------------------------------------------------------------------------

    def _keep(self) -> None:
        try:
            while not self._stopping.is_set():
                with leases.role_lock(self.role) as alone:
                    if alone:
                        self._serve()
                    else:
                        self._say("another process of this machine holds it; waiting")
                        self._stopping.wait(leases.RENEW_SECONDS)
        except OSError as error:
            log.error("link %s: its lock file cannot be opened (%s); see LOCKS_DIR", self.role, error)
        finally:
            self._ended.set()
            connections.close_all()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn()
            except DatabaseError as error:
                self._say(f"the database does not answer ({error})")
                connections.close_all()
            except Exception as error:
                log.exception("link %s: the connection is ended and made anew", self.role)
                self._drop()
                with suppress(DatabaseError):
                    self._tell_fault(error)
                self._stopping.wait(leases.RENEW_SECONDS)
            self._stopping.wait(TURN_SECONDS)
        self._drop()
        try:
            self._leave()
        except DatabaseError as error:
            log.warning("link %s: its lease expires by itself, the database does not answer (%s)", self.role, error)

    def turn(self) -> None:
        """Do what is due: take or renew the lease, begin a connection, tell the row, follow a wish."""
        if self._lease is None:
            lease = leases.take(self.role, self.holder, now=self._now, clock=self._clock)
            if lease is None:
                self._say("another process holds it; waiting")
                self._stopping.wait(TAKE_SECONDS)
                return
            self._begin(lease)
        elif not self._renew(self._lease):
            self._say("the lease is lost; the connection is ended")
            self._drop()
            self._lease = None
            return
        if self._connection is None:
            self._open()
        elif self._clock() - self._looked_at >= TELL_SECONDS:
            self._looked_at = self._clock()
            self._tell()
            if self._take_wish():
                self._say("asked to disconnect and reconnect")
                self._drop()

    def _begin(self, lease: HeldLease) -> None:
        self._lease, self._renewed_at = lease, self._clock()
        self._say(f"held, epoch {lease.epoch}", logging.INFO)
        GatewayLink.objects.get_or_create(role=self.role)
        self._take_wish()  # what was asked of the one before is done

    def _renew(self, lease: HeldLease) -> bool:
        began = self._clock()
        if began - self._renewed_at < leases.RENEW_SECONDS:
            return True
        renewed = lease.renew()
        self._renewed_at = began
        return renewed

    def _open(self) -> None:
        """Begin a connection, where there is enough of the lease left for one and nobody has asked to stop."""
        with self._turn_of:
            if self._lease is not None and self._lease.may_act() and not self._stopping.is_set():
                connection = self._connect(self._hear)
                connection.open()
                self._connection, self._told = connection, {}

    def _drop(self) -> None:
        """End the connection, if there is one; what it counted is kept."""
        with self._turn_of:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                status = connection.snapshot()
                for name in ("messages_in", "messages_out", "reconnects"):
                    self._earlier[name] += getattr(status, name)
                self._earlier["reconnects"] += 1
            finally:
                connection.close()

    # ---- the row -------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        with self._turn_of:
            if self._connection is None:
                return
            status = self._connection.snapshot()
        fields = self._fields(status)
        calm = {name: value for name, value in fields.items() if name not in _RESTLESS}
        if calm == self._told and self._clock() - self._told_at < REPEAT_SECONDS:
            return
        if not self._write(**fields):
            self._say("its row carries a later epoch")
            return
        self._told, self._told_at = calm, self._clock()

    def _write(self, **fields: Any) -> bool:
        """Whether the row was still this epoch's to write."""
        rows = GatewayLink.objects.filter(role=self.role, epoch__lte=self.epoch)
        about = {"holder": self.holder, "epoch": self.epoch, "seen": timezone.now()}
        return self.epoch > 0 and bool(rows.update(**fields, **about))

    def _fields(self, status: ConnectionStatus) -> dict[str, Any]:
        """The row's columns."""
        return {
            "state": str(status.state),
            "since": _moment(status.since_ns),
            "cause": scrub_text(status.cause),
            "remedy": scrub_text(status.remedy),
            "host": status.host,
            "port": status.port,
            "client_id": status.client_id,
            "library": f"{status.library} {status.library_version}",
            "server_version": status.server_version or None,
            "accounts": list(status.accounts),
            "account_kind": str(status.kind),
            "heartbeat": _moment(status.last_heartbeat_ns),
            "latency_ms": _measured(status.latency_ms),
            "clock_skew_s": _measured(status.clock_skew_s),
            "messages_in": status.messages_in + self._earlier["messages_in"],
            "messages_out": status.messages_out + self._earlier["messages_out"],
            "reconnects": status.reconnects + self._earlier["reconnects"],
            "farms": {farm.name or farm.kind: farm.status for farm in status.farms},
            "notices": [_notice(each) for each in reversed(status.notices[-NOTICES_KEPT:])],
            "notice_counts": dict(sorted(self._families.copy().items())),
        }

    def _hear(self, event: Event) -> None:
        """In the connection's own thread. Of all that it tells, notices are counted."""
        if isinstance(event, Notice):
            self._families[str(event.family)] += 1

    def _tell_fault(self, error: Exception) -> None:
        now = timezone.now()
        cause = scrub_text(f"{type(error).__name__}: {error}")
        self._write(state="down", since=now, cause=cause, remedy="see the log of its process")
        self._told, self._told_at = {}, self._clock()

    def _take_wish(self) -> bool:
        """Whether somebody asked to disconnect; the wish is done then, once."""
        wish = GatewayLink.objects.filter(role=self.role, disconnect_asked__isnull=False)
        asked = wish.values_list("disconnect_asked", flat=True).first()
        if asked is None:
            return False
        done = {"disconnect_asked": None, "disconnect_done": timezone.now()}
        return bool(wish.filter(disconnect_asked=asked, epoch__lte=self.epoch).update(**done))

    def _leave(self) -> None:
        lease = self._lease
        if lease is None:
            return
        with transaction.atomic():
            off = {"state": "off", "since": timezone.now(), "cause": "the process that held it has ended", "remedy": ""}
            self._write(**off)
            lease.release()
        self._lease = None

    def _say(self, text: str, level: int = logging.WARNING) -> None:
        """Once, until there is something else to say."""
        if text != self._said:
            self._said = text
            log.log(level, "link %s: %s", self.role, text)

    # ---- the thread that never waits -----------------------------------------------------------------------------

    def _guard(self) -> None:
        while not self._ended.wait(GUARD_SECONDS):
            try:
                self.guard()
            except Exception:
                log.exception("link %s: its connection did not end well", self.role)

    def guard(self) -> None:
        """End the connection where the lease does not last."""
        lease = self._lease
        if self._connection is not None and (lease is None or not lease.may_act()):
            log.error("link %s: the lease is about to expire; the connection is ended", self.role)
            self._drop()


def _moment(ns: int) -> datetime | None:
    """Of UTC nanoseconds; 0 is never."""
    if not ns:
        return None
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC) + timedelta(microseconds=ns // 1000 % 1_000_000)


def _measured(value: float) -> float | None:
    return None if math.isnan(value) else value


def _notice(notice: Notice) -> dict[str, Any]:
    at = _moment(notice.at_ns)
    return {
        "at": at and at.isoformat(),
        "code": notice.code,
        "family": str(notice.family),
        "words": notice.words,
        "remedy": notice.remedy,
        "text": scrub_text(notice.text),
    }


# ---- of this process ---------------------------------------------------------------------------------------------

_held: dict[str, Link] = {}


def hold(role: str) -> Link:
    """Begin the link of a role in this process; it ends with the process, or with `let_go`."""
    from gateway.connection import Connection

    link = Link(role, lambda hear: Connection(settings_of(role), hear))
    _held[role] = link
    atexit.register(link.stop)
    link.start()
    return link


def settings_of(role: str) -> ConnectionSettings:
    """What the settings say of a role's connection. The role `data` asks for no orders and can place none."""
    return ConnectionSettings(
        host=settings.IB_HOST,
        port=settings.IB_PORT,
        client_id=_client_id(role),
        kind=AccountKind(settings.TRADING_MODE),
        account=settings.IB_ACCOUNT,
        library=settings.IB_LIBRARY,
        read_only=settings.IB_READ_ONLY or role == "data",
        heartbeat_seconds=settings.IB_HEARTBEAT_SECONDS,
        heartbeat_deadline_seconds=settings.IB_HEARTBEAT_DEADLINE_SECONDS,
    )


def _client_id(role: str) -> int:
    ids = {"data": settings.IB_CLIENT_ID_DATA, "doctor": settings.IB_CLIENT_ID_DOCTOR}
    return int(ids.get(role, settings.IB_CLIENT_ID_TRADER))


def let_go() -> None:
    """End all links of this process."""
    for link in list(_held.values()):
        link.stop()


def connection(role: str) -> Any:
    """The connection of a role that this process holds and may use now, else None."""
    link = _held.get(role)
    return None if link is None else link.connection()
