"""Frames come out as they went in, however the stream is chopped; values are spelled as section 3 says."""

from __future__ import annotations

import itertools
import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator import wire
from tests.gateway.simulator.real_clients import load

_TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)))


def _chop(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 10**6), max_size=30), st.booleans())
def test_a_stream_comes_apart_as_it_was_put_together(payloads: list[bytes], cuts: list[int], greeting: bool) -> None:
    stream = (wire.GREETING if greeting else b"") + b"".join(map(wire.frame, payloads))
    reader = wire.FrameReader(greeting=greeting)
    assert [payload for chunk in _chop(stream, cuts) for payload in reader.feed(chunk)] == payloads
    assert reader.pending == 0


def test_payloads_not_yet_taken_are_not_lost() -> None:
    reader = wire.FrameReader()
    first = reader.feed(wire.frame(b"a") + wire.frame(b"b"))
    assert next(first) == b"a"
    assert list(reader.feed(wire.frame(b"c"))) == [b"b", b"c"]


def test_a_frame_at_the_limit_passes_and_one_byte_more_ends_the_stream() -> None:
    reader = wire.FrameReader()
    assert list(reader.feed(struct.pack(">I", wire.MAX_FRAME) + bytes(wire.MAX_FRAME))) == [bytes(wire.MAX_FRAME)]
    frames = reader.feed(wire.frame(b"good") + struct.pack(">I", wire.MAX_FRAME + 1))
    assert next(frames) == b"good"
    for _ in range(2):
        with pytest.raises(wire.FrameTooLong):
            next(reader.feed(b"more"))
    assert reader.pending == 0


def test_a_message_that_no_client_takes_is_not_framed() -> None:
    assert len(wire.frame(bytes(wire.MAX_FRAME))) == wire.MAX_FRAME + 4
    with pytest.raises(wire.FrameTooLong):
        wire.frame(bytes(wire.MAX_FRAME + 1))


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1", b"\x16\x03\x01", b"APX", b"\0"])
def test_who_does_not_greet_is_refused(stream: bytes) -> None:
    with pytest.raises(wire.BadGreeting):
        list(wire.FrameReader(greeting=True).feed(stream))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"v157..176", (157, 176, "")),
        (b"v100..225", (100, 225, "")),
        (b"v157..178 +PACEAPI", (157, 178, "+PACEAPI")),
    ],
)
def test_versions_are_read_from_the_greeting(payload: bytes, expected: tuple[int, int, str]) -> None:
    assert wire.version_range(payload) == expected


@pytest.mark.parametrize("payload", [b"", b"v157", b"157..176", b"v1..", b"v-1..5", b"v157..176x", b"\xff\xfe"])
def test_a_greeting_without_versions_is_refused(payload: bytes) -> None:
    with pytest.raises(wire.BadGreeting):
        wire.version_range(payload)


@given(st.lists(_TEXT, min_size=1))
def test_texts_survive_a_payload(texts: list[str]) -> None:
    assert wire.split(wire.payload(*texts)) == texts


@pytest.mark.parametrize("payload", [b"", b"71", b"71\x002"])
def test_a_payload_without_an_end_is_refused(payload: bytes) -> None:
    with pytest.raises(wire.BadFrame):
        wire.split(payload)


def test_bytes_that_are_no_text_do_not_stop_the_reader() -> None:
    assert wire.split(b"1\0\xff\xfe\0") == ["1", "\ufffd\ufffd"]


def test_what_would_end_a_field_does_not_travel() -> None:
    assert wire.split(wire.payload("a\0b", "c")) == ["ab", "c"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_exact_and_plain(value: float) -> None:
    text = wire.decimal(value)
    assert float(text) == value
    assert "e" not in text.lower()
    assert not text.endswith(".0")
    assert Decimal(text) == Decimal(repr(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [(200.03, "200.03"), (0.0, "0"), (-0.0, "0"), (100.0, "100"), (1e-7, "0.0000001"), (1e22, "1" + "0" * 22)],
)
def test_decimals_look_as_ib_writes_them(value: float, text: str) -> None:
    assert wire.decimal(value) == text


def test_what_is_not_given_is_never_nan() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert wire.decimal(value) == ""
        assert wire.decimal(value, wire.UNSET_DOUBLE) == wire.UNSET_DOUBLE
        assert wire.size(157, value) == wire.size(176, value) == "0"


def test_sizes_have_fractions_only_for_those_who_read_them() -> None:
    assert (wire.size(162, 100.75), wire.size(162, -2.5), wire.size(163, 100.75)) == ("100", "-2", "100.75")
    assert (wire.size(162, 0.5), wire.size(163, 100.0)) == ("0", "100")


@pytest.mark.parametrize(
    "spelling",
    ["", "1.7976931348623157e+308", "1.7976931348623157E308", "2147483647", "Infinity", "Infinite", str(2**127 - 1)],
)
def test_unset_is_unset_in_every_spelling(spelling: str) -> None:
    assert math.isnan(wire.real(spelling))
    assert wire.real(spelling, 0.0) == 0.0


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("-2.5", -2.5), ("1e-05", 1e-5), (".5", 0.5), ("3.", 3)])
def test_numbers_are_read(text: str, value: float) -> None:
    assert wire.real(text) == value


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-Infinity", "1_0", " 1", "1,5", "0x1", "1e999", "٣", "-"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(wire.BadField):
        wire.real(text)
    with pytest.raises(wire.BadField):
        wire.integer(text)


@pytest.mark.parametrize("text", ["1.0", "2147483648", "-2147483649", "9" * 5000])
def test_whole_numbers_have_thirty_two_bits(text: str) -> None:
    with pytest.raises(wire.BadField):
        wire.integer(text)


def test_whole_numbers_and_flags_are_read() -> None:
    assert [wire.integer(text) for text in ("", "0", "-1", "2147483647")] == [0, 0, -1, 2**31 - 1]
    assert [wire.set_integer(text) for text in ("", "5", "2147483647")] == [0, 5, 0]
    assert [wire.flag(text) for text in ("", "0", "1")] == [False, False, True]


@given(_TEXT)
def test_an_escaped_text_is_ascii_and_comes_back(value: str) -> None:
    sent = wire.escaped(value)
    assert sent.isascii()
    assert sent.encode().decode("unicode-escape") == value


@given(st.one_of(st.floats(), st.integers(-(2**31), 2**31 - 1), st.booleans()))
def test_what_ibs_own_client_writes_is_read(value: float) -> None:
    field = load("ibapi", "comm").make_field_handle_empty(value).removesuffix("\0")
    if isinstance(value, float) and (math.isnan(value) or value == -math.inf):
        return  # No client sends these.
    if abs(value) >= 1.7e308 or value == 2**31 - 1:
        assert math.isnan(wire.real(field))
    else:
        assert wire.real(field) == value
