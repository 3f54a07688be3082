"""Each verb by what a client sees of it. Without sockets where none is needed."""

import random
import socket
import struct
import time

import pytest

from domain.errors import BadInput, UnknownName
from gateway.simulator.faults import VERBS, bind
from gateway.simulator.outlet import MESSAGE_IDS, Ending
from gateway.simulator.server import start_simulator
from tests.gateway.simulator.rawclient import RawClient, Talk, frame, hello
from tests.gateway.simulator.test_session import AAPL, errors, watch
from tests.gateway.simulator.worlds import still_simulator

CURRENT_TIME = (49, 1)
POSITIONS = (61, 1)
DETAILS = (9, 8, 40, *AAPL, 0, "", "", "")


def ids(messages: list[list[str]]) -> list[str]:
    return [message[0] for message in messages]


# Connections, over real sockets


def test_refused_connections_are_refused_by_the_system_and_taken_again_later():
    with start_simulator() as handle, RawClient(handle.port) as standing:
        handle.faults.refuse(0.8)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", handle.port), timeout=5).close()
            except ConnectionRefusedError:
                break
            except ConnectionResetError:
                continue  # It came while the door closed.
            assert time.monotonic() < end
            time.sleep(0.02)
        standing.say(*CURRENT_TIME)
        standing.until(49)
        while True:
            try:
                with RawClient(handle.port, 2) as client:
                    client.until(9)
                break
            except ConnectionError:  # Also a reset of what waited at the door as it closed.
                assert time.monotonic() < end
                time.sleep(0.05)


def test_a_mute_handshake_takes_the_connection_and_says_nothing():
    with start_simulator() as handle:
        handle.faults.mute_handshake(1)
        with RawClient(handle.port, None) as mute, RawClient(handle.port, 2) as other:
            mute.socket.sendall(hello())
            other.until(9)
            assert mute.quiet(0.2) == []


def test_a_connection_may_be_closed_before_the_handshake():
    with start_simulator() as handle:
        handle.faults.close_early()
        with RawClient(handle.port, None) as client:
            assert client.is_ended()
        with RawClient(handle.port, 1) as client:
            client.until(9)


def test_a_reset_is_a_reset():
    with start_simulator() as handle, RawClient(handle.port) as client, RawClient(handle.port, 2) as other:
        client.until(4, 2, -1, 2158)
        other.until(4, 2, -1, 2158)
        handle.faults.rst(client=1)
        with pytest.raises(ConnectionResetError):
            client.read()
        other.say(*CURRENT_TIME)
        other.until(49)


def test_a_half_close_ends_what_is_sent_and_the_socket_still_takes():
    with start_simulator() as handle, RawClient(handle.port) as client:
        client.until(4, 2, -1, 2158)
        handle.faults.half_close()
        with pytest.raises(EOFError):
            client.read()
        client.say(*CURRENT_TIME)
        client.say(*CURRENT_TIME)
        assert len(handle.simulator.sessions) == 1


def test_a_half_open_connection_is_never_heard_of_again_and_its_id_may_be_held():
    with start_simulator() as handle, RawClient(handle.port, 1) as client:
        client.until(4, 2, -1, 2158)
        handle.faults.half_open(holds_id=True)
        client.say(*CURRENT_TIME)
        assert client.quiet(0.2) == []
        with RawClient(handle.port, 1) as again:
            assert again.read()[3] == "326"
        with RawClient(handle.port, 2) as other:
            other.until(9)


def test_a_stalled_gateway_answers_later_all_that_was_asked():
    with start_simulator() as handle, RawClient(handle.port) as client:
        client.until(4, 2, -1, 2158)
        handle.faults.stall(0.5)
        began = time.monotonic()
        client.say(*CURRENT_TIME)
        client.say(*CURRENT_TIME)
        client.until(49)
        client.until(49)
        assert time.monotonic() - began > 0.3


def test_bytes_come_late_and_in_pieces():
    with start_simulator() as handle, RawClient(handle.port) as client:
        client.until(4, 2, -1, 2158)
        handle.faults.slow(ms=150)
        began = time.monotonic()
        client.say(*CURRENT_TIME)
        client.until(49)
        assert time.monotonic() - began >= 0.14
        handle.faults.slow(ms=0)
        handle.faults.slice(bytes=1, gap_ms=1)
        client.say(*CURRENT_TIME)
        answer = frame(49, 1, client_time := "1772636400")
        assert len(client.socket.recv(4096)) < len(answer)
        handle.faults.heal()
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                client.socket.recv(4096)
        client.socket.settimeout(10)
        client.say(*CURRENT_TIME)
        assert abs(int(client.until(49)[-1][2]) - int(client_time)) < 60


def test_a_restart_ends_all_refuses_and_comes_back_with_lower_ids():
    with start_simulator() as handle:
        with RawClient(handle.port) as client:
            client.until(4, 2, -1, 2158)
            handle.call(lambda simulator: simulator.exchange.reserve_order_ids(1, 100))
            client.say(8, 1, 1)
            next_id = int(client.until(9)[-1][2])
            handle.faults.restart(seconds=0.3, id_rollback=4)
            assert client.until(4)[-1][3] == "1100"
            assert client.is_ended()
        end = time.monotonic() + 10
        while True:
            try:
                with RawClient(handle.port) as client:
                    assert int(client.until(9)[-1][2]) == next_id - 4
                break
            except ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.05)


# Messages


def test_a_message_is_swallowed_as_often_as_said():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.swallow("positionEnd", count=1)
    assert talk.say(*POSITIONS) == []
    assert ids(talk.say(*POSITIONS)) == ["62"]


@pytest.mark.parametrize("message", ["openOrderEnd", "completedOrdersEnd", "positionEnd", "execDetailsEnd", 54, 74])
def test_each_end_message_can_be_withheld(message):
    number = str(MESSAGE_IDS.get(message, message))
    simulator = still_simulator()
    talk = Talk(simulator)
    account = simulator.settings.accounts[0]
    questions = {
        "53": (5, 1),
        "102": (99, 0),
        "62": POSITIONS,
        "55": (7, 3, 50, 0, "", "", "", "", "", ""),
        "54": (6, 2, 1, account),
        "74": (76, 1, 51, account, "", 0),
    }
    simulator.faults.swallow(message, count=1)
    assert number not in ids(talk.say(*questions[number]))
    assert ids(talk.say(*questions[number]))[-1] == number


def test_a_message_comes_twice_or_after_the_next_or_late():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.dup("currentTime")
    assert ids(talk.say(*CURRENT_TIME)) == ["49", "49"]
    simulator.faults.reorder("contractDetails")
    assert ids(talk.say(*DETAILS)) == ["52", "10"]
    simulator.faults.delay("contractDetails", 3, count=1)
    assert ids(talk.say(*DETAILS)) == ["52"]
    watch(simulator).seconds += 2.9
    assert talk.heard() == []
    watch(simulator).seconds += 0.2
    assert ids(talk.heard()) == ["10"]


def test_a_rule_for_one_client_leaves_the_others_alone():
    simulator = still_simulator()
    one, two = Talk(simulator, 1), Talk(simulator, 2)
    simulator.faults.swallow("currentTime", client=2)
    assert ids(one.say(*CURRENT_TIME)) == ["49"]
    assert two.say(*CURRENT_TIME) == []


def test_a_garbled_message_keeps_its_length_and_the_next_is_whole():
    simulator = still_simulator()
    talk = Talk(simulator)
    whole = talk.say(*DETAILS)[0]
    simulator.faults.garble("contractDetails", bytes=20)
    damaged = talk.say(*DETAILS)[0]
    assert damaged != whole
    assert talk.say(*DETAILS)[0] == whole


def test_fields_are_too_many_or_too_few():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.fields("currentTime", -1)
    assert len(talk.say(*CURRENT_TIME)[0]) == 2
    simulator.faults.fields("currentTime", 2)
    assert len(talk.say(*CURRENT_TIME)[0]) == 5
    assert len(talk.say(*CURRENT_TIME)[0]) == 3


def test_a_truncated_message_is_the_last():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.truncate("currentTime", bytes=7)
    assert talk.say(*CURRENT_TIME) == []
    assert len(talk.rest) == 7
    assert talk.session.outlet.ending is Ending.CLOSE


def test_a_false_length_comes_before_a_true_message():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.biglen()
    assert talk.say(*CURRENT_TIME) == []
    assert struct.unpack(">I", talk.rest[:4]) == (0x7FFFFFFF,)


# Requests


def test_a_request_is_lost():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.ignore("reqCurrentTime", nth=2)
    assert [ids(talk.say(*CURRENT_TIME)) for _ in range(3)] == [["49"], [], ["49"]]


@pytest.mark.parametrize("code", [100, 162, 200, 201, 321, 354, 10197])
def test_an_error_takes_the_place_of_an_answer(code):
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.err(code, "Żądanie: 拒绝", request="ContractDetails")
    heard = talk.say(*DETAILS)
    assert errors(heard) == [(40, code)]
    assert heard[0][4] in ("Żądanie: 拒绝", "\\u017b\\u0105danie: \\u62d2\\u7edd")
    assert ids(talk.say(*DETAILS)) == ["10", "52"]


def test_an_error_is_pushed_about_an_order():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.err(202, "Order Canceled - reason:x", id=17)
    assert errors(talk.heard()) == [(17, 202)]


@pytest.mark.parametrize("message", [1, 2, 3, 4, 6])
def test_a_connection_drops_with_its_nth_message(message):
    simulator = still_simulator()
    simulator.faults.drop(message=message)
    talk = Talk(simulator)
    heard = talk.greeting + talk.say(*CURRENT_TIME) + talk.say(*CURRENT_TIME)
    assert len(heard) == message
    assert talk.session.outlet.ending is Ending.CLOSE
    assert Talk(simulator, 2).say(*CURRENT_TIME)


def test_a_connection_drops_before_a_request_is_acted_on_or_after_it():
    simulator = still_simulator()
    first = Talk(simulator, 1)
    simulator.faults.drop(request="autoOpenOrders", before=True, how="rst")
    assert first.say(15, 1, 1) == []
    assert first.session.outlet.ending is Ending.ABORT
    second = Talk(simulator, 2)
    simulator.faults.drop(request="currentTime")
    assert second.say(*CURRENT_TIME) == []
    assert second.session.requests["CurrentTime"] == 1
    assert second.session.outlet.ending is Ending.CLOSE


# The service


def test_an_id_is_in_use_for_a_while():
    simulator = still_simulator()
    simulator.faults.in_use(60, client=1)
    assert errors(Talk(simulator, 1).greeting) == [(-1, 326)]
    assert ids(Talk(simulator, 2).greeting)[0] == "15"
    watch(simulator).seconds += 61
    assert ids(Talk(simulator, 1).greeting)[0] == "15"


def test_a_ghost_holds_the_id_of_a_connection_that_is_gone():
    simulator = still_simulator()
    simulator.faults.ghost(30)
    simulator.disconnect(Talk(simulator, 1).session)
    assert errors(Talk(simulator, 1).greeting) == [(-1, 326)]
    watch(simulator).seconds += 31
    assert ids(Talk(simulator, 1).greeting)[0] == "15"


@pytest.mark.parametrize("code", [1100, 1101, 1102, 2110, 1300])
def test_connectivity_is_told_to_every_client(code):
    simulator = still_simulator()
    talks = [Talk(simulator, number) for number in (1, 2)]
    simulator.faults.sys(code)
    assert [errors(talk.heard()) for talk in talks] == [[(-1, code)], [(-1, code)]]
    assert all((talk.session.outlet.ending is Ending.CLOSE) is (code == 1300) for talk in talks)


@pytest.mark.parametrize("code", [2103, 2104, 2105, 2106, 2107, 2108, 2157, 2158])
def test_farms_are_told_of_by_name(code):
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.farm(code, "eufarm")
    (message,) = talk.heard()
    assert message[3] == str(code)
    assert "farm" in message[4]


def test_while_the_farm_of_definitions_is_down_no_contract_is_known():
    simulator = still_simulator()
    talk = Talk(simulator)
    simulator.faults.farm(2157)
    talk.heard()
    assert errors(talk.say(*DETAILS)) == [(40, 200)]
    simulator.faults.farm(2158)
    talk.heard()
    assert ids(talk.say(*DETAILS)) == ["10", "52"]


def test_the_gateways_clock_may_be_wrong():
    simulator = still_simulator()
    talk = Talk(simulator)
    right = int(talk.say(*CURRENT_TIME)[0][2])
    simulator.faults.clock(-10)
    assert int(talk.say(*CURRENT_TIME)[0][2]) == right - 10


def test_a_daily_restart_comes_at_its_hour():
    simulator = still_simulator(restart_at="10:30")
    talk = Talk(simulator)
    simulator.pass_time(1799)
    assert simulator.restarts == 0
    simulator.pass_time(2)
    assert errors(talk.heard())[-1] == (-1, 1100)
    assert simulator.faults.is_refusing()
    simulator.pass_time(3600)
    assert simulator.restarts == 1


def test_bulletins_reach_those_who_asked():
    simulator = still_simulator()
    talk, other = Talk(simulator, 1), Talk(simulator, 2)
    talk.say(12, 1, 1)
    simulator.faults.bulletin("The floor is closed", exchange="NYSE", kind=2)
    assert talk.heard() == [["14", "1", "1", "2", "The floor is closed", "NYSE"]]
    assert other.heard() == []


# The table


def test_the_verbs_of_the_plan_are_all_there():
    wanted = [
        "refuse",
        "mute_handshake",
        "drop",
        "rst",
        "half_open",
        "stall",
        "slow",
        "slice",
        "truncate",
        "garble",
        "biglen",
        "err",
        "sys",
        "farm",
        "in_use",
        "restart",
        "clock",
        "dup",
        "reorder",
        "swallow",
        "fill",
        "correct",
        "late_comm",
        "external",
        "no_data",
        "pace",
    ]
    assert set(wanted) <= set(VERBS)


def test_an_unknown_verb_or_argument_is_answered_with_the_nearest():
    simulator = still_simulator()
    with pytest.raises(AttributeError, match=r"known: .*stall"):
        simulator.faults.stal(3)
    with pytest.raises(UnknownName, match="did you mean 'seconds'"):
        simulator.faults.stall(second=3)
    with pytest.raises(BadInput, match="takes 2 arguments, not 3"):
        simulator.faults.stall(1, 2, 3)
    with pytest.raises(BadInput, match="expected a whole number"):
        bind("sys", {"code": True})


def test_all_that_was_done_is_written_down_with_its_time():
    simulator = still_simulator()
    simulator.pass_time(5)
    simulator.faults.slow(20)
    simulator.pass_time(5)
    simulator.faults.heal()
    start = simulator.now_ns() - 10_000_000_000
    assert simulator.faults.log == [(start + 5_000_000_000, "slow", {"ms": 20}), (start + 10_000_000_000, "heal", {})]


def test_whatever_faults_are_set_a_client_that_none_concerns_is_answered():
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    simulator = still_simulator(message_rate=0)
    calm = Talk(simulator, 99)
    for round_ in range(300):
        talk = Talk(simulator, round_ % 50)
        name = chance.choice(["swallow", "dup", "reorder", "garble", "truncate", "biglen", "rst", "stall", "half_open"])
        arguments = (
            {"type": chance.choice(list(MESSAGE_IDS))} if name in ("swallow", "dup", "reorder", "garble") else {}
        )
        if name == "stall":
            arguments = {"seconds": 1.0}
        simulator.faults.do(name, {**arguments, "client": round_ % 50})
        talk.say(*DETAILS)
        talk.say(*POSITIONS)
        simulator.pass_time(1)
        assert ids(calm.say(*CURRENT_TIME)) == ["49"]
        simulator.disconnect(talk.session)
