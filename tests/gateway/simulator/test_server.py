import os
import random
import resource
import socket
import struct
import threading
import time
from itertools import count as count_from
from pathlib import Path

import pytest

from domain.errors import BadInput
from gateway.simulator import requests
from gateway.simulator.server import DEFAULT_START_NS, start_simulator
from tests.gateway.simulator.rawclient import RawClient, Talk, frame
from tests.gateway.simulator.test_session import AAPL
from tests.gateway.simulator.worlds import known_market, still_simulator

CURRENT_TIME = (49, 1)


@pytest.fixture(scope="module")
def handle():
    with start_simulator(market=known_market()) as handle:
        yield handle


def test_it_listens_where_it_says_and_ends_when_told():
    handle = start_simulator(market=known_market())
    client = RawClient(handle.port)
    client.until(4, 2, -1, 2158)
    assert handle.host == "127.0.0.1"
    handle.stop()
    assert client.is_ended()
    assert not handle.is_running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", handle.port), timeout=5)
    handle.stop()
    client.close()


def test_a_port_that_is_taken_is_said_and_leaves_no_thread_behind(handle):
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        start_simulator(port=handle.port, market=known_market())
    with pytest.raises(OSError, match="in use"):
        start_simulator(control_port=handle.port, market=known_market())
    assert threading.active_count() == before


@pytest.mark.parametrize("accounts", [(), ("DU1", "DU1")])
def test_accounts_that_cannot_be_are_refused(accounts):
    with pytest.raises(BadInput, match="accounts"):
        start_simulator(accounts=accounts)


def test_a_slow_reader_is_ended_by_the_named_limit_and_the_others_go_on(caplog):
    with start_simulator(market=known_market(), output_limit=300_000, message_rate=0) as handle:
        slow, other = RawClient(handle.port, 1), RawClient(handle.port, 2)
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        other.until(4, 2, -1, 2158)
        question = frame(20, 7, *AAPL, 0, "", "1 min", "5 D", 1, "TRADES", 2, 0, "")
        end = time.monotonic() + 30
        try:
            while len(handle.simulator.by_client) == 2:
                slow.socket.sendall(question)
                other.say(*CURRENT_TIME)
                other.until(49)
                assert time.monotonic() < end
        except ConnectionError:
            pass
        other.say(*CURRENT_TIME)
        other.until(49)
        assert "output_limit is 300,000" in caplog.text
        assert 2 in handle.simulator.by_client
        slow.close()
        other.close()


def test_a_client_that_vanishes_is_forgotten(handle):
    client = RawClient(handle.port, 41)
    client.until(4, 2, -1, 2158)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    end = time.monotonic() + 10
    while 41 in handle.simulator.by_client:
        assert time.monotonic() < end
        time.sleep(0.01)
    with RawClient(handle.port, 41) as again:
        again.until(9)


def test_sockets_ask_the_system_whether_their_peer_still_lives(handle):
    with RawClient(handle.port, 42) as client:
        client.until(9)
        (connection,) = [each for session, each in handle._server.connections.items() if session.client_id == 42]
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_state_goes_on_where_it_ended(tmp_path):
    state = tmp_path / "state.sqlite3"
    with start_simulator(market=known_market(), state=state, speed=1000) as handle, RawClient(handle.port) as client:
        client.until(4, 2, -1, 2158)
        time.sleep(0.1)
        first, now_ns = handle.call(lambda s: (s.exchange.reserve_order_ids(1, 10), s.exchange.now_ns))
    with start_simulator(market=known_market(), state=state) as handle, RawClient(handle.port) as client:
        assert int(client.until(9)[-1][2]) == first + 10
        assert handle.simulator.now_ns() >= now_ns > DEFAULT_START_NS


def test_a_state_file_that_is_none_is_refused(tmp_path):
    wrong = tmp_path / "state.sqlite3"
    wrong.write_bytes(b"not a database, and never was one" * 100)
    with pytest.raises(BadInput, match="state file"):
        start_simulator(market=known_market(), state=wrong)


# Fuzz


def order(order_id: int, kind: str = "LMT", action: str = "BUY", price: str = "150") -> list[object]:
    """The fields of placeOrder at 176, of which most are left empty."""
    fields: list[object] = [""] * 115
    fields[0:2] = [3, order_id]
    fields[2:14] = AAPL
    fields[16:22] = [action, "10", kind, price, "150", "GTC"]
    fields[27] = 1
    return fields


def valid_frames() -> list[bytes]:
    """Of each request one that is read, and some that ask for much."""
    found = []
    for row in requests.TABLE.values():
        for count in range(1, 60):
            try:
                requests.parse(176, [str(row.id), *["1"] * count])
            except requests.BadRequest:
                continue
            found.append(frame(row.id, *["1"] * count))
            break
    found.append(frame(9, 8, 41, *AAPL, 0, "", "", ""))
    found.append(frame(20, 43, *AAPL, 0, "", "1 min", "60 S", 1, "TRADES", 2, 0, ""))
    found.append(frame(20, 46, *AAPL, 0, "", "5 secs", "60 S", 0, "TRADES", 1, 1, ""))
    found.append(frame(1, 11, 44, *AAPL, 0, "233", 0, 0, ""))
    found.append(frame(50, 3, 45, *AAPL, 5, "TRADES", 0, ""))
    found += [frame(*order(number, kind)) for number, kind in ((50, "LMT"), (51, "MKT"), (52, "STP"), (53, "TRAIL"))]
    found.append(frame(4, 1, 50, ""))
    return found


def mutated(chance: random.Random, whole: bytes) -> bytes:
    """The frame with a few bytes changed, cut, with something put in, or as it is."""
    payload = bytearray(whole[4:])
    kind = chance.randrange(4)
    if kind == 0:
        for _ in range(chance.randrange(1, 4)):
            payload[chance.randrange(len(payload))] = chance.randrange(256)
    elif kind == 1:
        del payload[chance.randrange(len(payload)) :]
    elif kind == 2:
        at = chance.randrange(len(payload))
        payload[at:at] = chance.choice([b"\0", b"nan", b"-1\0", b"1e308\0", b"\xff", b"9" * 30, "Ω".encode() + b"\0"])
    return struct.pack(">I", len(payload)) + bytes(payload)


def fuzz(count: int) -> None:
    """Mutated frames and raw bytes into sessions of one simulator, while another client keeps getting answers."""
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    simulator = still_simulator(message_rate=0, clients=0)
    calm = Talk(simulator, 900)
    frames = valid_frames()
    order_ids = count_from(100)
    victim = Talk(simulator, 1)
    for number in range(count):
        if victim.session.outlet.ending is not None or number % 2000 == 0:
            simulator.disconnect(victim.session)
            victim = Talk(simulator, 1, versions=chance.choice(["v157..176", "v100..157", "v157..178 +PACEAPI"]))
        draw = chance.random()
        if draw < 0.005:
            victim.feed(chance.randbytes(chance.randrange(1, 60)))
        elif draw < 0.05:
            kinds = chance.choice(["LMT", "MKT", "STP", "TRAIL"]), chance.choice(["BUY", "SELL"])
            victim.feed(mutated(chance, frame(*order(next(order_ids), *kinds))))
        else:
            victim.feed(mutated(chance, chance.choice(frames)))
        victim.session.outlet.take()
        if number % 50 == 0:
            simulator.monotonic.seconds += 0.3
            simulator.pass_time(1)
            assert any(message[0] == "49" for message in calm.say(*CURRENT_TIME)), number
    check_books(simulator)


def check_books(simulator) -> None:
    """Positions and cash are what the executions and the movements of the ledger come to."""
    exchange, account = simulator.exchange, simulator.settings.accounts[0]
    ledger = list(exchange.ledger)
    signed = {"BOT": 1, "SLD": -1}
    bought = sum(signed[each["side"]] * each["quantity"] for each in ledger if each["kind"] == "execution")
    assert sum(holding.quantity for holding in exchange.holdings(account)) == pytest.approx(bought)
    cash = sum(each["amount"] for each in ledger if each["kind"] == "cash")
    assert sum(exchange.books.cash.values()) == pytest.approx(cash)


def test_random_bytes_and_broken_frames_harm_no_other_client(caplog):
    caplog.set_level("CRITICAL")
    fuzz(20_000)


@pytest.mark.exhaustive
def test_a_great_many_broken_frames_harm_nobody_and_memory_stays_flat(caplog):
    caplog.set_level("CRITICAL")
    count = int(os.environ.get("FUZZ_FRAMES", "1000000"))
    fuzz(count // 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(9):
        fuzz(count // 10)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024, f"{grown:,} KiB more"


def test_random_bytes_over_sockets_harm_no_other_client(caplog):
    caplog.set_level("CRITICAL")
    chance = random.Random(5)
    frames = valid_frames()
    with start_simulator(market=known_market(), message_rate=0) as handle, RawClient(handle.port, 50) as calm:
        for _ in range(60):
            with RawClient(handle.port, None) as noisy:
                try:
                    noisy.socket.sendall(chance.randbytes(200) if chance.random() < 0.5 else chance.choice(frames))
                    noisy.socket.sendall(mutated(chance, chance.choice(frames)) * 20)
                except ConnectionError:
                    pass
            calm.say(*CURRENT_TIME)
            calm.until(49)


# Cycles


def cycles(handle, count: int) -> None:
    for number in range(count):
        with RawClient(handle.port, 60 + number % 8) as client:
            client.until(4, 2, -1, 2158)
            client.say(*CURRENT_TIME)
            client.until(49)
            if number % 3 == 0:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end = time.monotonic() + 10
        while 60 + number % 8 in handle.simulator.by_client:
            assert time.monotonic() < end
            time.sleep(0.001)


def measured() -> tuple[int, int, int]:
    """Threads, open files, resident kibibytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), pages * resource.getpagesize() // 1024


def check_cycles(handle, count: int) -> None:
    cycles(handle, 20)
    threads, files, memory = measured()
    cycles(handle, count)
    threads_after, files_after, memory_after = measured()
    assert threads_after == threads
    assert files_after <= files + 2
    assert memory_after - memory < 16 * 1024 + count, f"{memory_after - memory:,} KiB more after {count} cycles"
    assert not handle.simulator.dirty
    assert len(handle._server.connections) <= 1


def test_coming_and_going_leaves_nothing_behind(handle):
    check_cycles(handle, 200)


@pytest.mark.exhaustive
def test_coming_and_going_ten_thousand_times_leaves_nothing_behind(handle):
    check_cycles(handle, int(os.environ.get("CYCLES", "10000")))
