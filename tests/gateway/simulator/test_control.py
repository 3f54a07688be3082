import json
import socket

import pytest

from gateway.simulator.control import answer_line
from gateway.simulator.server import start_simulator
from tests.gateway.simulator.rawclient import RawClient, Talk
from tests.gateway.simulator.worlds import still_simulator


def ask(simulator, line: object) -> dict:
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    return json.loads(json.dumps(answer_line(simulator, text)))


def test_a_verb_is_done_and_written_down():
    simulator = still_simulator()
    talk = Talk(simulator)
    assert ask(simulator, {"do": "sys", "code": 1100}) == {"ok": True}
    assert talk.heard()[0][3] == "1100"
    assert ask(simulator, {"ask": "faults"})["answer"] == [{"at_ns": simulator.now_ns(), "do": "sys", "code": 1100}]


def test_it_answers_who_is_there_what_time_it_is_and_how_it_is_set():
    simulator = still_simulator(accounts=("DU1", "DU2"))
    Talk(simulator, 5)
    (session,) = ask(simulator, {"ask": "sessions"})["answer"]
    assert (session["client_id"], session["version"], session["phase"]) == (5, 176, "ready")
    assert ask(simulator, {"ask": "clock"})["answer"]["now_ns"] == simulator.now_ns()
    assert ask(simulator, {"ask": "settings"})["answer"]["accounts"] == ["DU1", "DU2"]
    assert "stall" in ask(simulator, {"ask": "verbs"})["answer"]
    assert ask(simulator, {"ask": "ledger"})["ok"]


def test_a_switch_is_set():
    simulator = still_simulator()
    assert ask(simulator, {"do": "set", "name": "read_only", "value": True})["ok"]
    assert simulator.settings.read_only
    assert ask(simulator, {"do": "set", "name": "denied", "value": {"AAPL": 354}})["ok"]
    assert simulator.settings.denied == {"AAPL": 354}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense", "Expecting value"),
        (b"[1]", "not a JSON object"),
        (b"{}", "neither"),
        (b'{"do": 5}', "`do` is not a text"),
        (b'{"do": "stal"}', "unknown verb 'stal'; did you mean 'stall'?"),
        (b'{"do": "stall"}', "stall needs 'seconds'"),
        (b'{"do": "stall", "seconds": "x"}', "stall: seconds is 'x'; expected a number"),
        (b'{"do": "stall", "seconds": NaN}', "stall: seconds is nan"),
        (b'{"do": "stall", "second": 4}', "unknown argument of stall 'second'; did you mean 'seconds'?"),
        (b'{"do": "swallow", "type": "orderState"}', "unknown message 'orderState'; did you mean 'orderStatus'?"),
        (b'{"do": "sys", "code": 5}', "sys: code is 5; expected one of 1100"),
        (b'{"do": "farm", "code": 5}', "farm: code is 5; expected one of 2103"),
        (b'{"do": "speed", "factor": 2}', "this simulator's time moves only by hand"),
        (b'{"do": "time", "at": "soon"}', "time: at is 'soon'"),
        (b'{"do": "time", "at": "2020-01-01 10:00"}', "exchange time never goes back"),
        (b'{"do": "set", "name": "redonly", "value": true}', "unknown setting 'redonly'; did you mean 'read_only'?"),
        (b'{"do": "set", "name": "read_only", "value": 3}', "read_only is 3: expected what False is"),
        (b'{"do": "drop", "how": "softly"}', "unknown ending 'softly'"),
        (b'{"do": "drop", "message": 3, "request": "ids"}', "two ways to say when"),
        (b'{"ask": "leger"}', "unknown question 'leger'; did you mean 'ledger'?"),
        (b'{"ask": "ledger", "and": 1}', "a question takes nothing else"),
        (b"[" * 100_000, ""),
        (b"\xff\xfe", ""),
    ],
)
def test_what_is_wrong_is_said(line, said):
    answer = ask(still_simulator(), line)
    assert answer["ok"] is False
    assert said in answer["error"]


def test_lines_are_answered_one_by_one_over_the_port():
    with (
        start_simulator(control_port=0) as handle,
        socket.create_connection(("127.0.0.1", handle.control_port)) as line,
    ):
        line.settimeout(10)
        file = line.makefile("rwb")
        with RawClient(handle.port, 3) as client:
            client.until(4, 2, -1, 2158)
            file.write(b'{"ask": "sessions"}\n{"do": "bulletin", "text": "hello"}\n')
            file.flush()
            assert json.loads(file.readline())["answer"][0]["client_id"] == 3
            assert json.loads(file.readline()) == {"ok": True}
            file.write(b'{"do": "rst"}\n')
            file.flush()
            assert json.loads(file.readline()) == {"ok": True}
            assert client.is_ended()


def test_the_port_does_not_listen_to_a_browser():
    with (
        start_simulator(control_port=0) as handle,
        socket.create_connection(("127.0.0.1", handle.control_port)) as line,
    ):
        line.settimeout(10)
        line.sendall(b'POST / HTTP/1.1\r\nHost: x\r\n\r\n{"do": "rst"}\n')
        answers = line.makefile("rb").read()
        assert b'"ok": false' in answers
        assert handle.faults.log == []


def test_a_line_without_end_closes_the_connection():
    with (
        start_simulator(control_port=0) as handle,
        socket.create_connection(("127.0.0.1", handle.control_port)) as line,
    ):
        line.settimeout(10)
        line.sendall(b"{" * 100_000)
        assert b"a line of more than" in line.makefile("rb").read()
