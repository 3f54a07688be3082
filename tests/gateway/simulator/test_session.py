import logging
import struct

import pytest

from gateway.simulator.outlet import Ending
from gateway.simulator.rates import Rate, RateLimiter
from tests.gateway.simulator.rawclient import Talk, frame, hello
from tests.gateway.simulator.worlds import Stopwatch, still_simulator

CURRENT_TIME = (49, 1)
AAPL = (265598, "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")


def errors(messages: list[list[str]]) -> list[tuple[int, int]]:
    """(request id, code) of what was refused or noted."""
    return [(int(message[2]), int(message[3])) for message in messages if message[0] == "4"]


def watch(simulator) -> Stopwatch:
    assert isinstance(simulator.monotonic, Stopwatch)
    return simulator.monotonic


# The handshake


@pytest.mark.parametrize(
    ("offered", "announced"),
    [
        ("v157..176", "176"),
        ("v157..178", "176"),
        ("v100..225", "176"),
        ("v100..157", "157"),
        ("v100..158", "157"),
        ("v157..176 +PACEAPI", "176"),
    ],
)
def test_the_lower_of_both_newest_versions_is_announced(offered, announced):
    talk = Talk(still_simulator(), versions=offered)
    assert [len(message) for message in talk.handshake] == [2]
    assert talk.handshake[0] == [announced, "20260304 10:00:00 EST"]


@pytest.mark.parametrize(("newest", "announced"), [(178, "178"), (170, "170"), (158, "157"), (160, "160")])
def test_the_newest_version_can_be_set(newest, announced):
    assert Talk(still_simulator(max_version=newest), versions="v100..225").handshake[0][0] == announced


@pytest.mark.parametrize("offered", ["v177..225", "v100..156", "v201..203"])
def test_a_client_that_speaks_no_version_of_ours_is_closed_without_a_word(offered, caplog):
    talk = Talk(still_simulator(), None)
    talk.feed(hello(offered))
    assert talk.heard() == []
    assert talk.session.outlet.ending is Ending.CLOSE
    assert "speaks versions" in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"66\0",
        b"API\1\0\0\0\5hello",
        hello("x157..176"),
        hello("v1"),
        hello(""),
        b"API\0" + struct.pack(">I", 0x7FFFFFFF),
        b"API\0\xff\xff\xff\xff",
    ],
)
def test_a_malformed_handshake_is_logged_and_ends_that_connection_alone(data, caplog):
    simulator = still_simulator()
    other = Talk(simulator, 2)
    talk = Talk(simulator, None)
    talk.feed(data)
    assert talk.heard() == []
    assert talk.session.outlet.ending is Ending.CLOSE
    assert "ended:" in caplog.text
    assert other.say(*CURRENT_TIME)[0][0] == "49"


def test_a_handshake_may_come_byte_by_byte():
    talk = Talk(still_simulator(), None)
    for byte in hello() + frame(71, 2, 5, ""):
        talk.feed(bytes([byte]))
    assert [message[0] for message in talk.heard()][:3] == ["176", "15", "9"]


def test_nothing_is_sent_between_the_handshakes_answer_and_start_api():
    simulator = still_simulator()
    talk = Talk(simulator, None)
    talk.feed(hello())
    assert len(talk.heard()) == 1
    assert talk.say(*CURRENT_TIME) == []  # A request before startApi is ignored.
    simulator.faults.sys(1100)
    simulator.pass_time(60)
    assert talk.heard() == []
    assert talk.say(71, 2, 1, "")[0][0] == "15"


def test_a_start_is_answered_with_accounts_next_id_and_the_state_of_the_farms():
    talk = Talk(still_simulator(accounts=("DU1", "DU2")))
    assert talk.greeting[0] == ["15", "1", "DU1,DU2"]
    assert talk.greeting[1][:2] == ["9", "1"]
    assert int(talk.greeting[1][2]) >= 1
    assert errors(talk.greeting) == [(-1, 2104), (-1, 2106), (-1, 2158)]


def test_a_second_client_with_the_same_id_is_told_326_and_closed_and_the_first_lives():
    simulator = still_simulator()
    first = Talk(simulator, 7)
    second = Talk(simulator, 7)
    assert errors(second.greeting) == [(-1, 326)]
    assert [message[0] for message in second.greeting] == ["4"]
    assert second.session.outlet.ending is Ending.CLOSE
    assert first.say(*CURRENT_TIME)[0][0] == "49"
    simulator.disconnect(second.session)
    assert first.say(*CURRENT_TIME)[0][0] == "49"
    simulator.disconnect(first.session)
    assert Talk(simulator, 7).greeting[0][0] == "15"


def test_who_does_not_come_to_start_api_is_ended():
    simulator = still_simulator()
    talk = Talk(simulator, None)
    talk.feed(hello())
    watch(simulator).seconds += 14
    simulator.advance()
    assert talk.session.outlet.ending is None
    watch(simulator).seconds += 2
    simulator.advance()
    assert talk.session.outlet.ending is Ending.CLOSE


def test_the_client_after_the_last_place_is_turned_away():
    simulator = still_simulator()
    talks = [Talk(simulator, number) for number in range(32)]
    assert Talk(simulator, None).session.outlet.ending is Ending.CLOSE
    assert talks[31].say(*CURRENT_TIME)


# Bad requests


def test_an_unknown_message_id_is_logged_and_answered_by_nothing(caplog):
    talk = Talk(still_simulator())
    assert talk.say(7777, 1, "x") == []
    assert "7777" in caplog.text
    assert talk.say(*CURRENT_TIME)[0][0] == "49"


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ((9, 8, 41), 41),
        ((9, 8, 41, *AAPL, 0, "", "", "", "one too many"), 41),
        ((9, 8, "x"), -1),
        ((1, 11, 42, "many"), 42),
        ((3,), -1),
        ((3, 17, "x"), 17),
        ((20, 43, *AAPL, 0, ""), 43),
    ],
)
def test_a_request_with_wrong_fields_is_answered_with_320_and_the_client_lives(fields, subject, caplog):
    talk = Talk(still_simulator())
    assert errors(talk.say(*fields)) == [(subject, 320)]
    assert talk.say(*CURRENT_TIME)[0][0] == "49"


@pytest.mark.parametrize("payload", [b"", b"\0", b"no end", b"\xff\xfe\0\x80\0", b"-1\0", b"9" * 400 + b"\0"])
def test_a_frame_that_is_no_message_harms_nothing(payload):
    talk = Talk(still_simulator())
    talk.feed(struct.pack(">I", len(payload)) + payload)
    assert all(message[0] == "4" for message in talk.heard())
    assert talk.say(*CURRENT_TIME)[0][0] == "49"


def test_an_oversize_frame_ends_that_connection_alone(caplog):
    simulator = still_simulator()
    talk, other = Talk(simulator, 1), Talk(simulator, 2)
    talk.feed(struct.pack(">I", 2_000_000) + b"x" * 1000)
    assert talk.session.outlet.ending is Ending.CLOSE
    assert "2,000,000" in caplog.text
    assert other.say(*CURRENT_TIME)[0][0] == "49"


# The message rate


def test_of_the_messages_within_a_second_fifty_pass():
    simulator = still_simulator()
    talk = Talk(simulator)
    watch(simulator).seconds += 2
    heard = [message for _ in range(60) for message in talk.say(*CURRENT_TIME)]
    assert sum(message[0] == "49" for message in heard) == 50
    assert errors(heard).count((-1, 100)) == 10
    assert errors(heard).count((-1, 0)) == 1
    watch(simulator).seconds += 1.01
    assert talk.say(*CURRENT_TIME)[0][0] == "49"


def test_who_is_over_the_rate_in_a_third_second_is_ended():
    simulator = still_simulator()
    talk = Talk(simulator)
    for _ in range(3):
        watch(simulator).seconds += 1.01
        for _ in range(51):
            talk.say(*CURRENT_TIME)
    assert talk.session.outlet.ending is Ending.CLOSE


def test_a_client_that_asked_to_be_paced_is_held_back_and_refused_nothing():
    simulator = still_simulator()
    talk = Talk(simulator, versions="v157..176 +PACEAPI")
    watch(simulator).seconds += 2
    heard = [message for _ in range(120) for message in talk.say(*CURRENT_TIME)]
    assert len(heard) == 51  # And once the notice that the rate is near.
    for _ in range(2):
        watch(simulator).seconds += 1.01
        simulator.advance()
    heard += talk.heard()
    assert sum(message[0] == "49" for message in heard) == 120
    assert (-1, 100) not in errors(heard)


def test_the_rate_can_be_switched_off():
    talk = Talk(still_simulator(message_rate=0))
    assert sum(talk.say(*CURRENT_TIME)[0][0] == "49" for _ in range(500)) == 500


def test_the_limiter_counts_any_second_not_those_of_a_clock():
    limiter = RateLimiter()
    assert all(limiter.take(0.9, 50) in (Rate.FINE, Rate.NEAR) for _ in range(50))
    assert limiter.take(1.7, 50) is Rate.OVER
    assert limiter.take(1.81, 50) is Rate.FINE
    assert limiter.take(5.0, 0) is Rate.FINE


def test_connects_and_disconnects_are_logged(caplog):
    caplog.set_level(logging.INFO)
    simulator = still_simulator()
    talk = Talk(simulator, 9)
    simulator.disconnect(talk.session)
    assert "client 9 at test:0 (session 1) connected" in caplog.text
    assert "client 9 at test:0 (session 1) disconnected" in caplog.text
