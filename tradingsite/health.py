"""What works and what does not: the same answer for probes, the health page, the API and `manage.py doctor`.

Every question has a deadline: one that hangs (a database behind a dead network, a queue that accepts and says nothing)
is reported as such, and no answer takes longer than DEADLINE_SECONDS and a little.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from tradingsite import linkrows
from tradingsite.heartbeats import SILENT_SECONDS
from tradingsite.models import Heartbeat
from tradingsite.queues import QUEUES
from tradingsite.runs import Run, run_models

DEADLINE_SECONDS = 2.5
BROKER_SECONDS = 1.0
# A pulse goes through each queue every 30 s; so long without one, and with nothing running there, nobody takes any.
PULSE_SECONDS = 180.0
MIN_FREE_BYTES = 1_000_000_000
# Runs are claimed, leased and given up by the clock of whoever writes the row.
CLOCK_SECONDS = 2.0

START_BROKER = "start it (`manage.py up` does), or correct CELERY_BROKER_URL"

T = TypeVar("T")


class Check(NamedTuple):
    """`cause` and `remedy` say why it is not ok and what to do; empty where it is."""

    name: str
    ok: bool
    detail: str
    cause: str = ""
    remedy: str = ""
    seconds: float = 0.0


class TooLate(Exception):
    """No answer before the deadline."""


def checks() -> list[Check]:
    """Everything that a running installation needs, in the order in which a person should look at it."""
    groups: list[tuple[str, Callable[[], list[Check]], str]] = [
        ("database", _database_checks, "see that the server in DATABASE_URL runs and can be reached from here"),
        ("queue server", _broker_checks, START_BROKER),
        ("disk", _disk_checks, "see that the file system of VAR_DIR answers"),
    ]
    began = time.monotonic()
    asked = [(name, ask(name, question, database=name == "database"), remedy) for name, question, remedy in groups]
    found: list[Check] = []
    for name, answer, remedy in asked:
        cause = ""
        try:
            found += answer(max(began + DEADLINE_SECONDS - time.monotonic(), 0.0))
        except TooLate:
            cause = f"it has not answered within {DEADLINE_SECONDS} s"
        except Exception as error:  # noqa: BLE001 - what answers there may be anything
            cause = f"{type(error).__name__}: {error}"
        if cause:
            found.append(Check(name, False, "", cause, remedy, time.monotonic() - began))
    return found


def ready(found: list[Check]) -> bool:
    return all(check.ok for check in found)


# ---- deadlines ---------------------------------------------------------------------------------------------------

_hanging: dict[str, threading.Thread] = {}


def ask(name: str, question: Callable[[], T], *, database: bool = True) -> Callable[[float], T]:
    """Begin to answer in a thread; what is returned waits for the answer.

    It raises TooLate after so many seconds, at once while an earlier question of that name still hangs. The thread asks
    the database by a connection of its own, so one that hangs harms nobody else's. Inside a transaction, whose rows no
    other connection sees, a question about the `database` is answered by the caller, however long that takes.
    """
    if database and connection.in_atomic_block:
        return lambda seconds: question()
    before = _hanging.get(name)
    if before is not None and before.is_alive():

        def refuse(seconds: float) -> T:
            raise TooLate

        return refuse
    answers: list[T] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(question())
        except BaseException as fault:  # noqa: BLE001 - raised where the answer is waited for
            faults.append(fault)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, name=f"health {name}", daemon=True)
    thread.start()

    def answer(seconds: float) -> T:
        thread.join(seconds)
        if thread.is_alive():
            _hanging[name] = thread
            raise TooLate
        if faults:
            raise faults[0]
        return answers[0]

    return answer


# ---- database ----------------------------------------------------------------------------------------------------


def _database_checks() -> list[Check]:
    began = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        took = time.monotonic() - began
        found = [Check("database", True, f"{connection.vendor}, answered in {took * 1000:.0f} ms", seconds=took)]
        return found + [_timed(check) for check in (_migrations, _clock)] + _processes() + link_checks()
    except DatabaseError as error:
        return [
            Check(
                "database",
                False,
                "",
                f"{type(error).__name__}: {str(error).strip()}",
                "see that the server in DATABASE_URL runs, then `manage.py migrate`",
                time.monotonic() - began,
            )
        ]


def _timed(check: Callable[[], Check]) -> Check:
    began = time.monotonic()
    return check()._replace(seconds=time.monotonic() - began)


@cache
def _migrations_of_this_code() -> frozenset[tuple[str, str]]:
    from django.db.migrations.loader import MigrationLoader

    return frozenset(MigrationLoader(None).graph.nodes)


def _migrations() -> Check:
    from django.db.migrations.recorder import MigrationRecorder

    pending = sorted(_migrations_of_this_code() - set(MigrationRecorder(connection).applied_migrations()))
    if not pending:
        return Check("migrations", True, "none pending")
    names = ", ".join(".".join(each) for each in pending[:5])
    cause = f"{len(pending)} are not applied: {names}{', …' if len(pending) > 5 else ''}"
    return Check("migrations", False, "", cause, "`manage.py migrate`, then start the processes again")


def _clock() -> Check:
    before = datetime.now(UTC)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT strftime('%s', 'now') + strftime('%f', 'now') - strftime('%S', 'now')")
        else:
            cursor.execute("SELECT extract(epoch from clock_timestamp())")
        theirs = datetime.fromtimestamp(float(cursor.fetchone()[0]), UTC)
    after = datetime.now(UTC)
    off = max(timedelta(), before - theirs, theirs - after).total_seconds()
    if off <= CLOCK_SECONDS:
        return Check("clock", True, f"{off:.2f} s from the database's")
    return Check(
        "clock",
        False,
        f"{off:.1f} s from the database's",
        "this machine and the database server disagree about the time",
        "run a time service (chrony, systemd-timesyncd) on both",
    )


# ---- processes ---------------------------------------------------------------------------------------------------


class Signs(NamedTuple):
    """The signs of life at a moment."""

    now: datetime
    rows: list[Heartbeat]

    @classmethod
    def read(cls) -> Signs:
        return cls(timezone.now(), list(Heartbeat.objects.order_by("name")[:1000]))

    def age(self, row: Heartbeat) -> float:
        return max((self.now - row.seen).total_seconds(), 0.0)

    def alive(self, row: Heartbeat) -> bool:
        return self.age(row) < SILENT_SECONDS

    def workers(self, queues: frozenset[str]) -> list[Heartbeat]:
        """Those that serve all of the queues, the latest sign first."""
        serving = [row for row in self.rows if row.name.startswith("worker:") and queues <= queues_of(row)]
        return sorted(serving, key=self.age)


def queues_of(row: Heartbeat) -> set[str]:
    return set(row.name.removeprefix("worker:").partition("@")[0].split("+"))


def process_checks(check: Callable[[Signs], Check]) -> list[Check]:
    """One question about processes, or where the database does not answer it, that."""
    try:
        return [ask("processes", lambda: check(Signs.read()))(DEADLINE_SECONDS)]
    except TooLate:
        return [Check("database", False, "", "it does not answer", "see `manage.py doctor`", DEADLINE_SECONDS)]
    except DatabaseError as error:
        return [Check("database", False, "", f"{type(error).__name__}: {error}", "see `manage.py doctor`")]


def _processes() -> list[Check]:
    signs = Signs.read()
    busy = _busy_queues()
    return [beat_check(signs), *(_queue_check(signs, queue, queue in busy) for queue in QUEUES)]


def beat_check(signs: Signs) -> Check:
    row = next((row for row in signs.rows if row.name == "beat"), None)
    return _alive(signs, "beat", [row] if row else [], "`manage.py beat`; `manage.py up` starts it too")


def worker_check(signs: Signs, queues: frozenset[str]) -> Check:
    names = " ".join(sorted(queues))
    return _alive(
        signs,
        f"worker of {names}",
        signs.workers(queues),
        f"`manage.py worker {names}`; `manage.py up` starts workers for all queues",
    )


def _queue_check(signs: Signs, queue: str, busy: bool) -> Check:
    """A queue needs a living worker, and one that takes something now and then unless all hands are busy."""
    check = worker_check(signs, frozenset({queue}))._replace(name=f"queue {queue}")
    pulse = next((row for row in signs.rows if row.name == f"queue:{queue}"), None)
    if not check.ok or busy or pulse is None or signs.age(pulse) < PULSE_SECONDS:
        return check
    if not beat_check(signs).ok:  # it is beat that sends the pulses
        return check
    return check._replace(
        ok=False,
        cause=f"a worker is alive but has taken nothing for {signs.age(pulse):.0f} s, and nothing runs there",
        remedy=f"look at the worker's log and start it again: `manage.py worker {queue}`",
    )


def _alive(signs: Signs, name: str, rows: list[Heartbeat], remedy: str) -> Check:
    alive = [row for row in rows if signs.alive(row)]
    if alive:
        return Check(name, True, "; ".join(f"{row.name}, seen {signs.age(row):.0f} s ago" for row in alive))
    if rows:
        row = rows[0]
        return Check(name, False, row.name, f"no sign of life for {signs.age(row):.0f} s", remedy)
    return Check(name, False, "", "none has ever shown a sign of life here", remedy)


def _busy_queues() -> set[str]:
    return {model.queue for model in run_models() if model._default_manager.filter(state=Run.State.RUNNING).exists()}


# ---- connections to the gateway ----------------------------------------------------------------------------------


def link_checks() -> list[Check]:
    """Of every role that should have one."""
    now = timezone.now()
    return [_link_check(each, now) for each in linkrows.standings(now) if each.wanted]


def _link_check(standing: linkrows.Standing, now: datetime) -> Check:
    name, row = f"link {standing.role}", standing.row
    where = f"{row.host}:{row.port}, client {row.client_id}" if row is not None and row.host else ""
    if standing.ok:
        said = "" if row is None or row.heartbeat is None else f", answered {ago(row.heartbeat, now)} ago"
        return Check(name, True, f"ready, {where}{said}")
    cause = f"{standing.state}: {standing.cause}" if standing.cause else f"it is {standing.state}"
    return Check(name, False, where, cause, standing.remedy or "wait: it works on it by itself")


def ago(moment: datetime, now: datetime) -> str:
    return f"{max((now - moment).total_seconds(), 0.0):.0f} s"


# ---- beside the database -----------------------------------------------------------------------------------------


def _broker_checks() -> list[Check]:
    began = time.monotonic()
    try:
        ping_broker()
    except OSError as error:
        return [Check("queue server", False, "", str(error), START_BROKER, time.monotonic() - began)]
    took = time.monotonic() - began
    return [Check("queue server", True, f"answered in {took * 1000:.0f} ms", seconds=took)]


def ping_broker() -> None:
    """OSError where the queue server does not answer within BROKER_SECONDS."""
    from kombu.connection import Connection
    from kombu.exceptions import KombuError

    once = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.0}
    options = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS} | once
    connect: Any = Connection  # Celery's packages have no types
    with connect(settings.CELERY_BROKER_URL, connect_timeout=BROKER_SECONDS, transport_options=options) as broker:
        try:
            broker.ensure_connection(**once)
            client = getattr(broker.default_channel, "client", None)
            if client is not None and hasattr(client, "ping"):
                client.ping()
        except (KombuError, *broker.connection_errors, *broker.channel_errors) as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


def _disk_checks() -> list[Check]:
    began = time.monotonic()
    try:
        free = shutil.disk_usage(settings.VAR_DIR).free
    except OSError as error:
        return [Check("disk", False, str(settings.VAR_DIR), str(error), "see that VAR_DIR exists and can be read")]
    took = time.monotonic() - began
    detail = f"{free / 1e9:.1f} GB free at {settings.VAR_DIR}"
    if free >= MIN_FREE_BYTES:
        return [Check("disk", True, detail, seconds=took)]
    return [
        Check(
            "disk",
            False,
            detail,
            f"less than {MIN_FREE_BYTES / 1e9:.0f} GB is free",
            "remove old runs, or move VAR_DIR to a larger disk",
            took,
        )
    ]
