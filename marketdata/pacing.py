"""The budget of history requests of one IB login, shared by all its processes: nobody asks IB for bars without a slot.

The row of the login is the lock. Who wants a slot takes it, reads what was sent in the last ten minutes and who waits,
and either writes a granted row or a waiting one, in one transaction. A waiting row counts while its owner goes on
asking, so one that died holds nobody up; an open one ends by itself when its request's deadline is over.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from domain.errors import BadInput
from domain.pacing import (
    BREACH_SECONDS,
    KEPT_SECONDS,
    MARGIN_SECONDS,
    SMALL_BAR_SECONDS,
    WINDOW_WEIGHT,
    HistoryAsk,
    PacingProfile,
    Priority,
    Sent,
    is_counted,
    pause_seconds,
    seconds_until_sent,
    wait_for,
    window_weight,
)
from domain.timeframe import SECOND_NS, Timeframe
from gateway.history import HistoryRequest
from marketdata.models import PacingBudget, PacingSlot

log = logging.getLogger(__name__)

# A waiting one asks again at least so often, and is forgotten where it has not.
ASK_SECONDS = 4.0
FRESH_SECONDS = 10.0
# The longest a request takes is 120 s; an older open slot is a killed process's.
OPEN_SECONDS = 150.0
PROFILE_SECONDS = 3.0
# Longer than any limit on what is not counted in the window.
_SHORT_SECONDS = 30.0
_LONGEST_PAUSE = 3600.0
_CONTRACT_LENGTH = 80
# A request's length where nothing was measured lately.
_USUAL_SECONDS = 1.0
# What a simulated gateway answers where nothing waits but for the rate of messages.
_UNPACED_PER_SECOND = 30
# Logins that are OFF: (looked at, paused until).
_off: dict[str, tuple[float, float]] = {}


def database_seconds() -> float:
    """Seconds since 1970 by the clock that all askers share.

    A lease's holder counts by a clock of its own, as it must stop without asking anybody; here each decision asks the
    database anyway, and machines whose clocks differ by minutes would count past each other. The database of files is
    on this machine. Not `Now()`: that is when a statement began, before it waited for the lock.
    """
    if connection.vendor == "sqlite":
        return time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(cursor.fetchone()[0])


# What all of this module counts by; replaced where time runs faster.
clock: Callable[[], float] = database_seconds


class Standing(NamedTuple):
    """`used` of `limit`: requests of the last ten minutes by weight, of those that count. `seconds`: until the next
    slot for one that waits for nothing else."""

    login: str
    profile: PacingProfile
    used: int
    limit: int
    open: int
    waiting: dict[Priority, int]
    paused_until: dt.datetime | None
    seconds: float


class _Turn(NamedTuple):
    number: int
    seconds: float


def ask_of(request: HistoryRequest) -> HistoryAsk:
    """A request as the budget counts it."""
    contract = request.contract
    name = str(contract.con_id) if contract.con_id else contract.local_symbol or contract.symbol
    text = repr((contract, str(request.timeframe), request.duration, request.what, request.regular_hours))
    return HistoryAsk(
        contract=f"{name}{contract.expiry}{contract.currency}@{contract.exchange}",
        what=request.what,
        identity=hashlib.sha256(f"{text} {request.end_text}".encode()).hexdigest(),
        bar_seconds=request.timeframe.nanoseconds // SECOND_NS,
    )


@contextmanager
def slot(ask: HistoryAsk, priority: Priority, *, wait: Callable[[float], None]) -> Iterator[None]:
    """The right to send one history request, inside the block and at once.

    Waits for it by calling `wait(seconds)`, a few seconds at a time; what that raises gives up. Never inside a
    transaction: the lock of all would be held until its end.
    """
    if len(ask.series) > _CONTRACT_LENGTH:
        raise BadInput(f"a contract's name for the pacing may have {_CONTRACT_LENGTH} characters: {ask.series[:40]!r}…")
    number = _let_through(ask, priority, wait)
    try:
        yield
    finally:
        if number is not None:
            PacingSlot.objects.filter(pk=number).update(closed=_moment(clock()))


def pause(seconds: float | None = None) -> float:
    """Nobody gets a slot for so long, after IB has reported a breach; returns how long that is from now.

    None: by how often it happened within an hour. Requests that were under way together report one breach, not many.
    """
    if seconds is not None and not 0 <= seconds <= _LONGEST_PAUSE:
        raise BadInput(f"a pause lasts 0 to {_LONGEST_PAUSE:g} seconds, not {seconds!r}")
    login = login_name()
    with transaction.atomic(durable=True):
        budget = _locked(login)
        now = clock()
        left = _paused_for(budget, now)
        if seconds is None and left <= 0:
            is_again = budget.breached is not None and now - budget.breached.timestamp() < BREACH_SECONDS
            budget.breaches = budget.breaches + 1 if is_again else 1
            budget.breached = _moment(now)
            seconds = pause_seconds(budget.breaches)
        left = max(left, seconds or 0.0)
        budget.paused_until = _moment(now + left)
        budget.save(update_fields=["breaches", "breached", "paused_until"])
    _off.pop(login, None)
    log.warning("pacing: history requests of %s pause for %.0f s (breach %d)", login, left, budget.breaches)
    return left


def standing() -> Standing:
    """How the login stands now. Changes nothing and takes no lock."""
    login = login_name()
    budget = PacingBudget.objects.filter(login=login).first()
    if budget is None:
        waiting = dict.fromkeys(Priority, 0)
        return Standing(login, _first_profile(), 0, WINDOW_WEIGHT, 0, waiting, None, 0.0)
    now, profile = clock(), _profile_of(budget)
    sent, waiters = _requests(budget, now)
    waiting = {each: sum(row.priority == each for row in waiters) for each in Priority}
    left = _paused_for(budget, now)
    return Standing(
        login,
        profile,
        window_weight(sent, now, profile),
        WINDOW_WEIGHT,
        sum(one.is_open for one in sent),
        waiting,
        budget.paused_until if left > 0 else None,
        max(left, seconds_until_sent(sent, 1, now, profile)) if profile is PacingProfile.STRICT else left,
    )


def minutes_for(requests: int, timeframe: Timeframe, what: str) -> float:
    """How long so many requests will take at the present pace, after those that wait for a slot now.

    Where the window does not count them, as long as answers took lately, one after another.
    """
    if requests < 1:
        return 0.0
    bar_seconds = timeframe.nanoseconds // SECOND_NS
    weight = HistoryAsk("", what, "", bar_seconds).weight * requests
    budget = PacingBudget.objects.filter(login=login_name()).first()
    profile = _first_profile() if budget is None else _profile_of(budget)
    if profile is PacingProfile.OFF:
        return requests / _UNPACED_PER_SECOND / 60
    if budget is None:
        return seconds_until_sent([], weight, 0.0, profile) / 60
    now = clock()
    left = _paused_for(budget, now)
    sent, waiters = _requests(budget, now)
    took = [one.closed - one.at for one in sent if one.closed is not None]
    usual = sum(took) / len(took) if took else _USUAL_SECONDS
    if not is_counted(bar_seconds, profile):
        return (left + requests * usual) / 60
    before = sum(row.weight for row in waiters if is_counted(row.bar_seconds, profile))
    return (max(left, seconds_until_sent(sent, before + weight, now, profile)) + usual) / 60


def login_name() -> str:
    return f"{settings.IB_HOST}:{settings.IB_PORT}"


def _let_through(ask: HistoryAsk, priority: Priority, wait: Callable[[float], None]) -> int | None:
    """The number of the slot; None where nothing is counted."""
    login = login_name()
    while (paused := _off_and_paused(login)) is not None:
        if paused <= 0:
            return None
        wait(min(paused, ASK_SECONDS))
    number = None
    try:
        while True:
            number, seconds = _take(login, ask, priority, number)
            if seconds <= 0:
                return number
            wait(min(seconds, ASK_SECONDS))
    except BaseException:
        # Nothing was sent, even if the slot was granted just now.
        if number is not None:
            PacingSlot.objects.filter(pk=number).delete()
        raise


def _take(login: str, ask: HistoryAsk, priority: Priority, number: int | None) -> _Turn:
    """Take the next slot (`seconds` 0), or a place among those who wait for it."""
    with transaction.atomic(durable=True):
        budget = _locked(login)
        now = clock()
        moment = _moment(now)
        sent, waiters = _requests(budget, now, ask)
        if all(row.pk != number for row in waiters):
            number = None  # it was forgotten, and comes last
        ahead = [
            _ask_of(row)
            for row in waiters
            if row.pk != number and (row.priority < priority or (row.priority == priority and _is_earlier(row, number)))
        ]
        seconds = max(_paused_for(budget, now), wait_for(sent, ask, now, _profile_of(budget), ahead).seconds)
        granted = None if seconds > 0 else moment
        if granted is not None:
            _forget(budget, now)
        if number is None:
            number = PacingSlot.objects.create(
                budget=budget,
                priority=priority,
                contract=ask.series,
                identity=ask.identity,
                weight=ask.weight,
                bar_seconds=ask.bar_seconds,
                asked=moment,
                seen=moment,
                granted=granted,
            ).pk
        else:
            PacingSlot.objects.filter(pk=number).update(seen=moment, granted=granted)
    return _Turn(number, seconds)


def _is_earlier(row: PacingSlot, number: int | None) -> bool:
    return number is None or row.pk < number


def _locked(login: str) -> PacingBudget:
    """The login's row, locked until the transaction ends. A database of files locks all as its transaction begins."""
    rows = PacingBudget.objects.select_for_update().filter(login=login)
    budget = rows.first()
    if budget is None:
        PacingBudget.objects.get_or_create(login=login, defaults={"profile": _first_profile()})
        budget = rows.get()
    return budget


def _requests(budget: PacingBudget, now: float, ask: HistoryAsk | None = None) -> tuple[list[Sent], list[PacingSlot]]:
    """What was sent and still counts (for `ask`), and who waits, in the order in which they came."""
    recent = Q(granted__gt=_moment(now - KEPT_SECONDS))
    if _profile_of(budget) is not PacingProfile.STRICT:
        # Thousands then: with all of the last half minute a slot took 20 ms, with those of the like 6.
        like = Q() if ask is None else Q(identity=ask.identity) | Q(contract=ask.series)
        recent &= Q(bar_seconds__lte=SMALL_BAR_SECONDS) | (Q(granted__gt=_moment(now - _SHORT_SECONDS)) & like)
    sent, waiters = [], []
    fresh = now - FRESH_SECONDS
    for row in _slots(budget).filter(Q(granted=None) | Q(closed=None) | recent).order_by("pk"):
        if row.granted is None:
            if row.seen.timestamp() > fresh:
                waiters.append(row)
            continue
        # A clock that was put back leaves rows of the future: they count as of now, not for hours.
        at = min(row.granted.timestamp(), now + MARGIN_SECONDS)
        closed = row.closed.timestamp() if row.closed else None
        if closed is None and now - at > OPEN_SECONDS:
            closed = at + OPEN_SECONDS
        sent.append(Sent(_ask_of(row), at, closed))
    return sent, waiters


def _forget(budget: PacingBudget, now: float) -> None:
    """Remove what counts no more, and bring back to now what a clock that was put back has left in the future."""
    kept = _moment(now - KEPT_SECONDS)
    is_old = Q(granted__lte=kept) & (Q(closed__isnull=False) | Q(granted__lte=_moment(now - OPEN_SECONDS)))
    _slots(budget).filter(is_old | Q(granted=None, seen__lte=_moment(now - FRESH_SECONDS))).delete()
    future = _moment(now + MARGIN_SECONDS)
    _slots(budget).filter(granted__gt=future).update(granted=_moment(now))


def _off_and_paused(login: str) -> float | None:
    """Seconds that a login without limits pauses; None where there are limits. Asks the database now and then."""
    looked, paused_until = _off.get(login, (-PROFILE_SECONDS, 0.0))
    if time.monotonic() - looked < PROFILE_SECONDS:
        return paused_until - clock() if paused_until else 0.0
    budget = PacingBudget.objects.filter(login=login).first()
    if budget is not None and _is_refused(budget):
        log.error(
            "pacing: the profile of %s is off, which is for simulated gateways alone; kept as strict (TRADING_MODE %s)",
            login,
            settings.TRADING_MODE,
        )
    if budget is None or _profile_of(budget) is not PacingProfile.OFF:
        _off.pop(login, None)
        return None
    until = budget.paused_until.timestamp() if budget and budget.paused_until else 0.0
    _off[login] = time.monotonic(), until
    return until - clock() if until else 0.0


def _first_profile() -> PacingProfile:
    """Of a login that nobody has asked by yet: a simulated gateway is this machine's own and need not be spared."""
    return PacingProfile(settings.PACING_AT_FIRST)


def _profile_of(budget: PacingBudget) -> PacingProfile:
    """What the row says, but a real gateway is never asked without limits."""
    return PacingProfile.STRICT if _is_refused(budget) else PacingProfile(budget.profile)


def _is_refused(budget: PacingBudget) -> bool:
    return budget.profile == PacingProfile.OFF and settings.TRADING_MODE != "simulated"


def _paused_for(budget: PacingBudget, now: float) -> float:
    return 0.0 if budget.paused_until is None else max(0.0, budget.paused_until.timestamp() - now)


def _ask_of(row: PacingSlot) -> HistoryAsk:
    contract, _, what = row.contract.rpartition(" ")
    return HistoryAsk(contract, what, row.identity, row.bar_seconds)


def _slots(budget: PacingBudget) -> QuerySet[PacingSlot]:
    return PacingSlot.objects.filter(budget=budget)


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
