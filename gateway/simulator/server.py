"""The simulator over TCP: an asyncio loop in a thread of its own around a `Simulator` that knows no sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar, cast

from domain.errors import BadInput
from gateway.simulator.books import AccountSettings
from gateway.simulator.clock import Clock, RunningClock
from gateway.simulator.control import ControlProtocol
from gateway.simulator.exchange import Exchange
from gateway.simulator.faults import Faults
from gateway.simulator.listings import universe
from gateway.simulator.market import Market
from gateway.simulator.outlet import Ending
from gateway.simulator.scenario import Scenario, load_scenario
from gateway.simulator.session import Session
from gateway.simulator.settings import DEFAULT_ACCOUNTS, Settings
from gateway.simulator.simulator import Simulator
from gateway.simulator.states import State
from gateway.simulator.walk import WalkPrices

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05
# Not before so much waits is a slow reader told from a busy one by the transport.
_HIGH_WATER = 256 * 1024
# More than this is not read ahead for a client that is stalled or held back.
_INPUT_AHEAD = 256 * 1024
_FLUSH_SECONDS = 2.0
# 2026-03-04, a Wednesday, 10:00 in New York.
DEFAULT_START_NS = 1_772_636_400_000_000_000

Answer = TypeVar("Answer")


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._is_writable = True
        self._is_reading = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        keep_alive(transport.get_extra_info("socket"))
        peer = transport.get_extra_info("peername") or ("?", 0)
        simulator = self._server.simulator
        with simulator.lock:
            self._session = simulator.connect(f"{peer[0]}:{peer[1]}")
            self._server.connections[self._session] = self
            self.pump()

    def data_received(self, data: bytes) -> None:
        if self._session is None:
            return
        with self._server.simulator.lock:
            self._session.receive(data)
            self._server.pump_dirty()
            self.pump()

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True
        with self._server.simulator.lock:
            self.pump()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        with self._server.simulator.lock:
            if self._session is not None:
                self._server.connections.pop(self._session, None)
                self._server.simulator.disconnect(self._session)
            self._server.pump_dirty()

    def pump(self) -> None:
        """Write what the session has put out, as far as the client reads, and plan the rest."""
        session, transport = self._session, self._transport
        if session is None or transport is None or transport.is_closing():
            return
        outlet = session.outlet
        if outlet.ending is Ending.ABORT:
            abort(transport)
            return
        if self._is_writable:
            for piece in outlet.take():
                transport.write(piece)
        waiting = outlet.size + transport.get_write_buffer_size()
        limit = self._server.simulator.settings.output_limit
        if limit and waiting > limit:
            log.warning(
                "simulator: %s ended: it does not read; %s bytes wait, output_limit is %s",
                session,
                f"{waiting:,}",
                f"{limit:,}",
            )
            session.end(Ending.ABORT)
            abort(transport)
            return
        if outlet.ending is not None and outlet.is_drained:
            self._finish(transport, outlet.ending)
            return
        self._hold_input(session, transport)
        self._plan(session)

    def _finish(self, transport: asyncio.Transport, ending: Ending) -> None:
        if ending is Ending.HALF_CLOSE:
            if transport.can_write_eof() and self._is_reading:
                self._is_reading = False
                transport.write_eof()
            return
        transport.close()

    def _hold_input(self, session: Session, transport: asyncio.Transport) -> None:
        """Read no further ahead than needed."""
        wanted = session.waiting_bytes < _INPUT_AHEAD
        if wanted != transport.is_reading():
            (transport.resume_reading if wanted else transport.pause_reading)()

    def _plan(self, session: Session) -> None:
        due = session.outlet.next_due() if self._is_writable else None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            wait = due - self._server.simulator.monotonic()
            # What waits longer is looked at with the next tick.
            if wait < TICK_SECONDS:
                self._timer = self._server.loop.call_later(max(0.0, wait), self._pump_again)

    def _pump_again(self) -> None:
        self._timer = None
        with self._server.simulator.lock:
            self.pump()


class Server:
    """Listens, ticks, and closes its port while a fault refuses connections. Lives in its loop's thread."""

    def __init__(self, simulator: Simulator, host: str, port: int, control_port: int | None) -> None:
        self.simulator = simulator
        self.host = host
        self.port = port
        self.control_port = control_port
        self.loop: asyncio.AbstractEventLoop
        self.connections: dict[Session, Connection] = {}
        self._stopping = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._control: asyncio.Server | None = None

    async def open(self) -> None:
        """Bind the ports; OSError where one is taken."""
        self.loop = asyncio.get_running_loop()
        await self._listen()
        if self.control_port is not None:
            try:
                self._control = await self.loop.create_server(
                    lambda: ControlProtocol(self.simulator), "127.0.0.1", self.control_port
                )
            except OSError:
                self._unlisten()
                raise
            self.control_port = self._control.sockets[0].getsockname()[1]
        self.simulator.wake = self._wake

    async def run(self) -> None:
        """Tick until stopped, then close all."""
        while not self._stopping.is_set():
            await self._mind_the_door()
            with self.simulator.lock:
                try:
                    self.simulator.advance()
                except Exception:
                    # One client's stream must not end the others.
                    log.exception("simulator: a tick failed")
                self.pump_all()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_SECONDS)
        await self._close()

    def stop(self) -> None:
        self._stopping.set()

    def pump_dirty(self) -> None:
        while self.simulator.dirty:
            connection = self.connections.get(self.simulator.dirty.pop())
            if connection is not None:
                connection.pump()

    def pump_all(self) -> None:
        self.simulator.dirty.clear()
        for connection in list(self.connections.values()):
            connection.pump()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # The loop may have ended.
            self.loop.call_soon_threadsafe(self._pump_from_outside)

    def _pump_from_outside(self) -> None:
        if self.simulator.faults.is_refusing():
            self._unlisten()
        with self.simulator.lock:
            self.pump_all()

    async def _mind_the_door(self) -> None:
        refusing = self.simulator.faults.is_refusing()
        if refusing:
            self._unlisten()
        elif not refusing and self._listener is None:
            try:
                await self._listen()
            except OSError as error:
                log.warning("simulator: cannot listen on port %d again yet: %s", self.port, error)

    async def _listen(self) -> None:
        self._listener = await self.loop.create_server(
            lambda: Connection(self), self.host, self.port, reuse_address=True, backlog=256
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _close(self) -> None:
        self._unlisten()
        if self._control is not None:
            self._control.close()
        with self.simulator.lock:
            for session in list(self.simulator.sessions.values()):
                session.end()
            self.pump_all()
        deadline = self.loop.time() + _FLUSH_SECONDS
        while self.connections and self.loop.time() < deadline:
            await asyncio.sleep(0.01)
        with self.simulator.lock:
            for session in list(self.simulator.sessions.values()):
                session.end(Ending.ABORT)
            self.pump_all()
        await asyncio.sleep(0)


def keep_alive(sock: socket.socket) -> None:
    """Find peers that are gone without a word within about a minute, and send small messages at once."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 60_000),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def abort(transport: asyncio.Transport) -> None:
    """Reset the connection."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class SimulatorHandle:
    """A running server: where it listens, what it simulates, and how to end it."""

    def __init__(self, server: Server, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def control_port(self) -> int | None:
        return self._server.control_port

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def simulator(self) -> Simulator:
        return self._server.simulator

    @property
    def faults(self) -> Faults:
        return self._server.simulator.faults

    def call(self, act: Callable[[Simulator], Answer]) -> Answer:
        """Do something with the simulator while nothing else touches it, then send what it put out."""
        with self.simulator.lock:
            answer = act(self.simulator)
        self.simulator.wake()
        return answer

    def advance(self, seconds: float) -> None:
        """Move a clock that stands still."""
        self.simulator.pass_time(seconds)

    def stop(self, seconds: float = 10.0) -> None:
        """Close all connections and end the thread; harmless the second time."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._server.loop.call_soon_threadsafe(self._server.stop)
            self._thread.join(seconds)
        with self.simulator.lock:
            self.simulator.exchange.close()

    def __enter__(self) -> SimulatorHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_simulator(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    control_port: int | None = None,
    market: Market | None = None,
    clock: Clock | None = None,
    start_ns: int = DEFAULT_START_NS,
    speed: float = 1.0,
    seed: int | None = None,
    accounts: Sequence[str] = DEFAULT_ACCOUNTS,
    cash: float = 1_000_000.0,
    state: str | Path | None = None,
    scenario: str | Path | Scenario | None = None,
    settings: Settings | None = None,
    **switches: object,
) -> SimulatorHandle:
    """Start a simulated gateway in a thread and return once it listens.

    `port` 0 takes a free one. `clock` (a ManualClock, say) goes before `start_ns` and `speed`. `seed` defaults to the
    scenario's, else 1. `state` is the SQLite file that keeps orders, executions and positions; None keeps them in
    memory. Further keywords are switches of Settings (`read_only=True`). Raises OSError where the port is taken,
    BadInput for what cannot be.
    """
    played = load_scenario(scenario) if isinstance(scenario, str | Path) else scenario
    if seed is None:
        seed = played.seed if played is not None and played.seed is not None else 1
    chosen = settings or Settings(accounts=tuple(accounts), cash=cash, seed=seed)
    if not chosen.accounts or len(set(chosen.accounts)) != len(chosen.accounts):
        raise BadInput("accounts: give at least one, each once")
    for name, value in switches.items():
        if name == "max_version" and isinstance(value, int):
            chosen.max_version = value
        else:
            chosen.change(name, value)
    ticking = clock or RunningClock(start_ns, speed)
    priced = market or walk_market(seed, ticking.now_ns())
    books = {number: AccountSettings(cash=chosen.cash, currency=chosen.currency) for number in chosen.accounts}
    kept = State(state) if state is not None else None
    exchange = Exchange(priced, ticking, books, seed=seed, state=kept)
    if isinstance(ticking, RunningClock) and exchange.now_ns > ticking.now_ns():
        log.info("simulator: exchange time goes on from where the state file left it")
        ticking.set(now_ns=exchange.now_ns)
    characters = universe(date_of(ticking.now_ns())).characters
    simulator = Simulator(priced, exchange, ticking, chosen, characters=characters, scenario=played)
    return _serve(Server(simulator, host, port, control_port))


def walk_market(seed: int, start_ns: int) -> Market:
    """The built-in contracts as of a day, at prices made up from a seed."""
    known = universe(date_of(start_ns))
    return Market(known.listings, WalkPrices(seed, known.characters), seed)


def date_of(now_ns: int) -> date:
    return datetime.fromtimestamp(now_ns / 1e9, UTC).date()


def _serve(server: Server) -> SimulatorHandle:
    opened: Future[None] = Future()

    async def live() -> None:
        try:
            await server.open()
        except (OSError, OverflowError) as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        await server.run()

    thread = threading.Thread(target=asyncio.run, args=(live(),), name="simulator", daemon=True)
    thread.start()
    try:
        opened.result(timeout=30)
    except BaseException:
        thread.join(5)
        server.simulator.exchange.close()
        raise
    return SimulatorHandle(server, thread)


__all__ = ["DEFAULT_START_NS", "Server", "SimulatorHandle", "date_of", "start_simulator", "walk_market"]
