"""The only module that knows ib_insync from ib_async.

Of the library we use the part that was exact in every test, its encoders and decoders of messages. Its socket, its
request tables and its order objects are left alone: they wait out the whole timeout where a client id is in use, take
an error for the end of an order, keep what was never sent, and answer a failure with an empty list. `Codec` therefore
gives the encoders a function that sends and the decoder an object that receives (named as the library's wrapper:
`orderStatus`, `execDetails` …), and reports each message that could not be read, which the library would only log.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from gateway.contract import Contract
from gateway.errors import BadFrame, OperatorNeeded

NAMES = ("ib_insync", "ib_async")
_CONTRACT_FIELDS = (
    "conId",
    "symbol",
    "secType",
    "lastTradeDateOrContractMonth",
    "strike",
    "right",
    "multiplier",
    "exchange",
    "primaryExchange",
    "currency",
    "localSymbol",
    "tradingClass",
)


class Library:
    """One of the two client libraries, with the names that the connection uses."""

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name = name
        self.version = str(module.__version__)
        self._module: Any = module

    @property
    def versions(self) -> tuple[int, int]:
        """The lowest and highest server version whose messages the library reads."""
        client = self._module.Client
        return int(client.MinClientVersion), int(client.MaxClientVersion)

    def contract(self, contract: Contract) -> Any:
        return self._module.Contract(**dict(zip(_CONTRACT_FIELDS, contract, strict=True)))

    def order(self, fields: Mapping[str, Any]) -> Any:
        return self._module.Order(**fields)

    def scanner(self, fields: Mapping[str, Any]) -> Any:
        return self._module.ScannerSubscription(**fields)

    def tags(self, pairs: Iterable[tuple[str, str]]) -> list[Any]:
        return [self._module.TagValue(tag, value) for tag, value in pairs]

    def executions(self, fields: Mapping[str, Any]) -> Any:
        return self._module.ExecutionFilter(**fields)

    def codec(self, server_version: int, client_id: int, send: Callable[[str], None], receiver: Any) -> Codec:
        return Codec(self._module.Client(receiver), server_version, client_id, send)


class Codec:
    """Encodes requests and decodes messages of one session, by the layout of its server version.

    `requests` has the library's client methods (`reqPositions`, `placeOrder` …); each hands one message, its fields
    ended by NUL, to `send` before it returns.
    """

    def __init__(self, client: Any, server_version: int, client_id: int, send: Callable[[str], None]) -> None:
        client.clientId = client_id
        client.isConnected = lambda: True
        client.serverVersion = lambda: server_version
        client.sendMsg = send
        self.requests: Any = client
        self.server_version = server_version
        self._failures = _Failures()
        self._decoder = client.decoder
        self._decoder.serverVersion = server_version
        self._decoder.logger = self._failures

    def knows(self, message_id: int) -> bool:
        return message_id in self._decoder.handlers

    def read(self, fields: list[str]) -> None:
        """Give the receiver what the message says; BadFrame where it or the receiver cannot make sense of it."""
        self._decoder.interpret(fields)
        error = self._failures.take()
        if error is not None:
            raise BadFrame(f"message {fields[0][:8]!r} cannot be read: {error!r}"[:300]) from error


class _Failures:
    """Stands where the decoder's log is, which is all that a failure reaches there."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def exception(self, _message: str, *_args: object) -> None:
        self._error = self._error or sys.exc_info()[1]

    def take(self) -> BaseException | None:
        error, self._error = self._error, None
        return error


# What the decoders ask of their receiver besides the methods.
RECEIVER_ZONE = SimpleNamespace(TimezoneTWS="")


def load(name: str) -> Library:
    """Import the library of that name; OperatorNeeded where it is unknown or not installed.

    ib_insync takes the current event loop when it is imported, and fails in a thread that has none, so it is imported
    in a thread that has one. The loop is kept by the library and never runs.
    """
    if name not in NAMES:
        raise OperatorNeeded(f"unknown IB library {name[:40]!r}", remedy=f"set IB_LIBRARY to one of {', '.join(NAMES)}")
    outcome: list[ModuleType | ImportError] = []

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        try:
            outcome.append(importlib.import_module(name))
        except ImportError as error:
            outcome.append(error)

    if name in sys.modules:
        return Library(name, sys.modules[name])
    thread = threading.Thread(target=work, name="ib-import")
    thread.start()
    thread.join()
    found = outcome[0]
    if isinstance(found, ImportError):
        raise OperatorNeeded(f"{name} cannot be imported: {found}", remedy=f"install {name}, or set IB_LIBRARY")
    return Library(name, found)
