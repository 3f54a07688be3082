"""LoopThread: the thread that has the event loop with the socket, and plain calls into it.

With `on_event` a second thread, `ib-events`, hands the events out one after another, so a handler that waits for a
database never holds the socket up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as CallTimeout
from typing import Any, Self, TypeVar

from gateway import library
from gateway.errors import ConnectionLost, GatewayError, NoAnswer, NotReady, OperatorNeeded
from gateway.event_queue import EventQueue
from gateway.events import Event
from gateway.session import Session
from gateway.settings import ConnectionSettings
from gateway.states import State
from gateway.status import ConnectionStatus
from gateway.supervisor import Supervisor
from gateway.troubles import Trouble

Answer = TypeVar("Answer")
_CLOSE_SECONDS = 10.0


class LoopThread:
    """Opened by `open` (or as a context), after any fork: threads do not survive one, and calls then say so.

    Without `on_event` the events wait in `events` for whoever takes them. An exception of `on_event` ends the
    connection, is raised by its thread, and by every later call: a consumer that lost a fill must not go on.
    """

    def __init__(self, settings: ConnectionSettings, on_event: Callable[[Event], None] | None = None) -> None:
        self.settings = settings
        self.library = library.load(settings.library)
        self.events = EventQueue(settings.event_limit)
        self._on_event = on_event
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._supervisor: Supervisor | None = None
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    # Its life

    def open(self) -> Self:
        """Start to connect; returns at once."""
        if self._process:
            raise GatewayError("the connection was opened before; make a new one")
        self._process = os.getpid()
        started = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(started,), name="ib-loop", daemon=True)]
        if self._on_event is not None:
            self._threads.append(
                threading.Thread(target=self._hand_out, args=(self._on_event,), name="ib-events", daemon=True)
            )
        for thread in self._threads:
            thread.start()
        started.wait()
        return self

    def close(self) -> None:
        """End the session and the threads; harmless when repeated. Raises what the consumer raised, if it did."""
        if self._process == os.getpid():
            self._end()
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(_CLOSE_SECONDS)
        if self._failure is not None:
            raise self._consumer_failed()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> State:
        return self._supervisor.state if self._supervisor else State.DOWN

    @property
    def trouble(self) -> Trouble | None:
        """Why the last attempt or session ended; None once it is ready."""
        return self._supervisor.trouble if self._supervisor else None

    def wait_ready(self, seconds: float) -> None:
        """Until it is ready; NotReady after so long, OperatorNeeded as soon as only a person can help."""
        self.wait_state(seconds, State.READY)

    def wait_state(self, seconds: float, *states: State) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                supervisor = self._require_open()
                if supervisor.state in states:
                    return
                left = deadline - time.monotonic()
                if left <= 0 or (supervisor.is_fatal and State.DOWN not in states):
                    raise supervisor.not_ready()
                self._changed.wait(left)

    def snapshot(self) -> ConnectionStatus:
        """How it is; from any thread, at any time, without asking the gateway."""
        supervisor = self._supervisor
        if supervisor is None:
            raise NotReady("the connection was not opened")
        session = supervisor.session
        messages_in, messages_out, bytes_in, bytes_out, unreadable = supervisor.counts()
        return ConnectionStatus(
            supervisor.state,
            supervisor.since_ns,
            supervisor.cause,
            supervisor.remedy,
            supervisor.is_fatal,
            self.settings.host,
            self.settings.port,
            self.settings.client_id,
            self.library.name,
            self.library.version,
            session.server_version if session else 0,
            supervisor.account,
            session.accounts if session else (),
            self.settings.kind,
            supervisor.sessions,
            supervisor.last_heartbeat_ns,
            supervisor.latency_ms,
            supervisor.clock_skew_s,
            messages_in,
            messages_out,
            bytes_in,
            bytes_out,
            unreadable,
            attempts=supervisor.attempts,
            reconnects=max(0, supervisor.sessions - 1),
            subscriptions=len(supervisor.subscriptions),
            events_waiting=len(self.events),
            events_dropped=self.events.dropped,
            notices=tuple(supervisor.notices),
            farms=tuple(session.farms.values()) if session else (),
        )

    # For the calls

    def _require_open(self) -> Supervisor:
        if self._failure is not None:
            raise self._consumer_failed()
        if self._supervisor is None:
            raise NotReady("the connection was not opened")
        if self._process != os.getpid():
            raise GatewayError("this connection belongs to the process that opened it; open one after the fork")
        return self._supervisor

    def _ask(self, make: Callable[[Session], Coroutine[Any, Any, Answer]], seconds: float) -> Answer:
        """A request of the session of now; NotReady where there is none that is ready."""
        supervisor = self._require_open()

        async def work() -> Answer:
            return await make(supervisor.require(State.READY))

        return self._call(work(), seconds)

    def _call(self, work: Coroutine[Any, Any, Answer], seconds: float) -> Answer:
        loop = self._loop
        if loop is None or loop.is_closed() or threading.current_thread() is self._threads[0]:
            work.close()
            raise GatewayError("the connection is closed, or called from its own loop")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            # The work has a deadline of its own; this one is for a loop that does not run.
            return future.result(seconds + 1.0)
        except CallTimeout as error:
            future.cancel()
            raise NoAnswer(f"the connection's loop did not answer in {seconds + 1:g} s") from error
        except CancelledError as error:
            raise ConnectionLost("the connection was closed") from error

    # Its threads

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._live(started))
        finally:
            started.set()
            self.events.close()
            with self._changed:
                self._changed.notify_all()

    async def _live(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._supervisor = Supervisor(self.settings, self.library, self.events.put, self._tell_waiters)
        started.set()
        await self._supervisor.run()

    def _hand_out(self, on_event: Callable[[Event], None]) -> None:
        while (event := self.events.get()) is not None:
            try:
                on_event(event)
            except BaseException as error:
                self._failure = error
                self._end()
                raise

    def _end(self) -> None:
        loop, supervisor = self._loop, self._supervisor
        if loop is not None and supervisor is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(supervisor.close)

    def _tell_waiters(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _consumer_failed(self) -> OperatorNeeded:
        error = OperatorNeeded(f"the consumer of the connection's events failed: {self._failure!r}")
        error.__cause__ = self._failure
        return error
