"""The state file: nothing that a client was told is lost, whatever kills the process; a bad file is refused plainly."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domain.errors import BadInput
from gateway.simulator.clock import ManualClock
from gateway.simulator.commissions import base_of
from gateway.simulator.exchange import AccountSettings, Exchange, State
from tests.gateway.simulator.exchange_checks import check, last_revisions
from tests.gateway.simulator.exchange_victim import ACCOUNTS, MARKET_SEED
from tests.gateway.simulator.exchange_words import ACCOUNT, CLIENT, make, order, place, values, wait
from tests.gateway.simulator.fake_market import OPEN, SECOND, FakeMarket

ROOT = Path(__file__).parents[3]


def reopened(exchange, path, **more):
    exchange.close()
    return make(exchange.market, start_ns=exchange.now_ns, state=State(path), **more)


def test_orders_positions_money_and_ids_outlive_a_restart(tmp_path):
    path = tmp_path / "state"
    exchange = make(state=State(path))
    place(exchange, 1)
    place(exchange, 2, kind="LMT", limit_price=90, tif="GTC", order_ref="mine")
    place(exchange, 3, transmit=False)
    wait(exchange, 2)
    perm_id = exchange.find_order(CLIENT, 2).perm_id
    exchange = reopened(exchange, path)
    assert [(placed.perm_id, placed.request.order_ref) for placed in exchange.open_orders()] == [(perm_id, "mine")]
    assert [placed.completed_status for placed in exchange.completed_orders()] == ["Filled Size: 100"]
    assert exchange.holdings(ACCOUNT)[0].quantity == 100
    assert values(exchange)["TotalCashValue"] == "89999.00"
    assert exchange.next_order_id(CLIENT) == 4
    (execution,) = exchange.executions()
    assert exchange.commission_of(execution.exec_id).commission == 1.0
    assert exchange.correct(execution.exec_id, 100, 99.0, exchange.now_ns)
    assert values(exchange)["TotalCashValue"] == "90099.00"
    assert place(exchange, 3, quantity=100, transmit=True)[0] == "open 3 PreSubmitted"


def test_what_came_due_while_the_exchange_was_down_happens_when_it_is_back(tmp_path):
    path = tmp_path / "state"
    exchange = make(state=State(path))
    place(exchange, 1)
    exchange = reopened(exchange, path)
    assert wait(exchange, 5)[0] == "exec BOT 100 @ 100"


def test_a_new_account_gets_its_deposit_once(tmp_path):
    path = tmp_path / "state"
    exchange = make(state=State(path))
    exchange = reopened(exchange, path, accounts=(ACCOUNT, "DU2"))
    exchange = reopened(exchange, path, accounts=(ACCOUNT, "DU2"))
    deposits = [(entry["account"], entry["amount"]) for entry in exchange.ledger.of("cash", reason="deposit")]
    assert deposits == [(ACCOUNT, 100_000.0), ("DU2", 100_000.0)]
    with pytest.raises(BadInput, match="keeps account DU2, which is not among these"):
        reopened(exchange, path)


def test_what_was_to_be_told_is_told_once_it_could_be_written(tmp_path, monkeypatch):
    exchange = make(state=State(tmp_path / "state"))
    place(exchange, 1)
    write = State.write

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(State, "write", full)
    with pytest.raises(sqlite3.OperationalError):
        wait(exchange, 1)
    monkeypatch.setattr(State, "write", write)
    assert wait(exchange, 1)[0] == "exec BOT 100 @ 100"


def test_one_file_serves_one_exchange(tmp_path):
    path = tmp_path / "state"
    first = make(state=State(path))
    with pytest.raises(BadInput, match="in use by another process"):
        State(path)
    first.close()
    State(path).close()


def test_a_newer_file_is_refused(tmp_path):
    path = tmp_path / "state"
    make(state=State(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(BadInput, match="its version is 99 and this program knows 1"):
        State(path)


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "state"
    with sqlite3.connect(path) as connection:
        connection.execute("create table theirs (x)")
    connection.close()
    with pytest.raises(BadInput, match="belongs to another program"):
        State(path)
    path.write_bytes(b"")
    for left in path.parent.glob("state-*"):
        left.unlink()
    path.write_text("not a database at all, but long enough to be one" * 100)
    with pytest.raises(BadInput, match="no SQLite file"):
        State(path)


def test_a_damaged_file_is_refused_or_right_but_never_silently_wrong(tmp_path):
    path = tmp_path / "state"
    exchange = make(state=State(path))
    for n in range(1, 40):
        place(exchange, n)
        wait(exchange, 2)
    truth = repr(list(exchange.ledger)), exchange.books.cash, exchange.holdings(ACCOUNT)
    exchange.close()
    whole = path.read_bytes()
    seed = int(os.environ.get("DAMAGE_SEED", random.randrange(1 << 30)))
    print(f"DAMAGE_SEED={seed}")
    chance = random.Random(seed)
    market, refused = FakeMarket(), 0
    for _ in range(int(os.environ.get("EXCHANGE_DAMAGES", "150"))):
        damaged = bytearray(whole)
        at, length = chance.randrange(len(damaged)), chance.choice([1, 1, 64])
        for n in range(at, min(at + length, len(damaged))):
            damaged[n] ^= chance.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            again = make(market, state=State(path))
        except BadInput as error:
            assert "state" in str(error)
            assert "in use" not in str(error)
            refused += 1
        else:
            held = [each._replace(listing=None) for each in again.holdings(ACCOUNT)]
            assert (repr(list(again.ledger)), again.books.cash) == truth[:2]
            assert held == [each._replace(listing=None) for each in truth[2]]
            again.close()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput):
        make(market, state=State(path))
    assert refused > 30


@pytest.mark.parametrize("_", range(5))
def test_a_kill_at_any_moment_loses_nothing_that_was_told(tmp_path, _):
    kill_and_look(tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("_", range(int(os.environ.get("EXCHANGE_KILLS", "200"))))
def test_no_more_do_many_kills(tmp_path, _):
    kill_and_look(tmp_path)


def kill_and_look(tmp_path):
    seed = int(os.environ.get("KILL_SEED", random.randrange(1 << 30)))
    print(f"KILL_SEED={seed}")
    path = tmp_path / "state"
    chance = random.Random(seed)
    command = [sys.executable, "-m", "tests.gateway.simulator.exchange_victim", str(path), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
        first = victim.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.3))
        victim.kill()
        lines = [first, *victim.stdout]
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    market = FakeMarket(seed=MARKET_SEED)
    exchange = Exchange(market, ManualClock(OPEN), ACCOUNTS, state=State(path))
    check(exchange, market)
    executions = last_revisions(exchange.ledger)
    revisions = {entry["exec_id"]: entry for entry in exchange.ledger.of("execution")}
    accepted = {entry["perm_id"] for entry in exchange.ledger.of("order")}
    ended = {entry["perm_id"]: entry["status"] for entry in exchange.ledger.of("end")}
    charged = {base_of(entry["exec_id"]) for entry in exchange.ledger.of("commission")}
    for what, *rest in told:
        if what == "open":
            assert rest[0] in accepted
        elif what == "status" and rest[1] in ("Filled", "Cancelled"):
            assert ended[rest[0]] == rest[1]
        elif what == "exec":
            exec_id, quantity, price = rest
            assert (revisions[exec_id]["quantity"], revisions[exec_id]["price"]) == (quantity, price)
            assert base_of(exec_id) in executions
        elif what == "fee":
            assert base_of(rest[0]) in charged
        elif what == "id":
            assert exchange.next_order_id(1) >= rest[0]
    exchange.close()


def test_a_call_that_changes_nothing_writes_nothing(tmp_path, monkeypatch):
    exchange = make(state=State(tmp_path / "state"))
    place(exchange, 1, kind="TRAIL", action="SELL", aux_price=1.0)
    monkeypatch.setattr(State, "write", lambda *_: pytest.fail("it wrote"))
    for _ in range(50):
        exchange.advance(exchange.now_ns + SECOND // 4)


def test_settings_of_accounts_are_checked():
    with pytest.raises(BadInput, match="cash must be a number"):
        AccountSettings(cash=float("nan"))
    with pytest.raises(BadInput, match="at least one account"):
        Exchange(FakeMarket(), ManualClock(OPEN), {})
    assert order(1).order_id == 1
