import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadFrame
from gateway.frames import ORDER_MESSAGES, FrameReader, frame, split

PAYLOADS = st.lists(st.binary(min_size=1, max_size=50), max_size=20)


@given(PAYLOADS, st.integers(0, 2**32))
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads, seed):
    stream = b"".join(frame(payload) for payload in payloads)
    cuts = random.Random(seed)
    reader, found = FrameReader(), []
    while stream:
        n = cuts.randint(1, 7)
        found += reader.feed(stream[:n])
        stream = stream[n:]
    assert found == payloads


def test_a_length_that_is_not_to_be_believed_is_refused_before_its_bytes_come():
    with pytest.raises(BadFrame, match="at most 100"):
        list(FrameReader(100).feed(struct.pack(">I", 101)))
    assert list(FrameReader(100).feed(struct.pack(">I", 100))) == []


def test_what_came_before_a_bad_length_is_still_given_out():
    reader = FrameReader(100)
    stream = reader.feed(frame(b"good\0") + struct.pack(">I", 2**31))
    assert next(stream) == b"good\0"
    with pytest.raises(BadFrame):
        next(stream)


@pytest.mark.parametrize("payload", [b"1", b"\0", b"x\0", b"-1\0", "٣\0".encode(), b"3\0", b"62\x001\x00more\x00"])
def test_what_is_no_message_is_refused(payload):
    with pytest.raises(BadFrame):
        split(payload)


def test_text_outside_ascii_is_taken_where_it_does_no_harm():
    assert split("4\x002\x00-1\x00201\x00Zürich\x00\x00".encode())[4] == "Zürich"
    assert split(b"4\x002\x00-1\x00201\x00Z\xfcrich\x00\x00")[4] == "Z\\xfcrich"
    assert split(b"46\x006\x001\x0045\x00\xff\x00")[4] == "\\xff"


@given(st.sampled_from(sorted(ORDER_MESSAGES)), st.lists(st.text(st.characters(exclude_characters="\0"), max_size=8)))
def test_any_fields_at_all_are_a_message_or_refused(number, fields):
    payload = "".join(f"{field}\0" for field in [number, *fields]).encode(errors="replace")
    try:
        assert split(payload)[0] == str(number)
    except BadFrame:
        pass
