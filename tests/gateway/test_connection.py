"""The connection's calls against the simulator, on the library that IB_LIBRARY names."""

import math
import os
import threading
import time

import numpy as np
import pytest

from domain.bars import Adjustment, BarSeries
from domain.errors import BadInput
from domain.orders import Side
from domain.timeframe import MINUTE_NS, Timeframe
from gateway.connection import Connection
from gateway.contract import Contract
from gateway.errors import (
    GatewayError,
    NoAnswer,
    NotReady,
    OperatorNeeded,
    Refused,
    TryLater,
)
from gateway.events import (
    BarUpdated,
    Bulletin,
    FiveSecondBar,
    NewsHeadline,
    Notice,
    PnlReported,
    QuoteChanged,
    ScannerUpdated,
    StateChanged,
    SubscriptionEnded,
    Synchronised,
)
from gateway.history import HistoryRequest, ProvenEmpty
from gateway.settings import AccountKind, ConnectionSettings, kind_of
from gateway.simulator.server import DEFAULT_START_NS
from gateway.states import State
from gateway.tickets import OrderTicket
from tests.gateway.gateways import AAPL, LIBRARY, PATIENCE, Heard, connected, settings, start_gateway, until

MINUTES = HistoryRequest(AAPL, Timeframe.M1, "3600 S", regular_hours=False)


@pytest.fixture(scope="module")
def gateway():
    with start_gateway(message_rate=0, history_pacing=False) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def connection(gateway):
    with connected(gateway) as connection:
        yield connection


def test_it_is_ready_after_all_was_told(gateway):
    with connected(gateway, client_id=7) as connection:
        heard = Heard(connection)
        until(lambda: heard.of(Synchronised))
        events = heard.take()
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert states == [State.CONNECTING, State.SYNCING, State.READY]
        at = {type(event).__name__: n for n, event in enumerate(events)}
        ready = next(n for n, event in enumerate(events) if getattr(event, "state", "") is State.READY)
        assert at["Synchronised"] < ready
        assert heard.of(Synchronised)[0].account == "DU1000001"


def test_the_status_says_what_it_is_and_since_when(gateway, connection):
    status = connection.snapshot()
    assert (status.state, status.host, status.port) == (State.READY, "127.0.0.1", gateway.port)
    assert (status.library, status.server_version >= 176) == (LIBRARY, True)
    assert status.accounts == ("DU1000001",)
    assert status.kind is AccountKind.SIMULATED
    assert status.since_ns <= time.time_ns()
    assert status.messages_in > status.messages_out > 5
    assert {farm.status for farm in status.farms} == {"ok"}
    assert [notice.code for notice in status.notices[:3]] == [2104, 2106, 2158]
    assert all(notice.words for notice in status.notices)


def test_a_contract_is_found_by_its_symbol(connection):
    found = connection.qualify(AAPL)
    assert found.contract.con_id == 265598
    assert found.contract.primary_exchange == "NASDAQ"
    assert found.min_tick == 0.01
    assert dict(found.market_rules)["SMART"] == 26


def test_a_contract_that_nobody_knows_is_refused(connection):
    with pytest.raises(Refused, match="no contract") as caught:
        connection.qualify(Contract(symbol="NOSUCHTHING", sec_type="STK", exchange="SMART", currency="USD"))
    assert caught.value.code == 200


def test_a_contract_that_is_several_is_refused_with_their_names(connection):
    future = Contract(symbol="ES", sec_type="FUT", exchange="CME", currency="USD")
    assert len(connection.contract_details(future)) > 1
    with pytest.raises(Refused, match="contracts fit ES"):
        connection.qualify(future)


def test_symbols_rules_and_beginnings_are_told(connection):
    assert any(match.contract.con_id == 265598 for match in connection.matching_symbols("AAPL"))
    assert connection.market_rule(26)[0].step == 0.01
    assert 0 < connection.head_time_ns(AAPL) < DEFAULT_START_NS
    sessions = connection.schedule(AAPL, "5 D").sessions
    assert len(sessions) == 5
    assert all(session.open_ns < session.close_ns for session in sessions)


def test_history_comes_as_bars_with_start_and_end(connection):
    bars = connection.history(MINUTES)
    assert isinstance(bars, BarSeries)
    bars.check()
    assert len(bars) == 60
    assert bars.end[-1] <= DEFAULT_START_NS + MINUTE_NS
    assert set(np.diff(bars.start)) == {MINUTE_NS}
    assert bars.adjustment is Adjustment.SPLIT


def test_quotes_history_has_no_volume(connection):
    bars = connection.history(MINUTES._replace(what="MIDPOINT"))
    assert np.isnan(bars.volume).all()


def test_days_run_from_open_to_close_of_the_sessions_given(gateway, connection):
    apple = next(listing for listing in gateway.simulator.market.listings() if listing.contract.symbol == "AAPL")
    bars = connection.history(HistoryRequest(AAPL, Timeframe.D1, "10 D"), apple.regular)
    rows = apple.regular.session_of_label(bars.start // 86_400_000_000_000)
    assert (bars.start == apple.regular.open[rows]).all()
    assert (bars.end == apple.regular.close[rows]).all()


def test_three_outcomes_of_history_are_three(gateway, connection):
    """T10: the libraries return an empty list for all of them."""
    gateway.faults.no_data()
    assert isinstance(connection.history(MINUTES), ProvenEmpty)
    gateway.faults.pace()
    with pytest.raises(TryLater, match="too often"):
        connection.history(MINUTES)
    gateway.faults.swallow(17, 1)
    with pytest.raises(NoAnswer):
        connection.history(MINUTES, seconds=0.3)
    assert len(connection.history(MINUTES)) == 60


def test_no_data_while_the_farm_is_down_proves_nothing(gateway, connection):
    gateway.faults.farm(2105)
    until(lambda: any(farm.status == "broken" for farm in connection.snapshot().farms))
    gateway.faults.no_data()
    with pytest.raises(TryLater, match="farm is down"):
        connection.history(MINUTES)
    gateway.faults.farm(2106)
    gateway.call(lambda simulator: simulator.faults.empty_answers.clear())
    until(lambda: all(farm.status == "ok" for farm in connection.snapshot().farms))


def test_no_such_contract_while_its_farm_is_down_is_asked_again(gateway, connection):
    gateway.faults.farm(2157)
    until(lambda: any(farm.status == "broken" for farm in connection.snapshot().farms))
    with pytest.raises(TryLater):
        connection.qualify(AAPL)
    gateway.faults.farm(2158)
    until(lambda: all(farm.status == "ok" for farm in connection.snapshot().farms))
    assert connection.qualify(AAPL).contract.con_id == 265598


def test_an_invalid_request_ends_on_both_libraries(gateway, connection):
    """ib_async takes 321 for a warning, and its request waits for ever."""
    gateway.faults.err(321, "Error validating request.-'bH' : cause - Invalid", request="HistoricalData")
    with pytest.raises(Refused, match="321"):
        connection.history(MINUTES, seconds=PATIENCE)


def test_what_cannot_be_asked_is_refused_before_it_is_sent(connection):
    sent = connection.snapshot().messages_out
    for bad in (
        MINUTES._replace(what="NONSENSE"),
        MINUTES._replace(duration="soon"),
        MINUTES._replace(what="ADJUSTED_LAST", end_ns=DEFAULT_START_NS),
    ):
        with pytest.raises(Refused):
            connection.history(bad)
    with pytest.raises(Refused, match="control codes"):
        connection.matching_symbols("A\0PL")
    assert connection.snapshot().messages_out == sent


def test_two_callers_of_one_kind_both_get_their_answer(connection):
    """Requests without a number share one slot in the libraries: the first of two callers never wakes there."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(connection.positions())) for _ in range(8)]
    threads += [threading.Thread(target=lambda: answers.append(connection.server_time())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(answers) == 16


def test_account_values_and_summary_are_told(connection):
    values = {value.key: value.value for value in connection.account_values()}
    assert values["AccountType"] == "SIMULATED"
    summary = {row.key: row.value for row in connection.account_summary("NetLiquidation", "TotalCashValue")}
    assert float(summary["NetLiquidation"]) == pytest.approx(1_000_000, rel=0.1)


def test_quotes_stream_as_whole_pictures(gateway, connection):
    heard = Heard(connection)
    number = connection.subscribe_quotes(AAPL)
    quote = heard.first(QuoteChanged, lambda event: event.subscription == number and event.bid > 0 and event.ask > 0)
    assert quote.bid < quote.ask
    before = len(heard.of(QuoteChanged))
    for _ in range(20):
        gateway.advance(5)
    until(lambda: len(heard.of(QuoteChanged)) > before)
    connection.unsubscribe(number)
    connection.unsubscribe(number)


def test_market_data_that_is_not_subscribed_ends_the_stream_with_words(gateway, connection):
    heard = Heard(connection)
    gateway.faults.set("denied", {"MSFT": 354})
    number = connection.subscribe_quotes(AAPL._replace(symbol="MSFT"))
    ended = heard.first(SubscriptionEnded, lambda event: event.subscription == number)
    assert ended.code == 354
    assert "subscribe" in ended.remedy
    gateway.faults.set("denied", {})


def test_a_kept_history_tells_each_bar_once_as_closed(gateway, connection):
    heard = Heard(connection)
    number = connection.subscribe_bars(AAPL, Timeframe.M1, duration="3600 S", regular_hours=False)
    heard.first(BarUpdated, lambda event: event.subscription == number)
    for _ in range(40):
        gateway.advance(5)
        time.sleep(0.005)
    until(lambda: sum(event.closed for event in heard.of(BarUpdated) if event.subscription == number) >= 60)
    closed = [event.start_ns for event in heard.of(BarUpdated) if event.closed and event.subscription == number]
    assert closed == sorted(set(closed))
    connection.unsubscribe(number)


def test_five_second_bars_and_profit_and_bulletins_stream(gateway, connection):
    heard = Heard(connection)
    numbers = [
        connection.subscribe_five_second_bars(AAPL, regular_hours=False),
        connection.subscribe_pnl(),
        connection.subscribe_bulletins(),
    ]
    gateway.faults.bulletin("Trading is halted", kind=2)

    def passed():
        gateway.advance(1)
        return heard.of(FiveSecondBar) and heard.of(PnlReported) and heard.of(Bulletin)

    until(passed)
    assert heard.of(Bulletin)[-1].kind == 2
    for number in numbers:
        connection.unsubscribe(number)


@pytest.mark.parametrize("code", [10182, 10225])
def test_bars_that_were_taken_away_are_asked_for_again(gateway, connection, code):
    heard = Heard(connection)
    number = connection.subscribe_bars(AAPL, Timeframe.M1, duration="60 S", regular_hours=False)
    heard.first(BarUpdated, lambda event: event.subscription == number)
    (gateway.faults.lose_updates if code == 10182 else gateway.faults.resubscribe)()
    heard.first(Notice, lambda event: event.code == code)
    seen = len([event for event in heard.of(BarUpdated) if event.subscription == number])

    def flows():
        gateway.advance(5)
        return len([event for event in heard.of(BarUpdated) if event.subscription == number]) > seen + 2

    until(flows)
    connection.unsubscribe(number)


def test_a_call_from_a_thread_without_a_loop_is_an_ordinary_call(connection):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(connection.server_time()))
    thread.start()
    thread.join(PATIENCE)
    assert answers


def test_after_a_fork_the_child_is_told_to_open_its_own(connection):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            connection.server_time(1)
            word = b"answered"
        except GatewayError as error:
            word = error.words.encode()
        os.write(write, word)
        os._exit(0)
    os.waitpid(child, 0)
    assert b"after the fork" in os.read(read, 1000)
    os.close(read)
    os.close(write)
    assert connection.server_time()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_consumer_that_fails_ends_the_connection_and_is_heard_of(gateway):
    """T8: the libraries swallow what a handler raises, and the fill it was told of is lost."""

    def consume(event):
        if isinstance(event, Synchronised):
            raise ValueError("the disk is full")

    connection = Connection(settings(gateway, client_id=8), consume).open()
    until(lambda: connection.state is State.DOWN and connection._failure)
    with pytest.raises(OperatorNeeded, match="the disk is full"):
        connection.server_time()
    with pytest.raises(OperatorNeeded, match="the disk is full"):
        connection.close()


def test_a_handler_that_waits_does_not_hold_the_socket_up(gateway):
    release = threading.Event()
    heard = []

    def consume(event):
        release.wait(PATIENCE)
        heard.append(event)

    with Connection(settings(gateway, client_id=9), consume) as connection:
        connection.wait_ready(PATIENCE)
        assert connection.server_time()
        release.set()
        until(lambda: any(isinstance(event, Synchronised) for event in heard))


def test_two_connections_of_one_process_do_not_disturb_each_other(gateway):
    """In the libraries one lost socket cancels what every other connection of the process waits for."""
    with connected(gateway, client_id=10) as first, connected(gateway, client_id=11) as second:
        gateway.faults.swallow(17, 1, client=11)
        errors = []

        def ask():
            try:
                second.history(MINUTES, seconds=1.5)
            except GatewayError as error:
                errors.append(error)

        waiting = threading.Thread(target=ask)
        waiting.start()
        gateway.faults.rst(client=10)
        until(lambda: first.snapshot().session == 2 and first.state is State.READY)
        waiting.join(PATIENCE)
        assert [type(error) for error in errors] == [NoAnswer]
        assert second.snapshot().session == 1
        assert second.server_time()


def test_two_takers_of_the_queue_share_the_events_between_them(gateway):
    with connected(gateway, client_id=12) as connection:
        taken = ([], [])

        def take(into):
            while (event := connection.events.get(0.5)) is not None:
                into.append(event)

        threads = [threading.Thread(target=take, args=(into,)) for into in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        both = [id(event) for into in taken for event in into]
        assert len(both) == len(set(both)) > 50


def test_a_request_that_is_given_up_leaves_nothing_behind(gateway):
    with connected(gateway, client_id=13) as connection:
        gateway.faults.swallow(17, 20, client=13)
        for _ in range(20):
            with pytest.raises(NoAnswer):
                connection.history(MINUTES, seconds=0.02)
        assert len(connection._supervisor.session.awaited) == 0


def test_a_closed_connection_says_so(gateway):
    connection = Connection(settings(gateway, client_id=14))
    with pytest.raises(NotReady, match="not opened"):
        connection.server_time()
    connection.open()
    connection.wait_ready(PATIENCE)
    connection.close()
    connection.close()
    with pytest.raises(GatewayError, match="closed"):
        connection.server_time()
    with pytest.raises(GatewayError, match="make a new one"):
        connection.open()


@pytest.mark.parametrize(
    ("account", "kind", "expected"),
    [
        ("U1234567", "INDIVIDUAL", "live"),
        ("DU1234567", "INDIVIDUAL", "paper"),
        ("DF1234567", "", "paper"),
        ("DU1000001", "SIMULATED", "simulated"),
        ("F1234567", "", "live"),
    ],
)
def test_an_accounts_number_and_type_say_what_it_is(account, kind, expected):
    assert kind_of(account, kind) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 0},
        {"port": 70000},
        {"host": ""},
        {"client_id": -1},
        {"kind": "demo"},
        {"library": "ibapi"},
        {"heartbeat_seconds": 0},
        {"connect_seconds": math.nan},
        {"frame_bytes": 10**9},
        {"messages_per_second": 51},
        {"messages_per_second": 51, "kind": "live"},
        {"messages_per_second": 10_001, "kind": "simulated"},
        {"longest_wait_seconds": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(BadInput):
        ConnectionSettings(**changes)


def test_a_simulated_gateway_may_be_sent_more_messages_than_ib_takes():
    assert ConnectionSettings(kind="simulated", messages_per_second=10_000).messages_per_second == 10_000


def test_the_pace_of_messages_stays_below_what_ib_allows():
    with start_gateway(history_pacing=False) as gateway, connected(gateway) as connection:
        threads = [threading.Thread(target=connection.matching_symbols, args=("A",)) for _ in range(100)]
        for thread in threads:
            thread.start()
        connection.cancel(12345)  # goes before them
        for thread in threads:
            thread.join(PATIENCE)
        assert not [notice for notice in connection.snapshot().notices if notice.code == 100]
        assert connection.state is State.READY


def test_an_order_needs_a_connection_that_is_ready(gateway):
    connection = Connection(settings(gateway, client_id=15))
    with pytest.raises(NotReady):
        connection.place(AAPL, OrderTicket(Side.BUY, 1), order_id=1)


def test_news_is_listed_read_and_streamed(gateway, connection):
    providers = connection.news_providers()
    assert providers
    codes = tuple(provider.code for provider in providers)
    items = connection.news_history(265598, codes, limit=5)
    assert 0 < len(items) <= 5
    assert all(item.headline and item.provider in codes for item in items)
    article = connection.news_article(items[0].provider, items[0].article_id)
    assert article.text
    with pytest.raises(Refused, match="10172"):
        connection.news_article(codes[0], "NO$such")


def test_headlines_stream_as_they_appear():
    """On a gateway of its own, as days pass before there is news."""
    with start_gateway(message_rate=0) as gateway, connected(gateway) as connection:
        codes = tuple(provider.code for provider in connection.news_providers())
        heard = Heard(connection)
        number = connection.subscribe_quotes(AAPL, news=codes)

        def told():
            gateway.advance(20_000)
            return [event for event in heard.of(NewsHeadline) if event.subscription == number]

        found = until(told)[0]
        assert found.provider in codes
        assert found.headline


def test_scanners_are_described_run_and_streamed(connection):
    assert connection.scanner_parameters().startswith("<?xml")
    fields = {"instrument": "STK", "locationCode": "STK.US.MAJOR", "scanCode": "TOP_PERC_GAIN", "numberOfRows": 5}
    rows = connection.scan(fields)
    assert [row.rank for row in rows] == list(range(len(rows)))
    assert rows
    heard = Heard(connection)
    number = connection.subscribe_scanner(fields)
    assert heard.first(ScannerUpdated, lambda event: event.subscription == number).rows
    connection.unsubscribe(number)
