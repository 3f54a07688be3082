"""Supervisor: keeps one connection alive, and says in which state it is. Lives in the connection's loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Callable

from gateway.codes import CONNECTIVITY_LOST, NO_DATA, RESTORED_DATA_KEPT, RESTORED_DATA_LOST, SUBSCRIPTION_LOST, Family
from gateway.errors import BadFrame, ConnectionLost, GatewayError, NoAnswer, NotReady, OperatorNeeded
from gateway.events import Event, Notice, StateChanged, SubscriptionEnded
from gateway.library import Library
from gateway.requests import server_time
from gateway.session import Session
from gateway.settings import ConnectionSettings
from gateway.states import Signal, State, after
from gateway.subscriptions import QuoteSubscription, Subscription
from gateway.synchronising import require_account, synchronise
from gateway.troubles import EXPLANATIONS, Trouble, TroubleError

log = logging.getLogger(__name__)

_KEPT_NOTICES = 50
# IB needs a moment before it streams again what it just refused or took away.
_ASK_AGAIN_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 30.0
_TICKS_FLOW_SECONDS = 30.0
_DELAYED = (3, 4)
_DATA_ARRIVES_LATE = 10089


class Supervisor:
    """`emit` gets every event, `on_state` is called after each change of state."""

    def __init__(
        self,
        settings: ConnectionSettings,
        library: Library,
        emit: Callable[[Event], None],
        on_state: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.library = library
        self.state = State.DOWN
        self.since_ns = time.time_ns()
        self.trouble: Trouble | None = None
        self.cause = "not started"
        self.remedy = ""
        self.session: Session | None = None
        self.sessions = 0
        self.attempts = 0
        self.account = settings.account
        self.notices: deque[Notice] = deque(maxlen=_KEPT_NOTICES)
        self.subscriptions: dict[int, Subscription] = {}
        self.order_floor = 1
        self.last_heartbeat_ns = 0
        self.latency_ms = self.clock_skew_s = float("nan")
        self._past = [0, 0, 0, 0, 0]
        self._emit = emit
        self._on_state = on_state
        self._impaired: set[Trouble] = set()
        self._resync = asyncio.Event()
        self._resubscribe = False
        self._wake = asyncio.Event()
        self._numbers = itertools.count(1)
        self._is_closing = False
        self._was_ready = False
        self._timers: set[asyncio.TimerHandle] = set()

    # Its life

    async def run(self) -> None:
        """Connect, serve, and connect again, until `close`."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._is_closing:
            began = loop.time()
            self.attempts += 1
            self._move(Signal.DIAL)
            self._was_ready = False
            trouble = await self._one_session()
            if self._is_closing:
                break
            failures = 0 if self._was_ready else min(failures + 1, 10)
            longest = min(EXPLANATIONS[trouble].longest_wait_seconds, self.settings.longest_wait_seconds)
            least = self.settings.attempt_seconds
            wait = min(longest, least * 2.0**failures) * random.uniform(0.5, 1.0)  # nosec B311
            self._wake.clear()
            try:
                # However fast it failed.
                async with asyncio.timeout(max(wait, began + least - loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def close(self) -> None:
        self._is_closing = True
        self._wake.set()
        if self.session is not None:
            self.session.link.abort(ConnectionLost("closed"))

    async def _one_session(self) -> Trouble:
        """Why it ended."""
        session = Session(self.sessions + 1, self.settings, self.library, self._emit, self._on_notice)
        self.session = session
        self._impaired.clear()
        try:
            await session.open()
            self.sessions += 1
            await self._serve(session)
            error: BaseException = ConnectionLost("closed")
        except (GatewayError, OSError) as failure:
            error = failure
        except Exception as failure:
            log.exception("the connection's session %d failed", session.number)
            error = failure
        finally:
            session.close(ConnectionLost("the connection ended"))
            self._past = self.counts()
            self.order_floor = max(self.order_floor, session.next_order_id)
            self.session = None
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
        trouble, words = _trouble_of(error)
        self.trouble = trouble
        self._move(Signal.ENDED, "closed" if self._is_closing else words, EXPLANATIONS[trouble].remedy)
        return trouble

    async def _serve(self, session: Session) -> None:
        """Until it ends, which raises why."""
        self._move(Signal.GREETED)
        self._resync.set()
        self._resubscribe = True
        tasks: set[asyncio.Future[None]] = {
            asyncio.ensure_future(self._heartbeat(session)),
            asyncio.ensure_future(self._keep_synchronised(session)),
        }
        try:
            done, _ = await asyncio.wait({*tasks, session.link.lost}, return_when=asyncio.FIRST_COMPLETED)
            # What a task raised says more than the end of the socket that it caused.
            for task in sorted(done, key=lambda one: one is session.link.lost):
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_synchronised(self, session: Session) -> None:
        while True:
            await self._resync.wait()
            self._resync.clear()
            session.next_order_id = max(session.next_order_id, self.order_floor)
            found = await synchronise(session)
            self.account = found.account
            require_account(session, found)
            if self._resync.is_set():  # told meanwhile that what was asked may have changed
                continue
            self._emit(found)
            if self._resubscribe:
                self._resubscribe = False
                await self._subscribe_all(session)
            if not self._resync.is_set():
                self._move(Signal.SYNCED_IMPAIRED if self._impaired else Signal.SYNCED, *self._impairment())

    async def _heartbeat(self, session: Session) -> None:
        settings = self.settings
        misses = 0
        while True:
            if not misses:
                await asyncio.sleep(settings.heartbeat_seconds)
            began, began_ns = time.monotonic(), time.time_ns()
            try:
                seconds = await server_time(session, settings.heartbeat_deadline_seconds)
            except NoAnswer as error:
                misses += 1
                if misses >= settings.heartbeat_misses:
                    raise TroubleError(Trouble.SILENT, f"{misses} heartbeats were not answered") from error
                self._move(Signal.SILENT, EXPLANATIONS[Trouble.SILENT].cause, EXPLANATIONS[Trouble.SILENT].remedy)
                continue
            misses = 0
            latency = time.monotonic() - began
            self.latency_ms = latency * 1000
            self.last_heartbeat_ns = time.time_ns()
            # The gateway's second has on average half of itself behind it.
            self.clock_skew_s = seconds + 0.5 - (began_ns / 1e9 + latency / 2)
            if self.state is State.STALE:
                self._move(Signal.ANSWERED)
                self._resync.set()
            # Half a second is the doubt of a clock that tells whole ones.
            self._impair(Trouble.CLOCK_SKEW, abs(self.clock_skew_s) > settings.clock_limit + 0.5)

    # Its state

    def counts(self) -> list[int]:
        """Messages in and out, bytes in and out, unreadable messages: of all sessions."""
        session = self.session
        if session is None:
            return self._past
        link = session.link
        now = (link.messages_in, link.messages_out, link.bytes_in, link.bytes_out, session.unreadable)
        return [past + new for past, new in zip(self._past, now, strict=True)]

    def require(self, *states: State) -> Session:
        """The session, if the connection is in one of the states; else NotReady, or OperatorNeeded, with the cause."""
        session = self.session
        if session is None or self.state not in states or not session.link.is_open:
            raise self.not_ready()
        return session

    def not_ready(self) -> GatewayError:
        words = f"the connection is {self.state}" + (f": {self.cause}" if self.cause else "")
        if self.is_fatal:
            return OperatorNeeded(words, remedy=self.remedy)
        return NotReady(words, remedy=self.remedy)

    @property
    def is_fatal(self) -> bool:
        return self.state in (State.DOWN, State.CONNECTING) and (
            self.trouble is not None and EXPLANATIONS[self.trouble].is_fatal
        )

    def _move(self, signal: Signal, cause: str = "", remedy: str = "") -> None:
        before, self.state = self.state, after(self.state, signal)
        if self.state is State.CONNECTING:
            cause, remedy = self.cause, self.remedy  # still why it is not ready
        if self.state is before and signal is not Signal.ENDED:
            return
        self.cause, self.remedy = cause, remedy
        if self.state is State.READY:
            self.trouble, self._was_ready = None, True
        if self.state is before:
            return
        self.since_ns = time.time_ns()
        self._emit(StateChanged(self.since_ns, self.sessions, self.state, before, cause, remedy))
        self._on_state()

    def _impair(self, trouble: Trouble, is_so: bool) -> None:
        if is_so and trouble not in self._impaired:
            self._impaired.add(trouble)
            self._move(Signal.IMPAIRED, *self._impairment())
        elif not is_so and trouble in self._impaired:
            self._impaired.discard(trouble)
            if not self._impaired:
                self._move(Signal.RESTORED)
                self._resync.set()

    def _impairment(self) -> tuple[str, str]:
        for trouble in sorted(self._impaired):
            return EXPLANATIONS[trouble].cause, EXPLANATIONS[trouble].remedy
        return "", ""

    # Subscriptions

    async def subscribe(self, make: Callable[[int], Subscription]) -> int:
        """Its number. It is asked for now if the connection is ready, else as soon as it is."""
        number = next(self._numbers)
        subscription = make(number)
        self.subscriptions[number] = subscription
        if self.state is State.READY and self.session is not None:
            await self.session.subscribe(subscription)
        return number

    def unsubscribe(self, number: int) -> None:
        subscription = self.subscriptions.pop(number, None)
        if subscription is not None and self.session is not None:
            self.session.unsubscribe(subscription)

    # What the gateway says of itself, and of subscriptions

    def _on_notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        if notice.id == -1:
            if notice.code in CONNECTIVITY_LOST:
                self._impair(Trouble.CUT_OFF, True)
            elif notice.code in (RESTORED_DATA_LOST, RESTORED_DATA_KEPT):
                self._back(data_lost=notice.code == RESTORED_DATA_LOST)
            return
        session = self.session
        subscription = session.live.get(notice.id) if session else None
        if session is not None and subscription is not None:
            self._on_subscription_notice(session, subscription, notice)

    def _back(self, *, data_lost: bool) -> None:
        if data_lost:
            self._resubscribe = True
        else:
            since = time.monotonic()
            self._later(_TICKS_FLOW_SECONDS, lambda: self._ask_the_silent(since))
        self._impair(Trouble.CUT_OFF, False)
        # Without a word of the loss before it there is all the same something to catch up with.
        self._move(Signal.RESTORED)
        self._resync.set()

    def _on_subscription_notice(self, session: Session, subscription: Subscription, notice: Notice) -> None:
        if notice.words == NO_DATA:  # a kept history that found no bar is none; there may be one later
            session.unsubscribe(subscription, tell=False)
            self._later(_LOOK_AGAIN_SECONDS, lambda: self._ask_again(session, subscription))
            return
        if notice.family is Family.NOTE or (
            notice.code == _DATA_ARRIVES_LATE and self.settings.market_data_type in _DELAYED
        ):
            return
        lost = notice.code in SUBSCRIPTION_LOST
        if lost or notice.family in (Family.RETRY, Family.WAIT):
            session.unsubscribe(subscription, tell=lost)
            wait = 0.0 if lost else _ASK_AGAIN_SECONDS
            self._later(wait, lambda: self._ask_again(session, subscription))
            return
        session.unsubscribe(subscription, tell=False)
        self.subscriptions.pop(subscription.number, None)
        self._emit(
            SubscriptionEnded(
                time.time_ns(), subscription.number, subscription.contract, notice.code, notice.words, notice.remedy
            )
        )

    def _ask_again(self, session: Session, subscription: Subscription) -> None:
        if session is self.session and subscription.number in self.subscriptions and not subscription.request_id:
            session.start(session.subscribe(subscription))

    def _ask_the_silent(self, since: float) -> None:
        """After 1102 data should flow on; what did not is asked for again."""
        session = self.session
        for subscription in list(self.subscriptions.values()):
            if session is not None and isinstance(subscription, QuoteSubscription) and subscription.last_data < since:
                session.unsubscribe(subscription)
                session.start(session.subscribe(subscription))

    async def _subscribe_all(self, session: Session) -> None:
        if self.settings.market_data_type != 1:
            session.requests.reqMarketDataType(self.settings.market_data_type)
        for subscription in list(self.subscriptions.values()):
            session.unsubscribe(subscription, tell=False)
            await session.subscribe(subscription)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        def work() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, work)
        self._timers.add(timer)


def _trouble_of(error: BaseException) -> tuple[Trouble, str]:
    if isinstance(error, TroubleError):
        return error.trouble, error.words
    if isinstance(error, NoAnswer):
        return Trouble.INCOMPLETE, error.words
    if isinstance(error, GatewayError) and not isinstance(error, BadFrame):
        return Trouble.LOST, error.words
    return Trouble.DAMAGED, str(error) or repr(error)
