"""Link: one TCP connection to a gateway, from the handshake to its end; fields in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.errors import BadFrame, ConnectionLost, GatewayError
from gateway.frames import FrameReader, frame, split
from gateway.troubles import Trouble, TroubleError

_GREETING = b"API\0"


class Link(asyncio.Protocol):
    """Counts what passes. `on_fields` gets each message, `on_batch` is called after those of one read.

    An exception of either ends the link and is the cause that `lost` carries: nothing is swallowed.
    """

    def __init__(
        self, frame_bytes: int, on_fields: Callable[[list[str]], None], on_batch: Callable[[], None] = lambda: None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[int] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0
        self._reader = FrameReader(frame_bytes)
        self._on_fields = on_fields
        self._on_batch = on_batch
        self._transport: asyncio.Transport | None = None
        self._cause: BaseException | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and self._cause is None and not self._transport.is_closing()

    @property
    def backlog(self) -> int:
        """Bytes given to `send` that the system has not taken: a message behind them is not on its way."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def greet(self, versions: tuple[int, int]) -> None:
        self._write(_GREETING + frame(f"v{versions[0]}..{versions[1]}".encode()))

    def send(self, message: str) -> None:
        """One message, its fields ended by NUL. ConnectionLost where there is no connection to write to."""
        if not self.is_open:
            raise ConnectionLost("the connection is closed")
        self._write(frame(message.encode()))
        self.messages_out += 1

    def abort(self, cause: BaseException) -> None:
        """End it now, without waiting for what is unsent."""
        if self._cause is None:
            self._cause = cause
        if self._transport is not None:
            self._transport.abort()

    # asyncio's part

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        try:
            for payload in self._reader.feed(data):
                self._take(payload)
                if self._cause is not None:
                    return
            self._on_batch()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the cause of the end, told by `lost`
            if isinstance(error, BadFrame) and not self.greeted.done():
                error = TroubleError(Trouble.NOT_A_GATEWAY, repr(data[:40]))
            self.abort(error)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._cause is None:
            self._cause = ConnectionLost(f"the connection broke: {exc}" if exc else "the gateway closed the connection")
        for future in (self.greeted, self.lost):
            if not future.done():
                future.set_exception(self._cause)
                future.exception()  # seen: who waits for it gets it all the same

    def _take(self, payload: bytes) -> None:
        if self.greeted.done():
            self.messages_in += 1
            self._on_fields(split(payload))
            return
        fields = payload.split(b"\0")
        if len(fields) != 3 or not fields[0].isdigit() or fields[2]:
            raise TroubleError(Trouble.NOT_A_GATEWAY, repr(payload[:40]))
        self.greeted.set_result(int(fields[0]))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
            self.bytes_out += len(data)


async def dial(host: str, port: int, seconds: float, make: Callable[[], Link], versions: tuple[int, int]) -> Link:
    """Connect and greet; the link, whose `greeted` holds the server version. TroubleError says why not."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, link = await loop.create_connection(make, host, port)
    except ConnectionRefusedError as error:
        raise TroubleError(Trouble.REFUSED, f"{host}:{port}") from error
    except TimeoutError as error:
        raise TroubleError(
            Trouble.UNREACHABLE, f"{host}:{port} did not take the connection in {seconds:g} s"
        ) from error
    except OSError as error:
        raise TroubleError(Trouble.UNREACHABLE, f"{host}:{port}: {error}") from error
    try:
        link.greet(versions)
        async with asyncio.timeout(seconds):
            version = await asyncio.shield(link.greeted)
    except TimeoutError as error:
        failure: GatewayError = TroubleError(Trouble.MUTE, f"no answer in {seconds:g} s")
        link.abort(failure)
        raise failure from error
    except ConnectionLost as error:
        raise TroubleError(Trouble.CLOSED_EARLY, str(error)) from error
    except BaseException as error:
        link.abort(error)
        raise
    if version < versions[0]:
        failure = TroubleError(Trouble.TOO_OLD, f"server version {version}, {versions[0]} is needed")
        link.abort(failure)
        raise failure
    return link
