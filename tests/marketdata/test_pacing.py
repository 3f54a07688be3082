"""The budget of a login: all together keep the limits, the urgent come first, and the dead hold nobody up."""

import datetime as dt

import pytest

from domain.errors import BadInput
from domain.pacing import HistoryAsk, PacingProfile, Priority
from domain.timeframe import Timeframe
from gateway.contract import Contract
from gateway.history import HistoryRequest
from marketdata import pacing
from marketdata.models import PacingBudget, PacingSlot
from tests.faults import processes
from tests.marketdata import pacing_threads
from tests.marketdata.virtual import VirtualTime

LOGIN = "127.0.0.1:4002"
STEP_NS = 60_000_000_000


class GaveUp(Exception):
    """Raised by a wait, with the seconds it was asked for."""


def give_up(seconds: float) -> None:
    raise GaveUp(seconds)


@pytest.fixture
def hours(monkeypatch):
    """A clock that the test moves."""
    hours = VirtualTime()
    monkeypatch.setattr(pacing, "clock", hours.clock)
    monkeypatch.setattr(pacing, "_off", {})
    return hours


@pytest.fixture(autouse=True)
def _one_login(settings):
    settings.IB_HOST, settings.IB_PORT = "127.0.0.1", 4002


def ask(number: int | str = 0, what: str = "TRADES", bar_seconds: int = 60) -> HistoryAsk:
    return HistoryAsk(f"{number}@SMART", what, f"{number} {what}", bar_seconds)


def take(one: HistoryAsk, priority: Priority = Priority.TAIL, wait=give_up) -> None:
    with pacing.slot(one, priority, wait=wait):
        pass


def fill(count: int = 58, first: int = 0) -> None:
    for number in range(first, first + count):
        take(ask(number))


def stand_in_line(number: int | str, priority: Priority) -> int:
    """Wait as a process does that is killed at once: its row stays."""
    turn = pacing._take(LOGIN, ask(number), priority, None)
    assert turn.seconds > 0
    return turn.number


def in_the_profile(profile: str) -> None:
    PacingBudget.objects.update_or_create(login=LOGIN, defaults={"profile": profile})


# What all together send


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("profile", ["strict", "relaxed"])
def test_threads_together_send_nothing_that_the_gateway_refuses(tmp_path, profile):
    found = pacing_threads.results("sent_together", tmp_path, profile)
    assert found["refused"] == []
    assert found["requests"] == 96
    if profile == "strict":
        assert 58 < found["weight"] <= 116
        assert 601 <= found["seconds"] < 640, "one more window is needed, and no second one"
    else:
        assert found["seconds"] < 300


STRICT = """
from marketdata import models, pacing
models.PacingBudget.objects.create(login=pacing.login_name())
"""
ASK_ON = """
from domain.pacing import HistoryAsk, Priority
from marketdata import pacing
class GaveUp(Exception): pass
def give_up(seconds): raise GaveUp
got = 0
for number in range(int(sys.argv[2])):
    name = f"{sys.argv[1]}-{number}"
    try:
        with pacing.slot(HistoryAsk(f"{name}@SMART", "TRADES", name, 60), Priority.TAIL, wait=give_up):
            got += 1
    except GaveUp:
        pass
print(got)
"""


@pytest.mark.slow
def test_processes_together_get_exactly_what_a_window_holds(tmp_path):
    where = processes.environment(tmp_path)
    processes.migrate(where)
    processes.run(
        "from marketdata import pacing, models\nmodels.PacingBudget.objects.create(login=pacing.login_name())", where
    )
    asking = [processes.start(ASK_ON, where, str(number), "30") for number in range(3)]
    said = [process.communicate(timeout=120) for process in asking]
    assert [errors for _, errors in said if "Error" in errors] == []
    assert sum(int(out) for out, _ in said) == 58


# Who comes first


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_more_urgent_get_the_next_slots_and_equals_come_in_turn(tmp_path):
    assert pacing_threads.results("served_in_turn", tmp_path) == [3, 4, 1, 5, 0, 2]


def test_one_that_waits_keeps_the_last_place_from_the_less_urgent_and_equals_that_came_later(db, hours):
    fill()
    stand_in_line("early", Priority.TAIL)
    hours.now += 601
    PacingSlot.objects.filter(granted=None).update(seen=pacing._moment(hours.now))
    fill(57, first=100)
    with pytest.raises(GaveUp):
        take(ask("late"), Priority.TAIL)
    with pytest.raises(GaveUp):
        take(ask("idle"), Priority.BACKFILL)
    take(ask("urgent"), Priority.SCAN)


def test_a_waiter_that_died_is_forgotten(db, hours):
    fill()
    stand_in_line("dead", Priority.LIVE)
    hours.now += 601
    PacingSlot.objects.filter(granted=None).update(seen=pacing._moment(hours.now))
    fill(57, first=100)
    with pytest.raises(GaveUp):
        take(ask("next"), Priority.BACKFILL)
    hours.now += 11
    take(ask("next"), Priority.BACKFILL)
    assert not PacingSlot.objects.filter(granted=None).exists()


def test_one_that_was_forgotten_and_comes_back_waits_at_the_end(db, hours):
    fill()
    first = stand_in_line("first", Priority.TAIL)
    hours.now += 30
    second = stand_in_line("second", Priority.TAIL)
    again = pacing._take(LOGIN, ask("first"), Priority.TAIL, first)
    assert again.seconds > 0
    assert again.number > second


def test_one_that_gives_up_leaves_no_trace(db, hours):
    fill()
    with pytest.raises(GaveUp) as gave_up:
        take(ask("impatient"))
    assert 0 < gave_up.value.args[0] <= 4
    assert PacingSlot.objects.count() == 58
    assert pacing.standing().waiting[Priority.TAIL] == 0


# What is open


def test_a_slot_is_open_inside_the_block_and_closed_after_it_whatever_happens(db, hours):
    with pytest.raises(ZeroDivisionError), pacing.slot(ask(), Priority.TAIL, wait=give_up):
        assert pacing.standing().open == 1
        hours.now += 3
        raise ZeroDivisionError
    row = PacingSlot.objects.get()
    assert pacing.standing().open == 0
    assert row.closed - row.granted == dt.timedelta(seconds=3)


def test_open_slots_of_a_killed_process_end_after_the_longest_deadline(db, hours):
    in_the_profile("relaxed")
    for number in range(48):
        assert pacing._take(LOGIN, ask(number), Priority.TAIL, None).seconds == 0
    with pytest.raises(GaveUp):
        take(ask("next"))
    hours.now += 149
    with pytest.raises(GaveUp):
        take(ask("next"))
    hours.now += 2
    take(ask("next"))
    assert pacing.standing().open == 0


def test_what_counts_no_more_is_removed(db, hours):
    fill()
    hours.now += 607
    take(ask("next"))
    assert PacingSlot.objects.count() == 1


def test_a_clock_that_is_put_back_does_not_close_the_budget_for_hours(db, hours):
    fill(20)
    hours.now -= 7200
    take(ask("back"))
    hours.now += 607
    assert pacing.standing().used == 0


# Pauses


def test_after_a_breach_nobody_gets_a_slot_for_a_minute_and_longer_each_time(db, hours):
    for expected in (60, 120, 300, 600, 600):
        assert pacing.pause() == expected
        assert pacing.standing().paused_until == pacing._moment(hours.now + expected)
        with pytest.raises(GaveUp):
            take(ask(f"live {hours.now}"), Priority.LIVE)
        hours.now += expected - 1
        with pytest.raises(GaveUp):
            take(ask(f"live {hours.now}"), Priority.LIVE)
        hours.now += 1
        take(ask(f"live {hours.now}"), Priority.LIVE)
        assert pacing.standing().paused_until is None
    hours.now += 3600
    assert pacing.pause() == 60


def test_requests_that_were_under_way_together_report_one_breach(db, hours):
    assert pacing.pause() == 60
    hours.now += 2
    assert pacing.pause() == 58
    hours.now += 58
    assert pacing.pause() == 120


def test_a_pause_can_be_told_how_long_and_never_shortens_another(db, hours):
    assert pacing.pause(30) == 30
    assert pacing.pause(10) == 30
    assert pacing.pause(90) == 90
    assert PacingBudget.objects.get().breaches == 0
    for wrong in (-1, 4000, float("nan")):
        with pytest.raises(BadInput, match="seconds"):
            pacing.pause(wrong)


# Profiles


def test_off_asks_nothing_of_the_database_but_the_profile_now_and_then(db, hours, django_assert_num_queries):
    in_the_profile("off")
    with django_assert_num_queries(1):
        for _ in range(100):
            take(ask())
    assert not PacingSlot.objects.exists()


def test_off_pauses_all_the_same_where_the_gateway_complains(db, hours):
    in_the_profile("off")
    take(ask())
    pacing.pause()
    with pytest.raises(GaveUp):
        take(ask())
    hours.now += 60
    take(ask())


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_off_is_strict_and_loud_where_the_gateway_is_real(db, hours, settings, caplog, mode):
    settings.TRADING_MODE = mode
    in_the_profile("off")
    fill()
    with pytest.raises(GaveUp):
        take(ask("next"))
    assert pacing.standing().profile is PacingProfile.STRICT
    assert "off, which is for simulated gateways alone" in caplog.text


def test_relaxed_counts_small_bars_in_the_window_and_no_others(db, hours):
    in_the_profile("relaxed")
    for number in range(120):
        take(ask(number))
        hours.now += 0.1
    for number in range(58):
        take(ask(number, "MIDPOINT", bar_seconds=30))
    with pytest.raises(GaveUp):
        take(ask("next", bar_seconds=30))
    take(ask("next"))


# What people see


def test_the_standing_tells_use_waiters_and_the_next_slot(db, hours):
    assert pacing.standing().used == 0
    for number in range(10):
        take(ask(number, "BID_ASK"))
        hours.now += 10
    fill(38)
    stand_in_line("one", Priority.LIVE)
    stand_in_line("two", Priority.BACKFILL)
    stand_in_line("three", Priority.BACKFILL)
    standing = pacing.standing()
    assert (standing.login, standing.used, standing.limit) == (LOGIN, 58, 58)
    assert [standing.waiting[each] for each in Priority] == [1, 0, 0, 2]
    assert standing.seconds == pytest.approx(501)
    hours.now += 501
    assert pacing.standing().seconds == 0


def test_the_forecast_counts_what_is_used_and_who_waits(db, hours):
    assert pacing.minutes_for(0, Timeframe.M1, "TRADES") == 0
    assert pacing.minutes_for(58, Timeframe.M1, "TRADES") == 0
    assert pacing.minutes_for(59, Timeframe.M1, "TRADES") == pytest.approx(601 / 60)
    fill()
    hours.now += 1
    assert pacing.minutes_for(58, Timeframe.M1, "TRADES") == pytest.approx(600 / 60)
    assert pacing.minutes_for(58, Timeframe.M1, "BID_ASK") == pytest.approx(1201 / 60)
    stand_in_line("first", Priority.BACKFILL)
    assert pacing.minutes_for(58, Timeframe.M1, "TRADES") == pytest.approx(1201 / 60)
    in_the_profile("relaxed")
    assert pacing.minutes_for(1000, Timeframe.M1, "TRADES") < 60


def test_a_request_is_told_from_others_by_all_that_it_asks():
    spy = Contract(con_id=756733, exchange="SMART")
    base = HistoryRequest(spy, Timeframe.M1, "1 D", end_ns=STEP_NS)
    assert pacing.ask_of(base) == pacing.ask_of(base)
    assert pacing.ask_of(base)[:2] == ("756733@SMART", "TRADES")
    assert pacing.ask_of(base).bar_seconds == 60
    others = [
        base._replace(contract=spy._replace(exchange="NYSE")),
        base._replace(timeframe=Timeframe.M5),
        base._replace(duration="2 D"),
        base._replace(what="BID_ASK"),
        base._replace(regular_hours=False),
        base._replace(end_ns=2 * STEP_NS),
        base._replace(end_ns=None),
    ]
    assert len({pacing.ask_of(each).identity for each in [base, *others]}) == 8


def test_a_name_that_the_table_cannot_hold_is_refused(db, hours):
    with pytest.raises(BadInput, match="80 characters"):
        take(HistoryAsk("x" * 80, "TRADES", "1", 60))
