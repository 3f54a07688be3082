"""A worker killed anywhere in a load, a connection dropped at each message of one: in the end the store holds what the
market was, nothing that was stored is asked for again, and every run has ended."""

import json
import os
import random

import numpy as np
import pytest

from gateway.simulator.server import DEFAULT_START_NS
from marketdata import loading
from marketdata.models import BarFile, HeadTime, Instrument, LoadRun, ProvenRange
from tests.faults import processes
from tests.gateway.gateways import start_gateway
from tests.marketdata import make
from tests.marketdata.conftest import bars_root  # noqa: F401
from tests.marketdata.loads import data_worker, day, held, load, midnight, truth

# One process that has all imports done forks a worker for each attempt, and kills it after the seconds it is told.
KILLER = """
import json, threading, time
from datetime import timedelta
from django.db import connections
from django.utils import timezone
from domain.pacing import PacingProfile
from gateway.connection import Connection
from gateway.settings import ConnectionSettings
from marketdata import contracts, loading, pacing, planning
from marketdata.models import Fetch, LoadRun, PacingBudget, ProvenRange
from tradingsite import attempts, links, runs

port = int(sys.argv[1])
loading.FLUSH_BARS = 800  # so that a load is stored in several parts
PacingBudget.objects.get_or_create(login=pacing.login_name(), defaults={"profile": PacingProfile.OFF})

def work(pk):
    wire = ConnectionSettings(
        port=port, kind="simulated", heartbeat_seconds=600.0, attempt_seconds=0.05
    )
    with Connection(wire) as connection:
        links.connection = lambda role: connection
        connection.wait_ready(20.0)
        attempts.perform(LoadRun, pk, loading.load_bars)

def once(pk, seconds):
    connections.close_all()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody reads the pipe, and a full one would stop it
        try:
            work(pk)
            os._exit(0)
        finally:
            os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True

def begin(symbol, timeframe, start):
    instrument, _ = Instrument.objects.get_or_create(symbol=symbol)
    ask = planning.check_ask(instrument=instrument, timeframe=timeframe, mode="full", start=start, now_ns=2**62)
    return str(loading.queue_load(ask=ask, origin="api").pk)

def forget():
    for table in (LoadRun, ProvenRange, BarFile):
        table.objects.all().delete()

for line in sys.stdin:
    asked = json.loads(line)
    if "symbol" in asked:
        forget()
        print(json.dumps({"pk": begin(**asked)}), flush=True)
        continue
    killed = once(asked["pk"], asked["seconds"])
    run = LoadRun.objects.get(pk=asked["pk"])
    if run.state == "running":
        LoadRun.objects.filter(pk=run.pk).update(heartbeat=timezone.now() - timedelta(minutes=5))
        runs.reclaim_dead(LoadRun, timezone.now())
        run.refresh_from_db()
    ended = run.state
    if run.state == "failed" and "process died" in run.error:
        runs.retry(run)
    stored = [row.end.timestamp() for row in Fetch.objects.filter(load_run=run, state__in=["done", "empty"])]
    answer = {"killed": killed, "state": ended, "error": run.error or run.waits_for, "stored": stored}
    if ended == "succeeded":
        bars = store.read_bars(run.instrument, run.timeframe)
        answer |= {"start": bars.start.tolist(), "close": bars.close.tolist()}
    print(json.dumps(answer), flush=True)
"""

KILLS = int(os.environ.get("LOAD_KILLS", "12"))


def asked_of(gateway) -> list[float]:
    """The ends of the history requests that the simulator hears, as they come; kept by reference."""
    heard: list[float] = []

    def listen(simulator):
        def hear(owner, request):
            text = request.end.strip()
            heard.append(np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:17]}", "s").astype(float))
            return True

        simulator.pacing.admit = hear

    gateway.call(listen)
    return heard


@pytest.mark.faults
def test_a_worker_killed_at_random_points_of_a_load_loses_nothing_and_asks_for_nothing_twice(tmp_path):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(2**32)))
    print(f"SEED={seed} LOAD_KILLS={KILLS}")
    chance = random.Random(seed)
    where = processes.environment(tmp_path)
    processes.migrate(where)
    gateway = start_gateway(message_rate=0)
    heard = asked_of(gateway)
    killer = processes.start(KILLER, where, str(gateway.port), stdin=True)

    def ask(**asked):
        killer.stdin.write(json.dumps(asked) + "\n")
        killer.stdin.flush()
        line = killer.stdout.readline()
        assert line, killer.communicate(timeout=20)[1]
        return json.loads(line)

    killed = loads = wasted = 0
    span = 0.7
    try:
        while killed < KILLS:
            symbol, days = chance.choice(["AAPL", "MSFT", "IBM", "KO"]), chance.randint(8, 16)
            pk, stored = ask(symbol=symbol, timeframe="1m", start=day(days))["pk"], set()
            told, attempts = {"state": "queued"}, 0
            while told["state"] != "succeeded":
                attempts += 1
                assert attempts < 100, told
                before = len(heard)
                told = ask(pk=pk, seconds=chance.uniform(0.0, span))
                assert told["state"] != "cancelled"
                again = stored & set(heard[before:])
                assert not again, f"asked for again: {sorted(again)} (SEED={seed})"
                # The busier the machine is, the later it gets anywhere.
                span *= 1.2 if told["killed"] and len(told["stored"]) == len(stored) else 0.9
                stored = set(told["stored"])
                killed += told["killed"]
                wasted += len(heard) - before
            loads += 1
            row = Instrument(symbol=symbol)
            first, close = truth(gateway, row, "1m", midnight(days), DEFAULT_START_NS)
            assert told["start"] == first.tolist(), f"SEED={seed}"
            assert told["close"] == close.tolist(), f"SEED={seed}"
    finally:
        killer.stdin.close()
        killer.kill()
        killer.wait()
        gateway.stop()
    print(f"{killed} kills in {loads} loads, {wasted} requests")


@pytest.mark.django_db
def test_a_connection_that_ends_at_any_message_of_a_load_costs_no_bar(bars_root, monkeypatch):  # noqa: F811
    """Each message of the load in turn, or a sample of them."""
    every = max(1, int(os.environ.get("LOAD_DROP_EVERY", "9")))
    monkeypatch.setattr(loading, "FLUSH_BARS", 800)
    row = make.instrument("AAPL")

    def loaded(message):
        gateway = start_gateway(history_pacing=False, message_rate=0)
        try:
            with data_worker(gateway, monkeypatch) as connection:
                begun = connection.snapshot().messages_in
                if message:
                    gateway.faults.drop(message=begun + message)
                run = load(row, "5m", "full", start=day(40))
                while run.state == "queued":  # the connection ended before anything was planned
                    connection.wait_ready(20.0)
                    run = load(row, "5m", "full", start=day(40))
                assert run.outcome == "complete", (message, run.error, run.waits_for)
                start, close = truth(gateway, row, "5m", midnight(40), DEFAULT_START_NS)
                assert np.array_equal(held(row, "5m").start, start), message
                assert np.array_equal(held(row, "5m").close, close), message
                return connection.snapshot().messages_in - begun
        finally:
            gateway.stop()
            for table in (LoadRun, ProvenRange, HeadTime, BarFile):
                table.objects.all().delete()

    messages = loaded(0)
    for message in range(1, messages + 1, every):
        loaded(message)
    assert messages > 5
