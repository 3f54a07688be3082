"""The connection under the faults that a gateway and a network have (reliability 2.1)."""

import socket
import struct
import threading
import time

import pytest

from domain.orders import OrderType, Side
from domain.timeframe import Timeframe
from gateway import supervisor
from gateway.connection import Connection
from gateway.errors import ConnectionLost, NotReady, OperatorNeeded, TryLater
from gateway.events import BarUpdated, Executed, Notice, QuoteChanged, StateChanged, Synchronised
from gateway.frames import frame
from gateway.history import HistoryRequest
from gateway.states import State
from gateway.tickets import OrderTicket
from gateway.troubles import Trouble
from tests.gateway.gateways import AAPL, PATIENCE, Heard, connected, settings, start_gateway, truth, until

QUICK = {"heartbeat_seconds": 0.2, "heartbeat_deadline_seconds": 0.2}


@pytest.fixture
def gateway():
    with start_gateway(history_pacing=False) as gateway:
        yield gateway


@pytest.fixture
def silent_port():
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class Peer:
    """A gateway that says what it is told to: each connection gets `script` after its startApi."""

    def __init__(self, *script: bytes, greeting: bytes = b"176\x0020261121 01:11:19 EST\x00", framed: bool = True):
        self._script = script
        self._greeting = frame(greeting) if framed else greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        self._held = []
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._held.append(peer)
            peer.settimeout(PATIENCE)
            try:
                peer.recv(1000)
                peer.sendall(self._greeting)
                peer.recv(1000)
                for message in self._script:
                    peer.sendall(message)
            except OSError:
                continue

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
        for peer in self._held:
            peer.close()


def message(*fields):
    return frame("".join(f"{field}\0" for field in fields).encode())


LOGIN = (message(15, 1, "DU1"), message(9, 1, 1))


# The way to ready


@pytest.mark.parametrize("withheld", [62, 53, 102, 54, 55])
def test_it_is_not_ready_before_each_end_mark_came(gateway, withheld):
    """T1: the libraries say that they are connected when a part never ended."""
    gateway.faults.swallow(withheld, 1)
    with Connection(settings(gateway, sync_seconds=0.5)) as connection:
        heard = Heard(connection)
        connection.wait_ready(PATIENCE)
        states = [event.state for event in heard.of(StateChanged)]
        first = states.index(State.SYNCING)
        assert states[first + 1] is State.DOWN
        assert connection.snapshot().session == 2
        assert len(heard.of(Synchronised)) == 1


@pytest.mark.parametrize("how", ["close", "abort"])
def test_dropped_at_each_message_of_the_way_to_ready_it_comes_back(gateway, how):
    with connected(gateway) as connection:
        messages = connection.snapshot().messages_in
    assert messages > 50
    picked = range(1, messages + 1) if how == "close" else range(1, messages + 1, 5)
    for chunk in range(0, len(picked), 30):  # at different client ids, side by side: a reconnect waits for a second
        connections = []
        for client_id, index in enumerate(picked[chunk : chunk + 30], start=100):
            gateway.faults.drop(message=index, client=client_id, how=how)
            connections.append(Connection(settings(gateway, client_id=client_id)).open())
        for connection in connections:
            until(lambda connection=connection: connection.snapshot().attempts >= 2)
            connection.wait_ready(PATIENCE)
            connection.close()


def test_a_lost_connection_is_back_with_what_happened_meanwhile(gateway):
    """A fill while away raises no event in the libraries."""
    with connected(gateway) as connection:
        heard = Heard(connection)
        order_id = connection.reserve_order_id()
        ticket = OrderTicket(Side.BUY, 10, OrderType.LIMIT, limit_price=1000.0, ref="away")
        gateway.faults.drop(request="PlaceOrder", client=1)
        connection.place(AAPL, ticket, order_id=order_id)
        until(lambda: connection.state is not State.READY)
        gateway.advance(5)
        connection.wait_ready(PATIENCE)
        fill = heard.first(Executed)
        assert (fill.ref, fill.quantity, fill.live) == ("away", 10, False)
        assert {base: (one.quantity, one.price) for base, one in heard.executions().items()} == truth(gateway)


def test_a_request_under_way_ends_with_the_connection(gateway):
    with connected(gateway) as connection:
        gateway.faults.swallow(17)
        errors = []

        def ask():
            try:
                connection.history(HistoryRequest(AAPL, Timeframe.M1, "60 S", regular_hours=False))
            except TryLater as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: len(connection._supervisor.session.awaited))
        gateway.faults.rst()
        thread.join(PATIENCE)
        assert [type(error) for error in errors] == [ConnectionLost]


@pytest.mark.parametrize("verb", ["stall", "half_open"])
def test_silence_is_noticed_and_nothing_is_sent_into_it(gateway, verb):
    """T11: a stalled socket says that it is connected for ever."""
    with connected(gateway, **QUICK) as connection:
        heard = Heard(connection)
        if verb == "stall":
            gateway.faults.stall(2.0)
        else:
            gateway.faults.half_open()
        heard.first(StateChanged, lambda event: event.state is State.STALE)
        with pytest.raises(NotReady):
            connection.place(AAPL, OrderTicket(Side.BUY, 1), order_id=500)
        down = heard.first(StateChanged, lambda event: event.state is State.DOWN)
        assert "heartbeats were not answered" in down.cause
        connection.wait_ready(PATIENCE)
    assert not gateway.call(lambda simulator: simulator.exchange.open_orders())


def test_one_late_heartbeat_leads_through_a_new_synchronisation(gateway):
    with connected(gateway, **QUICK, heartbeat_misses=50) as connection:
        heard = Heard(connection)
        gateway.faults.swallow(49, 1)
        heard.first(StateChanged, lambda event: event.state is State.STALE)
        connection.wait_ready(PATIENCE)
        assert [event.state for event in heard.of(StateChanged)][-3:] == [State.STALE, State.SYNCING, State.READY]
        assert connection.snapshot().session == 1


def test_a_gateway_that_refuses_is_dialled_once_a_second_at_most_and_found_again(gateway):
    gateway.faults.refuse()
    began = time.monotonic()
    with Connection(settings(gateway, attempt_seconds=1.0)) as connection:
        until(lambda: connection.snapshot().attempts >= 2)
        assert connection.snapshot().attempts <= time.monotonic() - began + 1
        status = connection.snapshot()
        assert "nothing listens" in status.cause
        assert "API is enabled" in status.remedy
        gateway.faults.refuse(0)
        connection.wait_ready(10.0)


def test_a_client_id_in_use_is_noticed_at_once_and_waited_for(gateway):
    """T11: the libraries wait out the whole timeout. The id is never changed."""
    gateway.faults.in_use()
    with Connection(settings(gateway, connect_seconds=PATIENCE)) as connection:
        until(lambda: connection.trouble is Trouble.CLIENT_ID_IN_USE)
        assert "frees it by itself" in connection.snapshot().remedy
        gateway.faults.in_use(0)
        connection.wait_ready(PATIENCE)
        assert gateway.call(lambda simulator: list(simulator.known_clients)) == [1]


def test_a_ghost_of_our_own_session_is_waited_out(gateway):
    gateway.faults.ghost(2.0)
    with connected(gateway) as connection:
        heard = Heard(connection)
        gateway.faults.rst()
        heard.first(Notice, lambda event: event.code == 326)
        connection.wait_ready(PATIENCE)
        assert connection.snapshot().session == 2


def test_what_takes_the_connection_and_says_nothing_is_called_mute(silent_port):
    class Silent:
        port = silent_port

    with Connection(settings(Silent, connect_seconds=0.2)) as connection:
        until(lambda: connection.trouble is Trouble.MUTE)
        assert "disclaimer" in connection.snapshot().remedy


def test_a_connection_closed_before_the_greeting_is_noticed_at_once(gateway):
    gateway.faults.close_early(1)
    with Connection(settings(gateway, connect_seconds=PATIENCE)) as connection:
        until(lambda: connection.trouble is Trouble.CLOSED_EARLY or connection.state is State.READY)
        connection.wait_ready(PATIENCE)


# Whose account it is


@pytest.mark.parametrize("kind", ["paper", "live"])
def test_an_account_of_another_kind_is_refused_as_fatal(gateway, kind):
    with Connection(settings(gateway, kind=kind)) as connection:
        with pytest.raises(OperatorNeeded, match=f"DU1000001 is simulated, the settings say {kind}") as caught:
            connection.wait_ready(PATIENCE)
        assert "kind" in caught.value.remedy
        assert Heard(connection).of(Synchronised) == []


def test_another_login_is_refused_as_fatal(gateway):
    with (
        Connection(settings(gateway, account="DU7")) as connection,
        pytest.raises(OperatorNeeded, match="DU7 is wanted"),
    ):
        connection.wait_ready(PATIENCE)


def test_of_several_accounts_one_must_be_named():
    with start_gateway(accounts=("DU1", "DU2")) as gateway:
        with Connection(settings(gateway)) as connection, pytest.raises(OperatorNeeded, match="name the one"):
            connection.wait_ready(PATIENCE)
        with connected(gateway, account="DU2") as connection:
            assert connection.snapshot().account == "DU2"


def test_a_read_only_api_is_said_unless_the_settings_know_it(gateway):
    gateway.faults.set("read_only", True)
    with Connection(settings(gateway)) as connection, pytest.raises(OperatorNeeded, match="read only") as caught:
        connection.wait_ready(PATIENCE)
    assert "Read-Only API" in caught.value.remedy
    with connected(gateway, read_only=True) as connection:
        assert connection.history(HistoryRequest(AAPL, Timeframe.M1, "60 S", regular_hours=False))
        assert Heard(connection).of(Synchronised)[0].is_read_only


# IB behind the gateway


@pytest.mark.parametrize("lost", [1100, 2110])
@pytest.mark.parametrize("restored", [1101, 1102])
def test_a_gateway_cut_off_from_ib_shuts_the_gate_and_books_on(gateway, lost, restored):
    with connected(gateway) as connection:
        heard = Heard(connection)
        order_id = connection.reserve_order_id()
        ticket = OrderTicket(Side.BUY, 10, OrderType.LIMIT, limit_price=1000.0, ref="cut")
        gateway.faults.fill("never")
        connection.place(AAPL, ticket, order_id=order_id)
        until(lambda: gateway.call(lambda simulator: simulator.exchange.open_orders()))
        gateway.faults.sys(lost)
        cut = heard.first(StateChanged, lambda event: event.state is State.DEGRADED)
        assert "no connection to IB" in cut.cause
        with pytest.raises(NotReady):
            connection.place(AAPL, ticket, order_id=order_id + 1)
        gateway.faults.fill("touch")
        gateway.advance(5)
        gateway.faults.sys(restored)
        connection.wait_ready(PATIENCE)
        assert len(heard.of(Synchronised)) >= 2
        until(lambda: {base: (one.quantity, one.price) for base, one in heard.executions().items()} == truth(gateway))
        assert connection.snapshot().session == 1


def test_streams_survive_a_reconnect_and_the_loss_of_their_data(gateway):
    with connected(gateway) as connection:
        heard = Heard(connection)
        quotes = connection.subscribe_quotes(AAPL)
        bars = connection.subscribe_bars(AAPL, Timeframe.M1, duration="600 S", regular_hours=False)

        def flow():
            marks = {
                number: sum(getattr(event, "subscription", 0) == number for event in heard.take())
                for number in (quotes, bars)
            }

            def more():
                gateway.advance(1)
                return all(
                    sum(getattr(event, "subscription", 0) == number for event in heard.take()) > seen
                    for number, seen in marks.items()
                )

            until(more)

        flow()
        gateway.faults.sys(1101)
        heard.first(Notice, lambda event: event.code == 1101)
        connection.wait_ready(PATIENCE)
        flow()
        gateway.faults.rst()
        until(lambda: connection.snapshot().session == 2)
        connection.wait_ready(PATIENCE)
        flow()
        closed = [event.start_ns for event in heard.of(BarUpdated) if event.closed]
        assert closed == sorted(set(closed))
        assert heard.of(QuoteChanged)


def test_quotes_that_do_not_flow_after_1102_are_asked_for_again(gateway, monkeypatch):
    monkeypatch.setattr(supervisor, "_TICKS_FLOW_SECONDS", 0.1)
    with connected(gateway) as connection:
        heard = Heard(connection)
        number = connection.subscribe_quotes(AAPL)
        heard.first(QuoteChanged)
        gateway.call(lambda simulator: [session.subscriptions.drop_data() for session in simulator.by_client.values()])
        gateway.faults.sys(1102)
        heard.first(Notice, lambda event: event.code == 1102)
        seen = len(heard.of(QuoteChanged))

        def flows():
            gateway.advance(1)
            return len(heard.of(QuoteChanged)) > seen

        until(flows)
        connection.unsubscribe(number)


def test_a_stream_that_another_session_took_is_asked_for_until_it_comes(gateway, monkeypatch):
    monkeypatch.setattr(supervisor, "_ASK_AGAIN_SECONDS", 0.1)
    gateway.faults.set("competing_session", True)
    with connected(gateway) as connection:
        heard = Heard(connection)
        connection.subscribe_quotes(AAPL)
        until(lambda: len([event for event in heard.of(Notice) if event.code == 10197]) >= 2)
        gateway.faults.set("competing_session", False)
        heard.first(QuoteChanged)


def test_a_clock_that_is_wrong_shuts_the_gate_until_it_is_right(gateway):
    gateway.call(lambda simulator: simulator.clock.advance(time.time() - simulator.now_ns() / 1e9))
    with connected(gateway, **QUICK, max_clock_skew_seconds=5.0) as connection:
        heard = Heard(connection)
        until(lambda: connection.snapshot().last_heartbeat_ns)
        gateway.faults.clock(20.0)
        cut = heard.first(StateChanged, lambda event: event.state is State.DEGRADED)
        assert "clock" in cut.cause
        assert connection.snapshot().clock_skew_s > 5
        gateway.faults.clock(0.0)
        until(lambda: connection.state is State.READY)


def test_a_restart_of_the_gateway_is_survived(gateway):
    with connected(gateway) as connection:
        gateway.faults.restart(seconds=1.5)
        until(lambda: connection.state is not State.READY)
        connection.wait_ready(PATIENCE)
        assert connection.snapshot().reconnects == 1


def test_a_port_that_was_reset_is_said(gateway):
    with connected(gateway) as connection:
        heard = Heard(connection)
        gateway.faults.sys(1300)
        notice = heard.first(Notice, lambda event: event.code == 1300)
        assert "port" in notice.remedy


# Damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (struct.pack(">I", 0x7FFFFFFF) + b"x" * 100, "2147483647 bytes"),
        (struct.pack(">I", 0), "0 bytes"),
        (frame(b"11\x00-1\x00"), "fields"),
        (frame(b"3\x001\x00Sub"), "does not end"),
        (message(3, 1, "Submitted", "ten", 0, 0, 1, 0, 0, 1, "", 0), "no number"),
        (message(3, 1, "Submi?ted", 0, 10, 0, 1, 0, 0, 1, "", 0), "the status"),
        (message(59, 1, "e.01", "nan", "USD", 0, 0, ""), "no number"),
        (message("5x", 1), "without a number"),
        (message(5, *range(120)), "cannot be read"),
    ],
)
def test_a_damaged_message_about_orders_ends_the_connection(damage, words):
    """T9: the libraries wait for ever for the rest, or log it and go on without the fill."""
    with Peer(*LOGIN, damage) as peer, Connection(settings(peer, kind="paper")) as connection:
        heard = Heard(connection)
        down = heard.first(StateChanged, lambda event: event.state is State.DOWN)
        assert words in down.cause
        until(lambda: peer.connections >= 2)


def test_a_damaged_answer_fails_its_request_and_nothing_else(gateway):
    with connected(gateway) as connection:
        gateway.faults.fields(17)
        with pytest.raises(TryLater, match="cannot be read"):
            connection.history(HistoryRequest(AAPL, Timeframe.M1, "60 S", regular_hours=False))
        assert connection.state is State.READY


def test_unknown_messages_are_counted_and_passed_over(gateway):
    with (
        Peer(message(250, 1, 2), *LOGIN, message(251, "new"), message(49, 1, 5)) as peer,
        Connection(settings(peer, kind="paper", sync_seconds=PATIENCE)) as connection,
    ):
        until(lambda: connection.snapshot().unreadable == 2)
        assert connection.state is State.SYNCING


@pytest.mark.parametrize(
    ("greeting", "framed", "trouble"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, Trouble.NOT_A_GATEWAY),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, Trouble.NOT_A_GATEWAY),
        (b"-ERR unknown command\r\n", False, Trouble.NOT_A_GATEWAY),
        (b"hello\x00world\x00", True, Trouble.NOT_A_GATEWAY),
        (b"100\x0020261121 01:11:19 EST\x00", True, Trouble.TOO_OLD),
    ],
)
def test_what_answers_otherwise_than_a_gateway_is_told_apart(greeting, framed, trouble):
    with Peer(greeting=greeting, framed=framed) as peer, Connection(settings(peer)) as connection:
        with pytest.raises(OperatorNeeded):
            connection.wait_ready(PATIENCE)
        assert connection.trouble is trouble


def test_a_gateway_without_a_login_is_told_apart():
    with Peer() as peer, Connection(settings(peer, connect_seconds=0.2)) as connection:
        until(lambda: connection.trouble is Trouble.NO_LOGIN)
        assert "second factor" in connection.snapshot().remedy
