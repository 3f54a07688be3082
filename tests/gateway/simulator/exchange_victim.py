"""An exchange that works at random and says on standard output what it told its clients, until somebody kills it.

python -m tests.gateway.simulator.exchange_victim STATE SEED
"""

import json
import random
import sys

from gateway.simulator.clock import ManualClock
from gateway.simulator.exchange import AccountSettings, Exchange, FillPolicy, State
from gateway.simulator.records import Changed, Charged, Executed, Opened, WireOrder
from tests.gateway.simulator.fake_market import AAA, BBB, OPEN, SECOND, FakeMarket

ACCOUNTS = {"DU1": AccountSettings(cash=10_000_000.0)}
MARKET_SEED = 3


def told(facts):
    for fact in facts:
        if isinstance(fact, Opened):
            yield ["open", fact.order.perm_id]
        elif isinstance(fact, Changed):
            yield ["status", fact.perm_id, str(fact.status), fact.filled]
        elif isinstance(fact, Executed):
            yield ["exec", fact.execution.exec_id, fact.execution.quantity, fact.execution.price]
        elif isinstance(fact, Charged):
            yield ["fee", fact.report.exec_id, fact.report.commission]


def act(exchange, chance, order_id):
    choice = chance.random()
    now_ns = exchange.now_ns
    if choice < 0.5:
        listing = chance.choice([AAA, BBB])
        kind = chance.choice(["MKT", "LMT"])
        limit = exchange.mark(listing.con_id, now_ns) + chance.randint(-5, 5) * 0.01
        request = WireOrder(
            order_id, listing.contract, chance.choice(["BUY", "SELL"]), 100, kind, limit_price=round(limit, 2)
        )
        return exchange.place(1, request, now_ns)
    if choice < 0.6:
        return exchange.cancel(1, chance.randint(1, order_id), now_ns)
    if choice < 0.65 and exchange.executions():
        execution = chance.choice(exchange.executions())
        return exchange.correct(execution.exec_id, chance.choice([0.0, 50.0, 100.0]), execution.price, now_ns)
    return exchange.advance(now_ns + chance.randint(1, 20) * SECOND // 4)


def main(path, seed):
    chance = random.Random(seed)
    clock = ManualClock(OPEN)
    policy = FillPolicy(part_size=30, commission_delay_seconds=0.5)
    exchange = Exchange(FakeMarket(seed=MARKET_SEED), clock, ACCOUNTS, policy=policy, state=State(path))
    while True:
        order_id = exchange.next_order_id(1)
        try:
            facts = act(exchange, chance, order_id)
        except ValueError:
            continue
        lines = [json.dumps(each) for each in told(facts)]
        lines.append(json.dumps(["id", exchange.next_order_id(1)]))
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
