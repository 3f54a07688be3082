"""Simulator: one gateway with its clients, without sockets. Whoever holds it calls `advance` often, and sends what the
sessions in `dirty` have put out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from threading import RLock

import numpy as np

from gateway.simulator import (
    account_desk,
    history_desk,
    market_desk,
    network_faults,
    news_desk,
    order_desk,
    reference_desk,
    service_faults,
    trading_faults,
)
from gateway.simulator.catalogue import Character
from gateway.simulator.clock import Clock, ManualClock
from gateway.simulator.exchange import Exchange
from gateway.simulator.faults import Faults
from gateway.simulator.market import Market
from gateway.simulator.news import News
from gateway.simulator.pacing import HistoryPacing
from gateway.simulator.records import Fact, Quote
from gateway.simulator.scenario import Player, Scenario, moment_of
from gateway.simulator.session import Session
from gateway.simulator.settings import Settings

log = logging.getLogger(__name__)

# What these register, they register by being imported.
DESKS = (account_desk, history_desk, market_desk, news_desk, order_desk, reference_desk)
FAULTS = (network_faults, service_faults, trading_faults)

_KEPT_QUOTES = 4096
FARMS = (("market data", 2104, "usfarm"), ("HMDS data", 2106, "ushmds"), ("Sec-def data", 2158, "secdefnj"))


class Simulator:
    """`lock` is held by whoever touches it; `wake` is called when something was put out from another thread."""

    def __init__(
        self,
        market: Market,
        exchange: Exchange,
        clock: Clock,
        settings: Settings | None = None,
        *,
        characters: Mapping[int, Character] | None = None,
        scenario: Scenario | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.market = market
        self.exchange = exchange
        self.clock = clock
        self.settings = settings or Settings()
        self.monotonic = monotonic
        self.lock = RLock()
        self.wake: Callable[[], None] = lambda: None
        self.sessions: dict[int, Session] = {}
        self.by_client: dict[int, Session] = {}
        self.known_clients: set[int] = set()
        self.dirty: set[Session] = set()
        self.messages_sent = 0
        self.connections = 0
        self.characters = characters or {}
        self.news = News(market)
        self.pacing = HistoryPacing(monotonic=monotonic)
        self.faults = Faults(self, np.random.default_rng(self.settings.seed & 0xFFFFFFFFFFFF), monotonic)
        self.restarts = 0
        self.hours: dict[tuple[int, int], tuple[str, str]] = {}
        self.bulletins: list[tuple[int, int, str, str]] = []
        self._numbers = count(1)
        self._now_ns = self._lived_ns = clock.now_ns()
        self._step_ns = 0
        self._quotes: dict[tuple[int, int], Quote] = {}
        self._player: Player | None = None
        if scenario is not None:
            for name, value in scenario.settings.items():
                self.settings.change(name, value)
            self._player = Player(scenario, self)
        self._next_restart_ns = self._restart_after(self._now_ns)

    # Time

    def now_ns(self) -> int:
        """Exchange time, which never goes back; while a step of a scenario is played, the time it was written for."""
        if self._step_ns:
            return self._step_ns
        self._now_ns = max(self._now_ns, self.clock.now_ns())
        return self._now_ns

    def told_seconds(self) -> int:
        """Exchange time as the gateway says it, epoch seconds."""
        return round(self.now_ns() / 1e9 + self.faults.clock_skew)

    def catch_up(self) -> int:
        """Let the exchange live up to now, tell what happened, and say when now is."""
        now_ns = self.now_ns()
        self._live(now_ns)
        return now_ns

    def advance(self) -> None:
        """All that is due by now: fills, streams, what a scenario holds, sessions that waited."""
        now_ns = self.now_ns()
        real = self.monotonic()
        self._play(now_ns)
        self._live(now_ns)
        if self._next_restart_ns and now_ns >= self._next_restart_ns:
            self._next_restart_ns = self._restart_after(now_ns)
            self.faults.do("restart", {"seconds": self.settings.restart_seconds})
        flows = self.data_flows()
        for session in list(self.sessions.values()):
            session.check_patience()
            session.work()
            if session.is_ready:
                try:
                    session.subscriptions.advance(now_ns, real, data_flows=flows)
                except Exception:
                    log.exception("simulator: %s: a subscription failed, and is ended with the others", session)
                    session.subscriptions.clear()

    def pass_time(self, seconds: float) -> None:
        """Move a clock that stands still, and act on it."""
        if not isinstance(self.clock, ManualClock):
            raise TypeError("the clock runs by itself")
        with self.lock:
            self.clock.advance(seconds)
            self.advance()
        self.wake()

    def data_flows(self) -> bool:
        return self.faults.connected_to_ib and not self.settings.competing_session

    def quote(self, con_id: int, now_ns: int) -> Quote:
        """The market's quote, which stays the same within a second; looked up once for all who ask."""
        second = now_ns // 1_000_000_000
        key = con_id, second
        found = self._quotes.get(key)
        if found is None:
            if len(self._quotes) > _KEPT_QUOTES:
                self._quotes.clear()
            found = self._quotes[key] = self.market.quote(con_id, now_ns)
        return found

    # Connections

    def connect(self, peer: str) -> Session:
        """A new connection, to be fed and emptied; one too many or ill-fated is ended at once."""
        session = Session(self, next(self._numbers), peer)
        self.sessions[session.number] = session
        self.connections += 1
        if self.faults.early_closes > 0:
            self.faults.early_closes -= 1
            session.refuse("a fault closes it early")
        elif self.faults.mute_handshakes > 0:
            self.faults.mute_handshakes -= 1
            session.is_mute = True
        elif self.settings.clients and len(self.sessions) > self.settings.clients:
            session.refuse(f"{self.settings.clients} clients are connected, which is the most")
        return session

    def disconnect(self, session: Session) -> None:
        """Its socket is gone."""
        if self.sessions.pop(session.number, None) is None:
            return
        self.dirty.discard(session)
        if self.by_client.get(session.client_id) is session:
            del self.by_client[session.client_id]
            if self.faults.ghost_seconds:
                self.faults.held_ids[session.client_id] = self.monotonic() + self.faults.ghost_seconds
            log.info("simulator: %s disconnected", session)
        self.pacing.close_all(session.number)
        session.end()
        self.dirty.discard(session)

    def forget(self, session: Session, *, holds_id: bool) -> None:
        """Neither read nor write it any more, as if its host had lost power."""
        session.is_mute = session.outlet.muted = True
        session.subscriptions.clear()
        if self.by_client.get(session.client_id) is session:
            del self.by_client[session.client_id]
            if holds_id:
                self.faults.held_ids[session.client_id] = float("inf")

    def admit(self, session: Session, client_id: int) -> bool:
        """Whether this session may have the client id; then it has."""
        if client_id in self.by_client or self.faults.is_in_use(client_id):
            return False
        self.by_client[client_id] = session
        self.known_clients.add(client_id)
        return True

    def greet(self, session: Session) -> None:
        """What a client is told after startApi."""
        account_desk.tell_accounts(session)
        order_desk.tell_next_id(session)
        self.catch_up()
        if self.settings.resend_orders:
            order_desk.resend_orders(session)
        if self.settings.farm_notices:
            for kind, code, farm in FARMS:
                session.error(-1, code, f"{kind} farm connection is OK:{farm}")

    # Out

    def sent(self, session: Session) -> None:
        """A message was put out."""
        self.dirty.add(session)
        self.messages_sent += 1
        if self._player is not None:
            self._player.messages_sent(self.messages_sent)

    def requested(self, name: str) -> None:
        if self._player is not None:
            self._player.requested(name)

    def broadcast(self, code: int, text: str) -> None:
        """A system notice to every client."""
        for session in list(self.by_client.values()):
            session.error(-1, code, text)

    def tell(self, facts: Iterable[Fact]) -> None:
        """Say what happened at the exchange to whom it concerns."""
        order_desk.tell(self, list(facts))

    def _live(self, until_ns: int) -> None:
        if until_ns > self._lived_ns:
            self._lived_ns = until_ns
            self.tell(self.exchange.advance(until_ns))

    def _play(self, now_ns: int) -> None:
        if self._player is None:
            return
        while (step_ns := self._player.next_ns()) is not None and step_ns <= now_ns:
            self._live(step_ns)
            self._step_ns = max(step_ns, self._lived_ns)
            try:
                self._player.time_passed(step_ns)
            finally:
                self._step_ns = 0

    def plan_restart(self) -> None:
        """Read the time of the daily restart again."""
        self._next_restart_ns = self._restart_after(self.now_ns())

    def _restart_after(self, now_ns: int) -> int:
        if not self.settings.restart_at:
            return 0
        return moment_of(self.settings.restart_at, now_ns + 1_000_000_000)


__all__ = ["FARMS", "Simulator"]
