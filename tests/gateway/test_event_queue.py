import threading

from gateway.codes import Family
from gateway.event_queue import EventQueue
from gateway.events import AccountValueReported, Notice
from tests.gateway.gateways import PATIENCE


def fact(number):
    return Notice(0, 1, number, 0, Family.NOTE, "", "", "", False, ())


def value(number):
    return AccountValueReported(number, "DU1", "NetLiquidation", "1", "USD")


def test_events_come_in_order_and_none_that_matters_is_dropped():
    queue = EventQueue(3)
    for number in range(10):
        queue.put(fact(number))
        queue.put(value(number))
    assert queue.dropped == 9
    assert len(queue) == 11
    taken = [queue.get(0) for _ in range(11)]
    assert [event.id for event in taken if isinstance(event, Notice)] == list(range(10))
    assert queue.get(0) is None


def test_who_waits_is_woken_by_an_event_and_by_the_end():
    queue, taken = EventQueue(10), []

    def take():
        while (event := queue.get()) is not None:
            taken.append(event)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(50):
        queue.put(fact(number))
    queue.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(event.id for event in taken) == list(range(50))
    assert queue.is_closed
