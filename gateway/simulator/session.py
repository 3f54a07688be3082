"""Session: one client's connection without its socket: bytes in by `receive`, bytes out by `outlet`."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from gateway.simulator import messages, requests, wire
from gateway.simulator.outlet import Ending, Outlet
from gateway.simulator.rates import Rate, RateLimiter
from gateway.simulator.settings import OLDEST_VERSION
from gateway.simulator.subscriptions import Subscriptions

if TYPE_CHECKING:
    from gateway.simulator.faults import RequestRule
    from gateway.simulator.simulator import Simulator

log = logging.getLogger(__name__)

_PREFIX = wire.GREETING
_ZONE = ZoneInfo("America/New_York")


class Phase(Enum):
    PREFIX = "prefix"
    HELLO = "hello"
    START = "start"
    READY = "ready"
    OVER = "over"


Request = TypeVar("Request")
Handler = Callable[["Session", Any], None]
HANDLERS: dict[type, Handler] = {}


def answers(kind: type[Request]) -> Callable[[Callable[[Session, Request], None]], Callable[[Session, Request], None]]:
    """Register what answers a kind of request."""

    def register(run: Callable[[Session, Request], None]) -> Callable[[Session, Request], None]:
        HANDLERS[kind] = run
        return run

    return register


class Session:
    """`client_id` is -1 until startApi; `version` 0 until the handshake."""

    def __init__(self, simulator: Simulator, number: int, peer: str) -> None:
        self.simulator = simulator
        self.number = number
        self.peer = peer
        self.client_id = -1
        self.version = 0
        self.phase = Phase.PREFIX
        self.outlet = Outlet(simulator.faults, simulator.monotonic)
        self.subscriptions = Subscriptions(self)
        self.market_data_type = 1
        self.opened_at = simulator.monotonic()
        self.requests: Counter[str] = Counter()
        self.is_mute = False
        self._paced = False
        self._arrived = 0.0
        self._rate = RateLimiter()
        self._buffer = bytearray()

    def __str__(self) -> str:
        name = f"client {self.client_id}" if self.client_id >= 0 else "a client"
        return f"{name} at {self.peer} (session {self.number})"

    @property
    def is_ready(self) -> bool:
        return self.phase is Phase.READY

    # In

    def receive(self, data: bytes) -> None:
        if self.is_mute or self.phase is Phase.OVER:
            return
        self._buffer += data
        # By when they came the messages are counted, not by when there was time for them.
        self._arrived = self.simulator.monotonic()
        self.work()

    def work(self) -> None:
        """Act on what was received, as far as stalls and the message rate allow."""
        while self.phase is not Phase.OVER and self.ready_at() <= self.simulator.monotonic():
            if self.phase is Phase.PREFIX:
                if not self._take_prefix():
                    return
            else:
                frame = self._next_frame()
                if frame is None:
                    return
                self._take(frame)

    def ready_at(self) -> float:
        """The real time from which the next message may be acted on."""
        until = self.simulator.faults.stalled_until(self.client_id)
        if self._paced and self.phase is Phase.READY:
            now = self.simulator.monotonic()
            until = max(until, self._rate.free_at(now, self.simulator.settings.message_rate))
        return until

    @property
    def waiting_bytes(self) -> int:
        """Received and not yet acted on."""
        return len(self._buffer)

    def check_patience(self) -> None:
        """End a connection that does not come to startApi."""
        limit = self.simulator.settings.handshake_seconds
        waiting = self.phase in (Phase.PREFIX, Phase.HELLO, Phase.START)
        if waiting and not self.is_mute and limit and self.simulator.monotonic() - self.opened_at > limit:
            self.refuse(f"no startApi within {limit:g} s")

    # Out

    def send(self, payload: bytes) -> None:
        if self.outlet.ending is not None:
            return
        self.outlet.put(payload)
        self.simulator.sent(self)

    def error(self, request_id: int, code: int, text: str) -> None:
        self.send(messages.error(self.version, request_id, code, text))

    def end(self, ending: Ending = Ending.CLOSE) -> None:
        """Take nothing more in; what was put out is still sent, but at an abort."""
        if ending is not Ending.HALF_CLOSE:
            self.phase = Phase.OVER
            self._buffer.clear()
            self.subscriptions.clear()
        self.outlet.end(ending)
        self.simulator.dirty.add(self)

    def refuse(self, why: str) -> None:
        log.warning("simulator: %s ended: %s", self, why)
        self.end()

    # The handshake

    def _take_prefix(self) -> bool:
        """Whether the next bytes may be read on."""
        head = bytes(self._buffer[: len(_PREFIX)])
        if not _PREFIX.startswith(head):
            self.refuse(f"its first bytes are {head!r}, not {_PREFIX!r}")
            return False
        if len(head) < len(_PREFIX):
            return False
        del self._buffer[: len(_PREFIX)]
        self.phase = Phase.HELLO
        return True

    def _next_frame(self) -> bytes | None:
        if len(self._buffer) < 4:
            return None
        (length,) = struct.unpack_from(">I", self._buffer)
        if length > self.simulator.settings.frame_limit:
            self.refuse(f"a frame of {length:,} bytes is longer than {self.simulator.settings.frame_limit:,}")
            return None
        if len(self._buffer) < 4 + length:
            return None
        frame = bytes(self._buffer[4 : 4 + length])
        del self._buffer[: 4 + length]
        return frame

    def _take_hello(self, frame: bytes) -> None:
        try:
            lowest, highest, options = wire.version_range(frame)
        except wire.BadGreeting as error:
            self.refuse(str(error))
            return
        version = min(highest, self.simulator.settings.max_version)
        if version == 158:
            version = 157  # A client library reads 158's orders with 159's layout.
        if not max(lowest, OLDEST_VERSION) <= version:
            self.refuse(f"it speaks versions {lowest} to {highest}, the simulator {OLDEST_VERSION} to {version}")
            return
        self.version = version
        self._paced = "+PACEAPI" in options
        self.phase = Phase.START
        moment = datetime.fromtimestamp(self.simulator.told_seconds(), _ZONE)
        text = f"{moment:%Y%m%d %H:%M:%S} {moment.tzname()}"
        self.outlet.put_handshake(f"{version}\0{text}\0".encode())
        self.simulator.dirty.add(self)

    # Requests

    def _take(self, frame: bytes) -> None:
        if self.phase is Phase.HELLO:
            self._take_hello(frame)
            return
        if self.phase is Phase.READY and not self._is_within_rate():
            return
        try:
            request = requests.parse(self.version, wire.split(frame))
        except requests.BadRequest as error:
            log.warning("simulator: %s: %s", self, error)
            if self.phase is Phase.READY:
                self.error(-1 if error.req_id is None else error.req_id, 320, f"Error reading request. {error}")
            return
        except wire.WireError as error:
            log.warning("simulator: %s: %s", self, error)
            return
        if isinstance(request, requests.Unknown):
            log.warning("simulator: %s: message id %d is unknown", self, request.id)
            return
        if self.phase is Phase.START:
            if isinstance(request, requests.StartApi):
                self._start(request.client_id)
            return
        self._dispatch(request)

    def _is_within_rate(self) -> bool:
        limit = self.simulator.settings.message_rate
        rate = self._rate.take(self.simulator.monotonic() if self._paced else self._arrived, limit)
        if rate is Rate.NEAR:
            self.error(-1, 0, f"Approaching max rate of {limit} messages per second")
        elif rate in (Rate.OVER, Rate.TOO_OFTEN):
            self.error(-1, 100, f"Max rate of messages per second has been exceeded: max={limit}")
            if rate is Rate.TOO_OFTEN:
                self.refuse(f"more than {limit} messages a second, again and again")
        return rate in (Rate.FINE, Rate.NEAR)

    def _start(self, client_id: int) -> None:
        if not self.simulator.admit(self, client_id):
            self.error(-1, 326, "Unable to connect as the client id is already in use. Retry with a unique client id.")
            self.refuse(f"client id {client_id} is in use")
            return
        self.phase = Phase.READY
        self.client_id = self.outlet.client = client_id
        log.info("simulator: %s connected, version %d", self, self.version)
        self.simulator.greet(self)

    def _dispatch(self, request: object) -> None:
        name = type(request).__name__
        self.requests[name] += 1
        self.simulator.requested(name)
        if self.phase is Phase.OVER:
            return  # A step of the scenario has ended it.
        rule = self.simulator.faults.rule_for(name, self.client_id)
        if rule is not None and self._obey(rule, request):
            return
        handler = HANDLERS.get(type(request))
        if handler is None:
            log.warning("simulator: %s: nothing answers %s", self, name)
            return
        try:
            handler(self, request)
        except Exception:
            # Our mistake in one answer must not end the connection, nor those of others.
            log.exception("simulator: %s: %s could not be answered", self, name)
            self.error(_subject(request), 322, f"Error processing request. {name}")
        if rule is not None:
            self.end(rule.ending)

    def _obey(self, rule: RequestRule, request: object) -> bool:
        """Whether the request ends here."""
        if rule.act == "err":
            self.error(_subject(request), rule.code, rule.text)
        elif rule.act == "drop":
            self.end(rule.ending)
        elif rule.act == "drop_after":
            self.outlet.end(rule.ending)
        return rule.act != "drop_after"


def _subject(request: object) -> int:
    """The id that an error about a request is told under; -1 where it has none."""
    if isinstance(request, requests.PlaceOrder):
        return request.order.order_id
    if isinstance(request, requests.CancelOrder):
        return request.order_id
    return int(getattr(request, "req_id", -1))


__all__ = ["HANDLERS", "Phase", "Session", "answers"]
