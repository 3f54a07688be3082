"""A client that speaks in bare fields, over a socket or straight to a session."""

from __future__ import annotations

import socket
import struct
import time
from types import TracebackType

from gateway.simulator.session import Session
from gateway.simulator.simulator import Simulator


def frame(*fields: object) -> bytes:
    payload = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(payload)) + payload


def hello(text: str = "v157..176") -> bytes:
    return b"API\0" + struct.pack(">I", len(text)) + text.encode()


def split_frames(data: bytes) -> tuple[list[list[str]], bytes]:
    """Messages as fields, and what is left over."""
    found = []
    while len(data) >= 4:
        (length,) = struct.unpack_from(">I", data)
        if len(data) < 4 + length:
            break
        found.append(data[4 : 4 + length].decode(errors="replace").split("\0")[:-1])
        data = data[4 + length :]
    return found, data


class Talk:
    """A session without a socket: `say` and see what comes back."""

    def __init__(self, simulator: Simulator, client_id: int | None = 1, *, versions: str = "v157..176") -> None:
        self.simulator = simulator
        self.session: Session = simulator.connect("test:0")
        self.rest = b""
        if client_id is not None:
            self.feed(hello(versions))
            self.handshake = self.heard()
            self.greeting = self.say(71, 2, client_id, "")

    def feed(self, data: bytes) -> None:
        self.session.receive(data)

    def say(self, *fields: object) -> list[list[str]]:
        self.feed(frame(*fields))
        return self.heard()

    def heard(self) -> list[list[str]]:
        found, self.rest = split_frames(self.rest + b"".join(self.session.outlet.take()))
        return found


class RawClient:
    """A blocking socket that gives up after ten seconds."""

    def __init__(self, port: int, client_id: int | None = 1, *, versions: str = "v157..176") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._rest = b""
        self._found: list[list[str]] = []
        if client_id is not None:
            self.socket.sendall(hello(versions))
            self.handshake = self.read()
            self.say(71, 2, client_id, "")

    def say(self, *fields: object) -> None:
        self.socket.sendall(frame(*fields))

    def read(self) -> list[str]:
        """The next message; EOFError once the other side has closed."""
        while not self._found:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._found, self._rest = split_frames(self._rest + data)
        return self._found.pop(0)

    def until(self, message: int | str, *more: object) -> list[list[str]]:
        """All messages up to the one with this id (and these next fields)."""
        wanted = [str(message), *map(str, more)]
        found = []
        while True:
            found.append(self.read())
            if found[-1][: len(wanted)] == wanted:
                return found

    def quiet(self, seconds: float) -> list[list[str]]:
        """What comes within so long."""
        found: list[list[str]] = []
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.socket.settimeout(left)
                found.append(self.read())
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(10)
        return found

    def is_ended(self) -> bool:
        """Whether the other side ends it, within ten seconds."""
        try:
            while True:
                self.read()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
