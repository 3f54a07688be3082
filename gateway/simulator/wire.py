"""The wire: frames, fields, and how single values are spelled. Nothing here knows a message.

A frame is a 4-byte big-endian length and a payload; a payload is fields, each ended by NUL.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

MAX_FRAME = 0xFFFFFF
"""Longest payload in bytes: beyond it IB's own client gives up."""
GREETING = b"API\0"
UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INT = "2147483647"
FRACTIONS = 163
"""From this server version on a size may have a fraction."""

_INT_RANGE = range(-(2**31), 2**31)
_LARGEST = 1.7e308
_UNSET_REALS = frozenset({"", UNSET_INT, "Infinity", "Infinite", str(2**127 - 1)})
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
_VERSIONS = re.compile(r"v([0-9]{1,6})\.\.([0-9]{1,6})( .*)?", re.ASCII | re.DOTALL)
_ESCAPED = re.compile(r"[^\x20-\x5b\x5d-\x7e]")


class WireError(Exception):
    """What arrived cannot be read; the connection that sent it ends, or the message is dropped."""


class FrameTooLong(WireError):
    """The length prefix announces more than MAX_FRAME bytes: garbage, or not our protocol. The stream is lost."""


class BadGreeting(WireError):
    """The first bytes are not `API\\0`, or what follows is not a range of versions."""


class BadFrame(WireError):
    """A payload that is not fields: empty, or its last field not ended."""


class BadField(WireError):
    """A field is not what it should be: a number, a flag."""


class VersionRange(NamedTuple):
    """What a client greets with: `v157..176 +PACEAPI`."""

    low: int
    high: int
    options: str


# Frames


def frame(payload: bytes) -> bytes:
    """A payload with its length before it. Raises FrameTooLong where no client would take it."""
    if len(payload) > MAX_FRAME:
        raise FrameTooLong(f"a message of {len(payload)} bytes")
    return struct.pack(">I", len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into payloads, however they were chopped. Holds at most one frame and one chunk.

    With `greeting` the stream must begin with `API\\0`. After an error the reader is dead: it raises it again.
    """

    def __init__(self, *, greeting: bool = False, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._greeting = greeting
        self._limit = limit
        self._error: WireError | None = None

    @property
    def pending(self) -> int:
        """Bytes held that are not yet a frame."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a chunk at once, and give its payloads one by one: those before a bad one come out before the error.

        Raises FrameTooLong, BadGreeting.
        """
        if self._error is None:
            self._buffer += data
        return self._payloads()

    def _payloads(self) -> Iterator[bytes]:
        while (length := self._next_length()) is not None and self.pending >= 4 + length:
            begin = self._start + 4
            self._start = begin + length
            yield bytes(self._buffer[begin : begin + length])
        del self._buffer[: self._start]
        self._start = 0

    def _next_length(self) -> int | None:
        if self._error is None and self._greeting:
            self._read_greeting()
        if self._error is not None:
            raise self._error
        if self._greeting or self.pending < 4:
            return None
        (length,) = struct.unpack_from(">I", self._buffer, self._start)
        if length > self._limit:
            raise self._dead(FrameTooLong(f"a frame of {length} bytes; at most {self._limit}"))
        return int(length)

    def _read_greeting(self) -> None:
        begin = bytes(self._buffer[: len(GREETING)])
        if not GREETING.startswith(begin):
            raise self._dead(BadGreeting(f"the stream begins with {begin!r}"))
        if begin == GREETING:
            self._greeting, self._start = False, len(GREETING)

    def _dead(self, error: WireError) -> WireError:
        self._error = error
        self._buffer.clear()
        self._start = 0
        return error


def version_range(payload: bytes) -> VersionRange:
    """The versions in the first frame of a client. Raises BadGreeting."""
    match = _VERSIONS.fullmatch(payload.decode("ascii", "replace").rstrip("\0"))
    if match is None:
        raise BadGreeting(f"not a range of versions: {payload[:40]!r}")
    return VersionRange(int(match[1]), int(match[2]), (match[3] or "").strip())


def split(payload: bytes) -> list[str]:
    """The fields of a payload. Bytes that are no UTF-8 become U+FFFD. Raises BadFrame."""
    if not payload.endswith(b"\0"):
        raise BadFrame("an empty frame" if not payload else "the last field has no end")
    return payload[:-1].decode("utf-8", "replace").split("\0")


# Values as the server writes them


def decimal(value: float, unset: str = "") -> str:
    """The shortest plain decimal, without exponent and without a point where it is whole; `unset` for NaN and inf."""
    if not math.isfinite(value):
        return unset
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    if text.endswith(".0"):
        text = text[:-2]
    return "0" if text == "-0" else text


def size(version: int, value: float, unset: str = "0") -> str:
    """A quantity: whole before version 163, where a fraction is cut off."""
    return decimal(value if version >= FRACTIONS or not math.isfinite(value) else float(math.trunc(value)), unset)


def text(value: str) -> str:
    """As it is; NUL, which ends a field, cannot travel and is left out."""
    return value.replace("\0", "") if "\0" in value else value


def escaped(value: str) -> str:
    """Printable ASCII, the rest as `\\uXXXX`, as TWS sends the texts that clients unescape; a backslash is doubled."""
    return _ESCAPED.sub(_escape, text(value))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\\":
        return "\\\\"
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


Value = str | int | float


def payload(*values: Value) -> bytes:
    """A message of these fields: flags as 1 and 0, floats as plain decimals (NaN empty), text as it is."""
    return ("\0".join(map(_spelled, values)) + "\0").encode("utf-8", "replace")


def _spelled(value: Value) -> str:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return decimal(value)
    return str(int(value))


# Values as clients write them


def integer(field: str, unset: int = 0) -> int:
    """A 32-bit number; empty is `unset`. Raises BadField."""
    if not field:
        return unset
    if _INTEGER.fullmatch(field) is None or int(field) not in _INT_RANGE:
        raise BadField(f"not a whole number: {field[:40]!r}")
    return int(field)


def set_integer(field: str) -> int:
    """A number of which 2147483647 too says that it is not given: 0."""
    return 0 if field == UNSET_INT else integer(field)


def real(field: str, unset: float = math.nan) -> float:
    """A price, an amount; `unset` in all its spellings. Raises BadField."""
    if field in _UNSET_REALS:
        return unset
    value = float(field) if len(field) <= 400 and _REAL.fullmatch(field) else math.inf
    if math.isinf(value):
        raise BadField(f"not a number: {field[:40]!r}")
    return value if abs(value) < _LARGEST else unset


def flag(field: str) -> bool:
    """0, 1 or empty, which is 0; another number counts as 1, as for Java. Raises BadField."""
    return integer(field) != 0
