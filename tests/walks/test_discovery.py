"""A new symbol on a running stack: asked for by command and through the API, answered by its data worker."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import pytest

from tests.faults import processes
from tests.faults.stack import ROOT, SERVERS, Stack, on_servers, running

TOKEN = """
from tests.tradingsite.people import person
from tradingsite.models import ApiToken
print(ApiToken.objects.create(person("researcher"), name="walk", scope="researcher")[1])
"""


def discover(stack: Stack, *args: str) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "manage.py"), "ib_discover", *args]
    done = subprocess.run(command, env=stack.where, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def post(stack: Stack, token: str, document: dict[str, str]) -> tuple[int, dict]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/api/v1/ib/symbols/discover",
        json.dumps(document).encode(),
        {"Content-Type": "application/json", "Authorization": f"Token {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, json.loads(answer.read())


@pytest.mark.slow
@pytest.mark.parametrize("servers", SERVERS)
def test_a_new_symbol_needs_no_file_and_no_row_made_by_hand(tmp_path, servers):
    with on_servers(servers, tmp_path) as stack, running(stack):
        code, text = discover(stack, "EURUSD")
        assert (code, text.splitlines()[0]) == (0, "EURUSD: EUR against USD, forex on IDEALPRO in USD")
        code, text = discover(stack, "TSLA", "--json")
        assert code == 0 and json.loads(text)["kind"] == "stock"
        code, text = discover(stack, "ES")
        assert code == 3 and "name one by --con-id" in text
        assert discover(stack, "QQQX")[0] == 1
        token = processes.run(TOKEN, stack.where).strip()
        status, found = post(stack, token, {"symbol": "MSFT"})
        assert (status, found["instrument"]["symbol"], found["ambiguous"]) == (200, "MSFT", False)
    assert "Traceback" not in stack.log.read_text()
