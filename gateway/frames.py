"""Frames: what lies between the bytes of the socket and the fields of a message.

A frame is a length in four bytes, high first, and so many bytes of fields, each ended by NUL. Of messages about
orders and positions this module demands what no decoder checks: the exact number of fields, numbers that are numbers,
and text that is text. A damaged fill must not become another fill.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from gateway.errors import BadFrame

FRAME_BYTES = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")

# Damage in one of these ends the connection; in any other only the request that it answers.
ORDER_MESSAGES = frozenset({3, 4, 5, 9, 11, 15, 53, 55, 59, 61, 62, 101, 102})
_COUNTS = {3: 12, 9: 3, 11: 31, 15: 3, 53: 2, 55: 3, 59: 8, 61: 16, 62: 2, 102: 1}
_LEAST = {4: 5, 5: 100, 101: 80}
_NUMBERS = {
    3: (1, 3, 4, 5, 6, 7, 8, 9),
    4: (2, 3),
    5: (1, 2, 14, 24, 25),
    9: (2,),
    11: (1, 2, 3, 19, 20, 21, 22, 23, 24, 25),
    55: (2,),
    59: (3,),
    61: (3, 14),
    101: (1, 13, 23),
}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?", re.ASCII)


def frame(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into payloads. Holds at most one unfinished frame, of at most `limit` bytes."""

    def __init__(self, limit: int = FRAME_BYTES) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that are complete now; BadFrame for a length that is not to be believed."""
        held = self._held
        held += data
        start = 0
        try:
            while len(held) - start >= 4:
                (length,) = _LENGTH.unpack_from(held, start)
                if not 0 < length <= self._limit:
                    raise BadFrame(f"a frame of {length} bytes is announced, at most {self._limit} are taken")
                end = start + 4 + length
                if len(held) < end:
                    break
                payload = bytes(held[start + 4 : end])
                start = end
                yield payload
        finally:
            del held[:start]


def split(payload: bytes) -> list[str]:
    """The fields of a message; BadFrame where it is not one, or is a damaged message about an order."""
    if not payload.endswith(b"\0"):
        raise BadFrame("a message that does not end a field")
    try:
        text, damaged = payload.decode(), False
    except UnicodeDecodeError:
        text, damaged = payload.decode(errors="backslashreplace"), True
    fields = text.split("\0")
    fields.pop()
    if not (fields[0].isascii() and fields[0].isdigit()):
        raise BadFrame(f"a message without a number, {fields[0][:20]!r}")
    message_id = int(fields[0][:9])
    if message_id in ORDER_MESSAGES:
        if damaged and message_id != 4:
            raise BadFrame(f"message {message_id} holds bytes that are no text")
        _demand(message_id, fields)
    return fields


def _demand(message_id: int, fields: list[str]) -> None:
    n = len(fields)
    # From server version 178 on an execution has one field more.
    if n != _COUNTS.get(message_id, n) and not (message_id == 11 and n == 32):
        raise BadFrame(f"message {message_id} has {n} fields, not {_COUNTS[message_id]}")
    if n < _LEAST.get(message_id, 0):
        raise BadFrame(f"message {message_id} has only {n} fields")
    for index in _NUMBERS.get(message_id, ()):
        if not _NUMBER.fullmatch(fields[index]):
            raise BadFrame(f"message {message_id}: field {index} is no number, {fields[index][:30]!r}")
