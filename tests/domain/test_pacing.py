"""What the pacing lets through is admitted by the simulated gateway's own counters, whatever the clocks and delays."""

import heapq
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import pacing
from domain.errors import BadInput
from domain.pacing import HistoryAsk, Limit, PacingProfile, Sent, wait_for
from gateway.simulator import requests
from gateway.simulator.pacing import HistoryPacing, PacingLimits

EXAMPLES = int(os.environ.get("PACING_EXAMPLES", "30"))
STRICT, RELAXED, OFF = PacingProfile
# 0.49 rather than half a second: sums of floats differ in the last bit from the times they are made of.
SKEWS = (-0.49, 0.0, 0.21, 0.49)
SIZES = {5: "5 secs", 60: "1 min"}


def ask(number: int = 0, what: str = "TRADES", contract: str = "1@SMART", bar_seconds: int = 60) -> HistoryAsk:
    return HistoryAsk(contract, what, f"{contract} {what} {bar_seconds} {number}", bar_seconds)


def on_the_wire(one: HistoryAsk, number: int) -> requests.HistoricalData:
    contract = requests.Contract(*[""] * len(requests.Contract._fields))._replace(symbol=one.contract)
    return requests.HistoricalData(
        req_id=number,
        contract=contract,
        include_expired=False,
        end=one.identity,
        bar_size=SIZES[one.bar_seconds],
        duration="1 D",
        use_rth=True,
        what=one.what,
        date_format=2,
        legs=(),
        keep_up_to_date=False,
        options="",
    )


class Process:
    """Asks from a clock that is `skew` seconds off; true times go to the gateway's counters."""

    def __init__(self, profile: PacingProfile) -> None:
        self.profile = profile
        self.now = 1000.0
        self.granted: list[float] = []
        self.sent: list[tuple[HistoryAsk, float, float, float]] = []  # (ask, at, true time of the close, skew), recent
        self.wire: list[tuple[float, int, HistoryAsk | None, int]] = []  # (true time, 0 close or 1 ask, ask, number)

    def rows(self) -> list[Sent]:
        """As the table shows them: closed by the clock of who asked, and not before it is so."""
        self.sent = [row for row in self.sent if row[2] > self.now - pacing.KEPT_SECONDS - 1]
        return [Sent(one, at, closed + skew if closed <= self.now else None) for one, at, closed, skew in self.sent]

    def request(self, one: HistoryAsk, delay: float, lasts: float, skew: float) -> None:
        while (seconds := wait_for(self.rows(), one, self.now + skew, self.profile).seconds) > 0:
            self.now += seconds
        number = len(self.granted)
        closed = self.now + max(delay + 0.01, lasts)
        self.granted.append(self.now)
        self.sent.append((one, self.now + skew, closed, skew))
        heapq.heappush(self.wire, (self.now + delay, 1, one, number))
        heapq.heappush(self.wire, (closed, 0, None, number))

    def refused(self, *, small_bars_only: bool) -> list[HistoryAsk]:
        """What the gateway refuses of it."""
        moment = [0.0]
        counters = HistoryPacing(PacingLimits(small_bars_only=small_bars_only), lambda: moment[0])
        found = []
        while self.wire:
            moment[0], _, one, number = heapq.heappop(self.wire)
            if one is None:
                counters.close("us", number)
            elif not counters.admit("us", on_the_wire(one, number)):
                found.append(one)
        return found


WHATS = ("TRADES", "TRADES", "MIDPOINT", "BID_ASK")


def played(profile: PacingProfile, seed: int, contracts: int, identities: int, idle: float, lasts: float) -> Process:
    """Asks drawn from so many contracts and identities, `idle` seconds apart on average."""
    chance, process = random.Random(seed), Process(profile)
    for _ in range(150):
        process.now += chance.choice([0.0, 0.0, idle, 2 * idle])
        one = ask(
            chance.randrange(identities),
            chance.choice(WHATS),
            f"{chance.randrange(contracts)}@{chance.choice(['SMART', 'NYSE'])}",
            chance.choice([60, 60, 5]),
        )
        delay = chance.choice([0.0, 0.05, chance.uniform(0, pacing.SENDING_SECONDS)])
        process.request(one, delay, chance.uniform(0, 2 * lasts), chance.choice(SKEWS))
    return process


schedules = given(
    seed=st.integers(0, 2**32),
    contracts=st.sampled_from([1, 4, 100]),
    identities=st.sampled_from([3, 100, 100_000]),
    idle=st.sampled_from([0.0, 0.3, 3.0, 20.0]),
    lasts=st.sampled_from([0.0, 0.2, 10.0, 400.0]),
)


@settings(max_examples=EXAMPLES)
@schedules
def test_the_gateway_admits_every_request_that_strict_lets_through(**how):
    assert played(STRICT, **how).refused(small_bars_only=False) == []


@settings(max_examples=EXAMPLES)
@schedules
def test_the_gateway_of_today_admits_every_request_that_relaxed_lets_through(**how):
    assert played(RELAXED, **how).refused(small_bars_only=True) == []


@pytest.mark.parametrize("lasts", [0.05, 2.0, 30.0])
def test_at_least_95_percent_of_what_is_allowed_is_used(lasts):
    process = Process(STRICT)
    while process.now < 1000 + 3 * 3600:
        number = len(process.granted)
        process.request(ask(number, contract=f"{number % 20}@SMART"), 0.02, lasts, 0.0)
    for hour in range(3):
        begin = 1000 + hour * 3600
        of_hour = sum(begin <= at < begin + 3600 for at in process.granted)
        assert of_hour >= 0.95 * 360
    assert process.refused(small_bars_only=False) == []


def test_bid_and_ask_count_twice_in_the_window_and_in_a_burst():
    sent = [Sent(ask(n, "BID_ASK", f"{n}@SMART"), 0.0, 0.1) for n in range(29)]
    assert wait_for(sent[:28], ask(99, "BID_ASK"), 10.0, STRICT).seconds == 0
    assert wait_for(sent, ask(99), 10.0, STRICT) == (pytest.approx(0.1 + 601 - 10), Limit.WINDOW)
    pair = [Sent(ask(n, "BID_ASK"), 0.0, 0.1) for n in range(2)]
    assert wait_for(pair, ask(9, "BID_ASK"), 1.0, STRICT) == (pytest.approx(2.1), Limit.BURST)
    assert wait_for(pair, ask(9), 1.0, STRICT).seconds == 0  # TRADES are another kind


def test_the_same_request_waits_15_seconds_and_another_does_not():
    sent = [Sent(ask(1), 100.0, 101.0)]
    assert wait_for(sent, ask(1), 110.0, STRICT) == (pytest.approx(7.0), Limit.IDENTICAL)
    assert wait_for(sent, ask(2), 110.0, STRICT) == (0.0, None)
    assert wait_for(sent, ask(1), 117.0, STRICT) == (0.0, None)


def test_a_sixth_request_for_one_contract_waits():
    sent = [Sent(ask(n), 100.0 + n / 10, 100.05 + n / 10) for n in range(5)]
    assert wait_for(sent[:4], ask(9), 100.5, STRICT).seconds == 0
    assert wait_for(sent, ask(9), 100.5, STRICT) == (pytest.approx(2.55), Limit.BURST)
    assert wait_for(sent, ask(9, contract="1@NYSE"), 100.5, STRICT).seconds == 0


@pytest.mark.parametrize("profile", [STRICT, RELAXED])
def test_so_many_are_open_at_once_and_no_more(profile):
    sent = [Sent(ask(n, contract=f"{n}@SMART"), 100.0) for n in range(48)]
    assert wait_for(sent[1:], ask(99), 120.0, profile).seconds == 0
    assert wait_for(sent, ask(99), 120.0, profile) == (1.0, Limit.OPEN)


def test_relaxed_lifts_the_window_for_longer_bars_alone():
    sent = [Sent(ask(n, contract=f"{n}@SMART", bar_seconds=5), 100.0, 100.5) for n in range(58)]
    assert wait_for(sent, ask(99), 120.0, RELAXED).seconds == 0
    assert wait_for(sent, ask(99, bar_seconds=30), 120.0, RELAXED) == (pytest.approx(581.5), Limit.WINDOW)
    assert wait_for(sent, ask(99), 120.0, STRICT) == (pytest.approx(581.5), Limit.WINDOW)
    long = [Sent(ask(n, contract=f"{n}@SMART"), 100.0, 100.5) for n in range(400)]
    assert wait_for(long, ask(99, bar_seconds=30), 120.0, RELAXED).seconds == 0


def test_off_waits_for_nothing():
    sent = [Sent(ask(1), 100.0) for _ in range(400)]
    assert wait_for(sent, ask(1), 100.0, OFF) == (0.0, None)


def test_room_is_left_for_those_ahead_and_used_where_there_is_enough_for_all():
    sent = [Sent(ask(n, contract=f"{n}@SMART"), 100.0 + n, 100.0 + n) for n in range(56)]
    ahead = [ask(90, contract="x")]
    assert wait_for(sent, ask(99), 200.0, STRICT, ahead).seconds == 0
    assert wait_for(sent, ask(99), 200.0, STRICT, [*ahead, ask(91, contract="x")]) == (501.0, Limit.WINDOW)
    assert wait_for(sent, ask(99), 200.0, STRICT, [ask(90, "BID_ASK")]) == (501.0, Limit.WINDOW)


def test_the_forecast_is_when_a_greedy_asker_gets_there():
    process = Process(STRICT)
    for number in range(30):
        process.now += 3.0
        process.request(ask(number, contract=f"{number}@SMART"), 0.0, 0.0, 0.0)
    began, forecast = process.now, pacing.seconds_until_sent(process.rows(), 250, process.now, STRICT)
    for number in range(250):
        process.request(ask(1000 + number, contract=f"{number}@SMART"), 0.0, 0.0, 0.0)
    assert process.now - began == pytest.approx(forecast, abs=0.1)


def test_the_use_of_the_window_is_told_in_weight():
    sent = [Sent(ask(1), 0.0, 0.0), Sent(ask(2, "BID_ASK"), 10.0, 10.0), Sent(ask(3, bar_seconds=5), 20.0, 20.0)]
    assert [pacing.window_weight(sent, now, STRICT) for now in (30, 605, 615, 700)] == [4, 3, 1, 0]
    assert pacing.window_weight(sent, 30, RELAXED) == 1
    assert pacing.window_weight(sent, 30, OFF) == 0


def test_pauses_grow_up_to_ten_minutes():
    assert [pacing.pause_seconds(breaches) for breaches in range(1, 7)] == [60, 120, 300, 600, 600, 600]
    with pytest.raises(BadInput, match="0"):
        pacing.pause_seconds(0)
