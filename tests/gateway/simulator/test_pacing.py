"""The pacing of history, with a clock that a test moves."""

import pytest

from gateway.contract import Contract
from gateway.simulator.pacing import HistoryPacing, PacingLimits
from tests.gateway.simulator.marketplace import asked, the


class Timer:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def wish(number: int, **changes):
    """Small bars, each request another contract and another end."""
    return asked(the("AAPL"), "5 secs", "3600 S")._replace(
        req_id=number, contract=Contract(symbol=f"S{number}"), end=str(number), **changes
    )


@pytest.fixture
def timer() -> Timer:
    return Timer()


def pacing(timer: Timer, **limits: bool) -> HistoryPacing:
    return HistoryPacing(PacingLimits(**limits), timer)


def admitted(paced: HistoryPacing, timer: Timer, requests, seconds: float) -> list[bool]:
    results = []
    for request in requests:
        results.append(paced.admit("client", request))
        paced.close("client", request.req_id)
        timer.now += seconds
    return results


def test_sixty_in_ten_minutes_and_no_more(timer):
    paced = pacing(timer)
    assert admitted(paced, timer, [wish(n) for n in range(61)], 1.0) == [True] * 60 + [False]
    timer.now = 540.0
    assert not paced.admit("client", wish(100))
    timer.now = 2000.0
    assert paced.admit("client", wish(101))


def test_a_refused_request_counts_too(timer):
    paced = pacing(timer)
    admitted(paced, timer, [wish(n) for n in range(60)], 0.0)
    results = admitted(paced, timer, [wish(n) for n in range(60, 160)], 6.0)
    assert not any(results)
    timer.now += 590.0
    assert paced.admit("client", wish(500))


def test_an_identical_request_must_wait_fifteen_seconds(timer):
    paced = pacing(timer)
    assert admitted(paced, timer, [wish(1), wish(1)._replace(req_id=2)], 10.0) == [True, False]
    timer.now += 15.0
    assert paced.admit("client", wish(1))


def test_the_sixth_for_one_contract_in_two_seconds_is_refused(timer):
    paced = pacing(timer)
    same = [wish(1)._replace(req_id=n, end=str(n)) for n in range(8)]
    assert admitted(paced, timer, same, 0.25) == [True] * 5 + [False] * 3
    other = [wish(1)._replace(req_id=n, end=f"x{n}", what="MIDPOINT") for n in range(5)]
    assert all(admitted(paced, timer, other, 0.25))


def test_bid_and_ask_count_twice(timer):
    paced = pacing(timer)
    assert admitted(paced, timer, [wish(n, what="BID_ASK") for n in range(31)], 1.0) == [True] * 30 + [False]


def test_fifty_may_be_open_at_once(timer):
    paced = pacing(timer, window=False)
    for number in range(50):
        assert paced.admit("client", asked(the("AAPL"))._replace(req_id=number))
    assert not paced.admit("client", asked(the("AAPL"))._replace(req_id=50))
    paced.close("client", 3)
    assert paced.admit("other", asked(the("AAPL"))._replace(req_id=3))
    paced.close_all("client")
    assert paced.open_requests == 1


def test_minutes_and_more_are_not_paced_unless_asked_for(timer):
    same = asked(the("AAPL"), "1 min")
    assert all(admitted(pacing(timer), timer, [same] * 70, 0.0))
    assert not all(admitted(pacing(timer, small_bars_only=False), timer, [same] * 70, 0.0))


@pytest.mark.parametrize("limit", ["window", "identical", "burst"])
def test_each_limit_can_be_switched_off(timer, limit):
    paced = pacing(timer, **dict.fromkeys(("window", "identical", "burst"), False) | {limit: True})
    requests = [wish(1)] * 70
    assert not all(admitted(paced, timer, requests, 0.1))
    free = pacing(timer, window=False, identical=False, burst=False)
    assert all(admitted(free, timer, requests, 0.1))
