"""Either library, loaded and used anywhere."""

import os
import subprocess
import sys

import pytest

from gateway.contract import Contract
from gateway.errors import BadFrame, OperatorNeeded
from gateway.library import RECEIVER_ZONE, load
from tests.gateway.gateways import LIBRARY


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["", "ibapi", "os", "ib_insync; import os"])
def test_a_library_that_is_not_known_is_refused_by_name(name):
    with pytest.raises(OperatorNeeded, match="unknown IB library"):
        load(name)


def test_it_is_imported_in_a_worker_thread():
    """ib_insync takes the thread's event loop when it is imported, and a worker thread has none."""
    code = f"""
import threading
from gateway.library import load
found = []
thread = threading.Thread(target=lambda: found.append(load({LIBRARY!r})))
thread.start(); thread.join()
print(found[0].name, found[0].versions[0])
"""
    assert run(code).split() == [LIBRARY, "157"]


def test_loading_it_leaves_the_callers_thread_without_a_loop():
    code = f"""
import asyncio, threading
from gateway.library import load
def work():
    load({LIBRARY!r})
    try:
        asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        print("none")
thread = threading.Thread(target=work); thread.start(); thread.join()
"""
    assert run(code).strip() == "none"


def test_a_fill_is_read_on_a_machine_without_a_database_of_time_zones():
    """Without one the libraries drop fills and let bars hang; the package tzdata stands in for it."""
    code = """
from tests.gateway.gateways import *
from tests.gateway.test_orders import MARKETABLE, trade
with start_gateway() as gateway, connected(gateway) as connection:
    heard = Heard(connection)
    trade(gateway, connection, MARKETABLE)
    print(heard.first(Executed).time_ns)
"""
    assert int(run(code, PYTHONTZPATH="", TZ="Asia/Tokyo", IB_LIBRARY=LIBRARY)) // 10**9 in range(
        1_772_636_400, 1_772_636_410
    )


def test_what_cannot_be_decoded_is_raised_and_not_logged():
    class Receiver:
        ib = RECEIVER_ZONE
        defaultTimezone = None  # noqa: N815 - the library's name

        def tickSize(self, *_):
            raise ZeroDivisionError("the receiver's own")

    codec = load(LIBRARY).codec(176, 1, lambda _: None, Receiver())
    with pytest.raises(BadFrame, match="cannot be read"):
        codec.read(["5", "1"])
    with pytest.raises(BadFrame, match="the receiver's own"):
        codec.read(["2", "6", "1", "8", "100"])


def test_each_request_is_one_message_handed_over_at_once():
    sent = []
    codec = load(LIBRARY).codec(176, 7, sent.append, object())
    codec.requests.startApi()
    contract = load(LIBRARY).contract(Contract(con_id=1, symbol="A", sec_type="STK", exchange="SMART", currency="USD"))
    codec.requests.reqContractDetails(5, contract)
    assert sent[0].split("\0") == ["71", "2", "7", "", ""]
    assert len(sent) == 2
