"""Never two who may act, whatever pauses whom: by a state machine, by processes that race, by one that is stopped."""

import datetime as dt
import os
import signal
import time

import psycopg
import pytest
from django.db import IntegrityError
from django.db.models import DateTimeField, Value
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.faults import processes
from tests.faults.stack import POSTGRES
from tradingsite import leases
from tradingsite.models import Lease

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
# The database counts whole microseconds, a holder's clock is a float: at the very edge they differ by less than this.
EDGE = 1e-6


class World:
    """One true time. The database shows it as its clock; each holder's clock began somewhere else."""

    def __init__(self) -> None:
        self.passed = dt.timedelta()
        self.now = Value(START, output_field=DateTimeField())

    @property
    def seconds(self) -> float:
        return self.passed.total_seconds()

    def advance(self, seconds: float) -> None:
        self.passed += dt.timedelta(seconds=seconds)
        self.now.value = START + self.passed


class Holder:
    """A process that may be paused right after it has looked at its clock."""

    def __init__(self, world: World, name: str, offset: float) -> None:
        self.world, self.name, self.offset, self.pause = world, name, offset, 0.0
        self.lease: leases.HeldLease | None = None

    def clock(self) -> float:
        read = self.world.seconds + self.offset
        pause, self.pause = self.pause, 0.0
        self.world.advance(pause)
        return read

    def may_act(self, seconds_left: float) -> bool:
        return self.lease is not None and self.lease.may_act(seconds_left)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        Lease.objects.all().delete()
        self.world = World()
        self.holders = [Holder(self.world, name, offset) for name, offset in (("a", 0.0), ("b", 1e6), ("c", 77.7))]
        self.epoch = 0

    who = st.integers(0, 2)
    pauses = st.sampled_from([0.0, 0.0, 0.0, 0.1, 4.9, 5.0, 10.0, 14.999, 15.0, 15.001, 60.0])

    @rule(seconds=st.sampled_from([0.001, 1.0, 4.999, 5.0, 9.999, 10.0, 10.001, 14.999, 15.0, 15.001, 100.0]))
    def time_passes(self, seconds):
        self.world.advance(seconds)

    @rule(who=who, pause=pauses)
    def take(self, who, pause):
        holder = self.holders[who]
        others = [each for each in self.holders if each is not holder]
        holder.pause = pause
        lease = leases.take("data", holder.name, now=self.world.now, clock=holder.clock)
        holder.pause = 0.0
        if lease is not None:
            assert lease.epoch == self.epoch + 1
            assert not any(each.may_act(EDGE) for each in others)
            self.epoch, holder.lease = lease.epoch, lease

    @rule(who=who, pause=pauses)
    def renew(self, who, pause):
        holder = self.holders[who]
        if holder.lease is not None:
            holder.pause = pause
            renewed = holder.lease.renew()
            holder.pause = 0.0
            assert not renewed or holder.lease.epoch == self.epoch
            assert renewed or not holder.may_act(EDGE)

    @rule(who=who)
    def release(self, who):
        holder = self.holders[who]
        if holder.lease is not None:
            holder.lease.release()
            assert not holder.may_act(EDGE)
            holder.lease = None

    @rule(who=who)
    def die(self, who):
        """Without a word: the next one waits for the row to expire."""
        self.holders[who].lease = None

    @invariant()
    def one_at_most_may_act_and_stops_in_time(self):
        acting = [each for each in self.holders if each.may_act(EDGE)]
        assert len(acting) <= 1
        row = Lease.objects.filter(role="data").first()
        assert (row.epoch if row else 0) == self.epoch
        for each in acting:
            assert each.lease.epoch == self.epoch
        for each in self.holders:
            if each.may_act(leases.STOP_SECONDS + EDGE):
                assert row.holder == each.name
                assert (row.expires - self.world.now.value).total_seconds() > leases.STOP_SECONDS


class TestAnyOrder(TestCase):
    def test_of_three_holders_with_pauses_never_two_may_act_and_the_epoch_only_grows(self):
        Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
        Machine.TestCase().runTest()


@pytest.mark.exhaustive
class TestManyOrders(TestCase):
    def test_of_three_holders_with_pauses_never_two_may_act_in_many_orders(self):
        count = int(os.environ.get("LEASE_EXAMPLES", "1000"))
        Machine.TestCase.settings = settings(max_examples=count, stateful_step_count=60, deadline=None)
        Machine.TestCase().runTest()


@pytest.mark.django_db
def test_the_row_expires_by_the_clock_of_the_database():
    held = leases.take("data", "a")
    row = Lease.objects.get()
    assert (row.holder, row.epoch) == ("a", 1)
    assert row.expires - row.taken == dt.timedelta(seconds=leases.TTL_SECONDS)
    assert leases.take("data", "b") is None
    assert leases.take("trader:DU1", "b") is not None, "another role is another lease"
    assert held.renew() and held.may_act()
    Lease.objects.filter(role="data").update(expires=row.taken - dt.timedelta(seconds=1))
    assert not held.renew(), "what has expired is not brought back, even where nobody has taken it"
    assert not held.may_act(0)
    again = leases.take("data", "b")
    assert again.epoch == 2


@pytest.mark.django_db
def test_what_was_given_back_is_free_at_once_and_giving_it_back_late_takes_it_from_nobody():
    first = leases.take("data", "a")
    first.release()
    second = leases.take("data", "b")
    assert second.epoch == 2
    first.release()
    assert not first.renew()
    row = Lease.objects.get()
    assert (row.holder, row.epoch) == ("b", 2)
    assert second.renew()


@pytest.mark.django_db
def test_a_row_without_a_holder_has_no_end_and_one_with_a_holder_has():
    with pytest.raises(IntegrityError):
        Lease.objects.create(role="data", holder="a")


def test_of_one_machine_one_process_has_the_lock_and_another_role_has_its_own(settings, tmp_path):
    settings.LOCKS_DIR = tmp_path / "locks"
    with leases.role_lock("data") as mine, leases.role_lock("data") as other, leases.role_lock("trader:DU1") as trader:
        assert (mine, other, trader) == (True, False, True)
    with leases.role_lock("data") as mine:
        assert mine
    assert {path.name for path in (tmp_path / "locks").iterdir()} == {"data.lock", "trader-DU1.lock"}


# ---- processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """The address of an empty database of its own, migrated; skips where there is no server."""
    if request.param == "sqlite":
        where = processes.environment(tmp_path / "state")
        processes.migrate(where)
        yield where["DATABASE_URL"]
        return
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL here: {error}")
    name = f"ibdesk_leases_{os.getpid()}"
    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.execute(f"CREATE DATABASE {name}")
    url = f"postgres://{server.info.user}@{server.info.host}:{server.info.port}/{name}"
    try:
        processes.migrate(processes.environment(tmp_path / "state", url))
        yield url
    finally:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


RACE = """
import time
from tradingsite import leases
print("ready", flush=True)
sys.stdin.readline()
held = leases.take("data", leases.new_holder())
print(held.epoch if held else 0, flush=True)
sys.stdin.readline()
if held: held.release()
"""


@pytest.mark.slow
def test_of_several_that_take_it_at_once_one_gets_it(database, tmp_path):
    racers = [processes.start(RACE, processes.environment(tmp_path / "state", database), stdin=True) for _ in range(6)]
    for each in racers:
        assert each.stdout.readline() == "ready\n"
    for each in racers:
        each.stdin.write("\n")
        each.stdin.flush()
    won = [int(each.stdout.readline()) for each in racers]
    for each in racers:
        each.communicate("\n", timeout=60)
    assert sorted(won) == [0] * 5 + [1]


# With short times, or the test would wait for a quarter of a minute. A moment is written where the check has passed
# after it: what was stopped between the two looks again when it goes on.
ACT = """
import threading, time
from tradingsite import leases
leases.TTL_SECONDS = 2.0
held = None
while held is None:
    held = leases.take("data", sys.argv[1])
    time.sleep(0.02)
print("took", held.epoch, flush=True)
def renew():
    while held.renew():
        time.sleep(0.3)
threading.Thread(target=renew, daemon=True).start()
acts = open(sys.argv[2], "a")
lost = False
while not lost:
    moment = time.monotonic()
    if held.may_act(seconds_left=0.5):
        acts.write(f"{moment}\\n")
        acts.flush()
        time.sleep(0.001)
    else:
        lost = True
print("lost", flush=True)
"""


@pytest.mark.slow
def test_a_stopped_holder_does_not_act_once_another_has_taken_over(database, tmp_path):
    """Two machines, as far as the lock of a machine goes: each has a state folder of its own."""
    logs = [tmp_path / name for name in ("first", "second")]
    first, second = None, None
    try:
        first = processes.start(ACT, processes.environment(tmp_path / "state", database), "first", str(logs[0]))
        assert first.stdout.readline() == "took 1\n"
        second = processes.start(ACT, processes.environment(tmp_path / "other", database), "second", str(logs[1]))
        time.sleep(3.0)
        assert not logs[1].exists() or not logs[1].read_text(), "while the first renews it, nobody else gets it"
        first.send_signal(signal.SIGSTOP)
        assert second.stdout.readline() == "took 2\n"
        time.sleep(0.5)
        first.send_signal(signal.SIGCONT)
        assert first.stdout.readline() == "lost\n"
        time.sleep(0.5)
        assert second.poll() is None
    finally:
        for each in (first, second):
            if each is not None:
                each.kill()
                each.communicate(timeout=60)
    acted, later = ([float(line) for line in log.read_text().split("\n")[:-1]] for log in logs)
    assert len(acted) > 50 and len(later) > 50
    assert max(acted) < min(later)
