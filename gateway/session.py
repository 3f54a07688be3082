"""Session: one login of our client id at a gateway, from startApi to the end of its socket. Lives in one loop."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, NamedTuple

from gateway.awaited import Awaited
from gateway.codes import CLIENT_ID_IN_USE, NO_DATA, Family, Meaning, error_of, meaning
from gateway.data_messages import DataMessages
from gateway.errors import BadFrame, ConnectionLost, NoAnswer
from gateway.events import Event, Notice
from gateway.frames import ORDER_MESSAGES
from gateway.history import ProvenEmpty
from gateway.library import RECEIVER_ZONE, Codec, Library
from gateway.link import Link, dial
from gateway.order_messages import COMPLETED_ORDERS, OPEN_ORDERS, OrderMessages
from gateway.pacer import Pacer, Priority
from gateway.settings import ConnectionSettings
from gateway.subscriptions import Subscription
from gateway.troubles import Trouble, TroubleError

# Requests are numbered far above orders, so an error's number says which of the two it is about.
FIRST_REQUEST_ID = 1_900_000_000
_HISTORY = 17
_NO_REQUEST = (-1, 2147483647)
_FARMS = {
    2103: ("market data", "broken"),
    2104: ("market data", "ok"),
    2108: ("market data", "asleep"),
    2105: ("history", "broken"),
    2106: ("history", "ok"),
    2107: ("history", "asleep"),
    2157: ("contracts", "broken"),
    2158: ("contracts", "ok"),
}
_FARM_OF_CODE = {162: "history", 200: "contracts", 420: "market data"}

_FARM_NAME = re.compile(r"[:.]\s*([\w-]{1,40})\s*$")

Send = Callable[[int], None]


class Farm(NamedTuple):
    name: str
    kind: str
    """market data, history, or contracts."""
    status: str
    """ok, asleep, or broken."""


class Session:
    """`on_notice` hears every message of the gateway about itself, a request or an order."""

    def __init__(
        self,
        number: int,
        settings: ConnectionSettings,
        library: Library,
        emit: Callable[[Event], None],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self.number = number
        self.settings = settings
        self.library = library
        self.awaited = Awaited()
        self.pacer = Pacer(settings.messages_per_second)
        self.live: dict[int, Subscription] = {}
        self.farms: dict[str, Farm] = {}
        self.accounts: tuple[str, ...] = ()
        self.next_order_id = 0
        self.unreadable = 0
        self.link = Link(settings.frame_bytes, self._on_fields, self._on_batch)
        self._emit = emit
        self._on_notice = on_notice
        self._orders = OrderMessages(number, self.awaited, emit, self._used)
        self._data = DataMessages(self.awaited, self.live, emit)
        self._codec: Codec | None = None
        self._named: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request_ids = itertools.count(FIRST_REQUEST_ID)
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect and log in; TroubleError says why not."""
        settings = self.settings
        versions = self.library.versions
        link = await dial(settings.host, settings.port, settings.connect_seconds, lambda: self.link, versions)
        self._codec = self.library.codec(link.greeted.result(), settings.client_id, link.send, self.receiver())
        try:
            self.requests.startApi()
            await asyncio.wait(
                {self._named, link.lost}, timeout=settings.connect_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if link.lost.done():
                link.lost.result()
        except ConnectionLost as error:
            raise TroubleError(Trouble.NO_LOGIN, str(error)) from error
        if not self._named.done():
            raise TroubleError(Trouble.NO_LOGIN, f"no account in {settings.connect_seconds:g} s")

    def receiver(self) -> SimpleNamespace:
        """What the library's decoder calls with each message."""
        return SimpleNamespace(
            ib=RECEIVER_ZONE,
            defaultTimezone=None,
            error=self._on_error,
            nextValidId=self._on_next_id,
            managedAccounts=self._on_accounts,
            **self._orders.methods(),
            **self._data.methods(),
        )

    @property
    def requests(self) -> Any:
        """The library's encoders; each call is one message."""
        if self._codec is None:
            raise ConnectionLost("the connection is not open yet")
        return self._codec.requests

    @property
    def server_version(self) -> int:
        return self._codec.server_version if self._codec else 0

    def close(self, cause: BaseException) -> None:
        """End it, and with it all that is awaited. `cause` is told to those who wait."""
        self.link.abort(cause)
        self.pacer.close()
        for task in self._tasks:
            task.cancel()
        self.awaited.close(cause if isinstance(cause, ConnectionLost) else ConnectionLost(str(cause)))
        for subscription in self.live.values():
            subscription.request_id = 0
        self.live.clear()

    # Requests

    async def ask(
        self, send: Send, seconds: float, cancel: Send | None = None, priority: Priority = Priority.REST
    ) -> Any:
        """The answer to a request with a number of its own. Given up, it is cancelled at the gateway."""
        number = next(self._request_ids)
        future = self.awaited.open(number)
        sent = False
        try:
            async with asyncio.timeout(seconds):
                await self.pacer.slot(priority)
                send(number)
                sent = True
                return await future
        except (TimeoutError, asyncio.CancelledError) as error:
            if sent and cancel is not None:
                self.later(lambda: cancel(number))
            if isinstance(error, TimeoutError):
                raise NoAnswer(f"no answer in {seconds:g} s") from error
            raise
        finally:
            self.awaited.drop(number)

    async def ask_kind(
        self,
        kind: str,
        send: Callable[[], None],
        seconds: float,
        priority: Priority = Priority.REST,
        *,
        whole: bool = True,
    ) -> Any:
        """The answer to a request without a number; one of a kind at a time.

        An answer of many messages (`whole`) that does not end in time ends the session: its rest could not be told
        from the answer to the next request.
        """
        lock = self._locks.setdefault(kind, asyncio.Lock())
        sent = False
        try:
            async with asyncio.timeout(seconds), lock:
                future = self.awaited.open(kind)
                try:
                    await self.pacer.slot(priority)
                    send()
                    sent = True
                    return await future
                finally:
                    self.awaited.drop(kind)
        except (TimeoutError, asyncio.CancelledError) as error:
            incomplete = TroubleError(Trouble.INCOMPLETE, f"{kind} did not end in {seconds:g} s")
            if whole and sent:
                self.link.abort(incomplete)
            if isinstance(error, TimeoutError):
                raise NoAnswer(incomplete.words) from error
            raise

    async def ask_order(self, order_id: int, send: Callable[[], None], seconds: float) -> Any:
        """The answer to a request under an order's number (what-if)."""
        future = self.awaited.open(order_id)
        try:
            async with asyncio.timeout(seconds):
                await self.pacer.slot(Priority.ORDER)
                send()
                return await future
        except TimeoutError as error:
            raise NoAnswer(f"no answer in {seconds:g} s") from error
        finally:
            self.awaited.drop(order_id)

    def later(self, send: Callable[[], None], priority: Priority = Priority.LIVE) -> None:
        """Send something nobody waits for, when its turn comes."""

        async def work() -> None:
            await self.pacer.slot(priority)
            send()

        self.start(work())

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run beside; what it raises ends the session."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def subscribe(self, subscription: Subscription) -> None:
        number = next(self._request_ids)
        await self.pacer.slot(Priority.LIVE)
        subscription.request_id = number
        self.live[number] = subscription
        subscription.ask(self.requests, self.library, number)

    def unsubscribe(self, subscription: Subscription, *, tell: bool = True) -> None:
        """Forget its number and, where the gateway still streams it, `tell` it to stop."""
        number, subscription.request_id = subscription.request_id, 0
        if self.live.pop(number, None) is not None and tell:
            self.later(lambda: subscription.cancel(self.requests, number))

    def take_order_id(self, floor: int) -> int:
        """The next order id, never below `floor`. TroubleError where ids have grown into the requests' numbers."""
        order_id = max(self.next_order_id, floor)
        if order_id >= FIRST_REQUEST_ID:
            raise TroubleError(Trouble.ORDER_IDS, str(order_id))
        self.next_order_id = order_id + 1
        return order_id

    # What comes in

    def _on_fields(self, fields: list[str]) -> None:
        if self._codec is None:
            raise BadFrame("a message before the login")
        message_id = int(fields[0])
        if not self._codec.knows(message_id):
            self.unreadable += 1
            return
        try:
            if message_id == _HISTORY:
                self._data.history(fields)
                return
            if message_id in ORDER_MESSAGES:
                self._orders.raw = tuple(fields)
            self._codec.read(fields)
        except (BadFrame, ValueError, IndexError) as error:
            if message_id in ORDER_MESSAGES:
                raise
            self.unreadable += 1
            for field in fields[1:3]:
                if field.isascii() and field.isdigit():
                    self.awaited.fail(int(field), NoAnswer(f"the answer cannot be read: {error}"))

    def _on_batch(self) -> None:
        self._data.batch_end()

    def _on_next_id(self, order_id: int) -> None:
        self.next_order_id = max(self.next_order_id, order_id, 1)
        self._greeted()

    def _on_accounts(self, text: str) -> None:
        self.accounts = tuple(account for account in text.split(",") if account)
        self._greeted()

    def _greeted(self) -> None:
        if self.accounts and self.next_order_id and not self._named.done():
            self._named.set_result(None)

    def _used(self, client_id: int, order_id: int) -> None:
        if client_id == self.settings.client_id and order_id < FIRST_REQUEST_ID:
            self.next_order_id = max(self.next_order_id, order_id + 1)

    def _on_error(self, number: int, code: int, text: str, _reject: str) -> None:
        found = self._meaning(code, text)
        self._note_farm(code, text)
        is_order = 0 < number < FIRST_REQUEST_ID
        notice = Notice(
            time.time_ns(),
            self.number,
            -1 if number in _NO_REQUEST else number,
            code,
            found.family,
            found.words,
            found.remedy,
            text,
            is_order,
            self._orders.raw,
        )
        self._emit(notice)
        if not self._named.done() and code == CLIENT_ID_IN_USE:
            self.link.abort(TroubleError(Trouble.CLIENT_ID_IN_USE, f"client id {self.settings.client_id}"))
        if number in self.awaited:
            self._end_request(number, found, text)
        elif notice.id == -1 and code == 321:
            # The read-only API's answer to questions about orders, which have no number.
            for kind in (OPEN_ORDERS, COMPLETED_ORDERS):
                self.awaited.fail(kind, error_of(found, text))
        self._on_notice(notice)

    def _end_request(self, number: int, found: Meaning, text: str) -> None:
        if found.family is not Family.NOTE:
            self.awaited.fail(number, error_of(found, text))
        elif found.words == NO_DATA:
            self.awaited.end(number, ProvenEmpty(text))

    def _meaning(self, code: int, text: str) -> Meaning:
        kind = _FARM_OF_CODE.get(code)
        down = kind is not None and any(farm.kind == kind and farm.status == "broken" for farm in self.farms.values())
        return meaning(code, text, farm_down=down)

    def _note_farm(self, code: int, text: str) -> None:
        if code in _FARMS:
            kind, status = _FARMS[code]
            found = _FARM_NAME.search(text)
            name = found.group(1) if found else kind
            if len(self.farms) < 100 or name in self.farms:
                self.farms[name] = Farm(name, kind, status)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.link.abort(task.exception() or ConnectionLost("the connection ended"))
