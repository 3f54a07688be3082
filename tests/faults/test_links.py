"""The link on a real connection to the simulated gateway, over TCP, on both databases: whatever happens to either, the
row says so, and it is ready again by itself."""

from __future__ import annotations

import json
import time

import pytest

from tests.faults import processes
from tests.faults.stack import on_servers, running
from tests.tradingsite.test_leases import database  # noqa: F401

LIVE = """
import json, time
from django.conf import settings
from django.contrib.auth.models import User
from gateway.simulator.server import start_simulator
from tradingsite import linkrows, links
from tradingsite.models import GatewayLink, Lease

def wait(what, seconds=40):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, GatewayLink.objects.values().first()
        time.sleep(0.05)

def standing():
    return linkrows.standings()[0]

settings.IB_HEARTBEAT_SECONDS, settings.IB_HEARTBEAT_DEADLINE_SECONDS = 0.5, 0.5
with start_simulator() as gateway:
    settings.IB_PORT = gateway.port
    link = links.hold("data")
    wait(lambda: standing().ok)
    row = GatewayLink.objects.get()
    assert row.accounts == ["DU1000001"] and row.account_kind == "simulated", row.accounts
    assert row.server_version == 176 and row.client_id == 11 and row.epoch == 1
    wait(lambda: GatewayLink.objects.get().heartbeat is not None)
    assert links.connection("data") is not None

    gateway.faults.stall(4)
    wait(lambda: standing().state in ("stale", "down"))
    wait(lambda: standing().ok)

    linkrows.ask_to_reconnect(person=User.objects.create_user("tess"))
    wait(lambda: GatewayLink.objects.get().disconnect_done is not None)
    wait(lambda: standing().ok)
    wait(lambda: GatewayLink.objects.get().reconnects >= 2)

    Lease.objects.update(holder="another", epoch=7)
    wait(lambda: links.connection("data") is None)
    Lease.objects.update(holder="", expires=None)
    wait(lambda: standing().ok and GatewayLink.objects.get().epoch == 8)
    port = gateway.port

wait(lambda: standing().state == "down")
gone = standing()
assert gone.cause and gone.remedy, gone
with start_simulator(port=port):
    wait(lambda: standing().ok)
    links.let_go()
    row, lease = GatewayLink.objects.get(), Lease.objects.get()
    print(json.dumps([row.state, row.notice_counts, lease.holder, lease.epoch, gone.cause]))
"""


@pytest.mark.slow
def test_whatever_the_gateway_does_the_row_says_so_and_it_is_ready_again(database, tmp_path):  # noqa: F811
    where = processes.environment(tmp_path / "state", database) | {"TRADING_MODE": "simulated"}
    state, counted, holder, epoch, _cause = json.loads(processes.run(LIVE, where).splitlines()[-1])
    assert (state, holder, epoch) == ("off", "", 8)
    assert sum(counted.values()) > 0


LOOK = """
import json
from tradingsite import linkrows
found = linkrows.standings()[0]
row = found.row
print(json.dumps([found.state, row.epoch if row else 0, row.holder if row else "", found.cause]))
"""


@pytest.mark.faults
@pytest.mark.parametrize("servers", ["sqlite and the embedded queue", "postgresql and redis"])
def test_a_killed_holder_or_gateway_is_there_again(tmp_path, servers):
    with on_servers(servers, tmp_path) as stack:
        with running(stack):

            def wait(what, seconds=90):
                began = time.monotonic()
                while not what(found := json.loads(processes.run(LOOK, stack.where))):
                    assert time.monotonic() - began < seconds, (found, stack.log.read_text()[-2000:])
                    time.sleep(0.2)
                return found, time.monotonic() - began

            def kill(role):
                for pid in [pid for pid, found in stack.processes().items() if found == role]:
                    stack.kill(pid)

            (_, epoch, holder, _), took = wait(lambda found: found[0] == "ready")
            print(f"\n{servers}: ready {took:.1f} s after the first page")
            kill("data")
            (_, later, successor, _), took = wait(lambda found: found[0] == "ready" and found[1] > epoch)
            print(f"{servers}: ready again {took:.1f} s after its holder was killed")
            assert later == epoch + 1 and successor != holder
            kill("simulator")
            wait(lambda found: found[0] != "ready")
            _, took = wait(lambda found: found[0] == "ready")
            print(f"{servers}: ready {took:.1f} s after the gateway was killed and seen to be down")
        state, _, _, cause = json.loads(processes.run(LOOK, stack.where))
        assert state == "off", cause
