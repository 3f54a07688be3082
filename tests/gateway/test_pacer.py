import asyncio
import random

import pytest

from gateway.errors import ConnectionLost, Throttled
from gateway.pacer import Pacer, Priority


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes as soon as nothing else is left to do."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


def run(work):
    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(work)


def busiest_second(moments):
    return max(sum(moment <= other <= moment + 1.0 for other in moments) for moment in moments)


def test_no_second_holds_more_than_its_share_whatever_is_asked():
    async def work(seed):
        chance, pacer, sent = random.Random(seed), Pacer(45, 5), []

        async def ask():
            await asyncio.sleep(chance.random() * 3)
            await pacer.slot(chance.choice(list(Priority)))
            sent.append(asyncio.get_running_loop().time())

        await asyncio.gather(*(ask() for _ in range(400)))
        return sent

    for seed in range(5):
        sent = run(work(seed))
        assert len(sent) == 400
        assert busiest_second(sent) <= 45, seed


def test_orders_go_before_all_that_waits():
    async def work():
        pacer, order = Pacer(10, 2), []

        async def ask(priority):
            await pacer.slot(priority)
            order.append(priority)

        tasks = [asyncio.ensure_future(ask(Priority.REST)) for _ in range(30)]
        await asyncio.sleep(0)
        tasks += [
            asyncio.ensure_future(ask(priority)) for priority in (Priority.LIVE, Priority.HEARTBEAT, Priority.ORDER)
        ]
        await asyncio.gather(*tasks)
        return order

    order = run(work())
    # Eight went before; what is kept for orders and heartbeats lets them go at once.
    assert set(order[8:10]) == {Priority.ORDER, Priority.HEARTBEAT}
    assert order.index(Priority.LIVE) == 10


def test_slots_are_kept_for_orders():
    async def work():
        pacer = Pacer(10, 3)
        for _ in range(7):
            await pacer.slot(Priority.REST)
        assert pacer.take(3)
        assert not pacer.take()

    run(work())


def test_who_gives_up_takes_no_slot():
    async def work():
        pacer = Pacer(10, 0)
        for _ in range(10):
            await pacer.slot(Priority.REST)
        given_up = [asyncio.ensure_future(pacer.slot(Priority.REST)) for _ in range(50)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.sleep(1.1)
        assert pacer.take(10)

    run(work())


def test_a_closed_pacer_lets_nobody_wait():
    async def work():
        pacer = Pacer(10, 0, limit=3)
        for _ in range(10):
            await pacer.slot(Priority.REST)
        waiting = [asyncio.ensure_future(pacer.slot(Priority.REST)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Throttled):
            await pacer.slot(Priority.REST)
        assert pacer.waiting(Priority.REST) == 3
        pacer.close()
        for task in waiting:
            with pytest.raises(ConnectionLost):
                await task
        with pytest.raises(ConnectionLost):
            await pacer.slot(Priority.ORDER)

    run(work())
