"""Damaged bytes, and connections made and ended many times: no hang, no wrong book, nothing left behind.

FUZZ_FRAMES and CYCLES say how much the exhaustive runs do; a run is repeated by the FUZZ_SEED that it prints.
"""

import asyncio
import os
import random
import resource
import struct
import threading
import time
from pathlib import Path

import pytest

from domain.timeframe import Timeframe
from gateway.connection import Connection
from gateway.errors import GatewayError
from gateway.events import Executed, PositionReported, Synchronised
from gateway.frames import FrameReader, frame
from gateway.library import load
from gateway.session import Session
from gateway.states import State
from tests.gateway.gateways import AAPL, LIBRARY, PATIENCE, Heard, connected, settings, start_gateway, truth, until
from tests.gateway.test_orders import MARKETABLE, RESTING, place, trade

SEED = int(os.environ.get("FUZZ_SEED", time.time_ns() % 2**32))
FRAMES = int(os.environ.get("FUZZ_FRAMES", "1000000"))
CYCLES = int(os.environ.get("CYCLES", "10000"))
JUNK = (
    "",
    "x",
    "nan",
    "inf",
    "1e999",
    "-",
    "1_0",
    "\u0663",
    " 1",
    "0x10",
    "9" * 400,
    "?",
    "None",
    "\u202e",
    "a" * 5000,
)


@pytest.fixture(scope="module")
def recorded():
    """(payloads of a session with orders, fills, quotes and bars, the executions that really were)."""
    with start_gateway(message_rate=0) as gateway, connected(gateway) as connection:
        link = connection._supervisor.session.link
        pieces, hear = [], link.data_received

        def listen(data):
            pieces.append(data)
            hear(data)

        link._transport.get_protocol().data_received = listen
        connection.subscribe_quotes(AAPL)
        connection.subscribe_bars(AAPL, Timeframe.M1, duration="600 S", regular_hours=False)
        gateway.faults.fill("touch", part_size=3)
        place(connection, RESTING)
        for _ in range(3):
            trade(gateway, connection, MARKETABLE)
            gateway.advance(5)
        connection.positions()
        connection.open_orders()
        connection.completed_orders()
        connection.executions()
        connection.qualify(AAPL)
        assert any(one for one in connection.executions().executions)
        return list(FrameReader().feed(b"".join(pieces))), truth(gateway)


def damaged(payload, chance):
    """Bytes that no gateway sends; a number is never made another number, as nothing could tell that."""
    fields = payload.split(b"\0")[:-1]
    at = chance.randrange(len(fields))
    match chance.randrange(9):
        case 0:
            return frame(payload[: chance.randrange(len(payload))])
        case 1:
            del fields[at]
        case 2:
            fields.insert(at, chance.choice(JUNK).encode())
        case 3 | 4:
            fields[at] = chance.choice(JUNK).encode()
        case 5:
            return frame(chance.randbytes(chance.randrange(1, 200)))
        case 6:
            return struct.pack(">I", chance.choice((0, 2**31 - 1, 2**32 - 1, 2**25, 2))) + payload
        case 7:
            fields[at] += chance.choice((b"\xff", b"\xc3\x28", b"\xe2\x80"))
        case 8:
            fields[0] = str(chance.randrange(120)).encode()
    return frame(b"".join(field + b"\0" for field in fields))


class Wire:
    """The system's half of a socket."""

    def __init__(self):
        self.is_open = True

    def write(self, data):
        pass

    def abort(self):
        self.is_open = False

    def is_closing(self):
        return not self.is_open

    def get_write_buffer_size(self):
        return 0


def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def feed_damage(payloads, real, count, chance):
    """How many sessions `count` damaged frames, amid good ones, ended; and the memory at a third and at the end."""
    events = []
    sessions = 0
    session = wire = None
    sizes = []
    for n in range(count):
        if session is None or not session.link.is_open:
            if session is not None:
                assert isinstance(session.link._cause, GatewayError), repr(session.link._cause)
                session.close(session.link._cause)
                session.link.connection_lost(None)
            await asyncio.sleep(0)
            session = Session(sessions, settings(Here, client_id=1), load(LIBRARY), events.append, lambda _: None)
            wire = Wire()
            session.link.connection_made(wire)
            session.link.data_received(frame(b"176\x0020261121 01:11:19 EST\x00"))
            receiver = session.receiver()
            session._codec = session.library.codec(176, 1, session.link.send, receiver)
            sessions += 1
        if chance.random() < 0.3:
            session.link.data_received(frame(chance.choice(payloads)))
        session.link.data_received(damaged(chance.choice(payloads), chance))
        for event in events:
            if isinstance(event, Executed):
                assert real[event.base] == (event.quantity, event.price)
            if isinstance(event, PositionReported):
                assert event.contract.con_id >= 0
        events.clear()
        if n in (count // 3, count - 1):
            sizes.append(memory())
    session.close(GatewayError("done"))
    return sessions, sizes


class Here:
    port = 1


def damage(recorded, count):
    print(f"FUZZ_SEED={SEED}")
    payloads, real = recorded
    sessions, sizes = asyncio.run(feed_damage(payloads, real, count, random.Random(SEED)))
    assert sessions > count / 100
    assert sizes[1] - sizes[0] < 30_000_000


def test_damaged_frames_end_sessions_and_change_no_book(recorded):
    damage(recorded, 20_000)


@pytest.mark.exhaustive
def test_a_great_many_damaged_frames_end_sessions_and_change_no_book(recorded):
    damage(recorded, FRAMES)


@pytest.mark.parametrize("verb", ["garble", "fields", "truncate", "biglen"])
def test_after_damage_on_the_wire_the_books_are_right_again(verb):
    """T9: over TCP, at the very fill."""
    with start_gateway(message_rate=0) as gateway, connected(gateway) as connection:
        heard = Heard(connection)
        getattr(gateway.faults, verb)(type="execDetails")
        place(connection, MARKETABLE)
        connection.server_time()
        gateway.advance(2)
        until(lambda: connection.snapshot().session == 2)
        connection.wait_ready(PATIENCE)
        assert {base: (one.quantity, one.price) for base, one in heard.executions().items()} == truth(gateway)
        assert len(heard.of(Synchronised)[-1].executions.executions) == 1


def cycle(count):
    with start_gateway(message_rate=0) as gateway:
        threads, files, sizes = threading.active_count(), 0, []
        for n in range(count):
            with connected(gateway) as connection:
                connection.server_time()
            assert connection.state is State.DOWN
            until(lambda: not gateway.call(lambda simulator: simulator.by_client))
            if n == min(10, count - 1):
                files = len(list(Path("/proc/self/fd").iterdir()))
            if n in (count // 3, count - 1):
                sizes.append(memory())
        assert threading.active_count() == threads
        assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2
        assert sizes[1] - sizes[0] < 20_000_000


def test_connections_made_and_ended_leave_nothing_behind():
    cycle(100)


@pytest.mark.exhaustive
def test_a_great_many_connections_made_and_ended_leave_nothing_behind():
    cycle(CYCLES)


def test_a_connection_that_never_comes_to_be_leaves_nothing_behind():
    before = threading.active_count()
    with start_gateway() as gateway:
        gateway.faults.refuse()
    for _ in range(20):
        connection = Connection(settings(gateway)).open()
        connection.close()
    assert threading.active_count() == before
