"""The decoders and encoders of the real client libraries, without sockets: what they take, and what they send.

Each library is used where it can be imported: ib_insync always, ib_async and IB's own client by PYTHONPATH.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import pytest

from gateway.simulator import wire

LIBRARIES = ("ib_insync", "ib_async", "ibapi")
_NEWEST = {"ib_insync": 176, "ib_async": 178, "ibapi": 178}


def load(library: str, part: str = "") -> Any:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    return importlib.import_module(f"{library}.{part}" if part else library)


def spoken(versions: Sequence[int]) -> list[tuple[str, int]]:
    """Each library with each version that it speaks; one that is not installed once, to be skipped by name."""
    return [
        (library, version)
        for library in LIBRARIES
        for version in (versions if importlib.util.find_spec(library) else versions[:1])
        if version <= _NEWEST[library]
    ]


class Recorder:
    """A wrapper that notes every call that a decoder makes."""

    defaultTimezone = UTC  # noqa: N815
    ib = None

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args: self.calls.append((name, args))


class _Loud:
    """In place of a decoder's logger: what would be logged and lost is raised."""

    def exception(self, *_: Any) -> None:
        raise  # noqa: PLE0704

    def error(self, *args: Any) -> None:
        raise AssertionError(args)

    def isEnabledFor(self, _: int) -> bool:
        return False


def decode(library: str, version: int, payload: bytes) -> list[tuple[str, tuple[Any, ...]]]:
    """The calls that the library's decoder makes of a message; raises where it would lose it."""
    recorder = Recorder()
    decoder = load(library, "decoder").Decoder(recorder, version)
    if library == "ibapi":
        fields = load(library, "comm").read_fields(payload)
        decoder.interpret(fields[1:], int(fields[0]))
    else:
        decoder.logger = decoder._logger = _Loud()
        decoder.interpret(wire.split(payload))
    return recorder.calls


class Sent:
    """A client of a library that is "connected" at a version, and the fields of what it last sent."""

    def __init__(self, library: str, version: int) -> None:
        self.library = library
        self.payloads: list[bytes] = []
        self.client = self._official(version) if library == "ibapi" else self._async(library, version)

    @property
    def fields(self) -> list[str]:
        return wire.split(self.payloads[-1])

    def _async(self, library: str, version: int) -> Any:
        module = load(library, "client")
        client = module.Client(Recorder())
        client._serverVersion = version
        client.connState = module.Client.CONNECTED
        client.sendMsg = lambda text: self.payloads.append(text.encode())
        return client

    def _official(self, version: int) -> Any:
        module = load("ibapi", "client")
        client = module.EClient(Recorder())
        client.conn = self
        client.connState = module.EClient.CONNECTED
        client.serverVersion_ = version
        client.clientId = 7
        client.optCapab = ""
        return client

    # As the official client's connection.

    def isConnected(self) -> bool:
        return True

    def sendMsg(self, frame: bytes) -> int:
        self.payloads += wire.FrameReader().feed(frame)
        return len(frame)
