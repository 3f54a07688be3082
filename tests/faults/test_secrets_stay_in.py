"""What an installation must not tell: its keys and passwords stand in no log, answer, or file of a run."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import requests

from tests.faults import processes
from tests.faults.stack import Stack, running

KEY = "canary-key-" + "k7Qx" * 14
METRICS = "canary-metrics-u8Wz2"
PASSWORD = "canary-password-e5Rt1"
BROKER = "canary-broker-p3Lm9"
PERSON = """
from django.contrib.auth.models import User
from tradingsite.models import ApiToken
from tradingsite.roles import write_roles
write_roles()
ann = User.objects.create_superuser("ann", password=sys.argv[1])
print(ApiToken.objects.create(ann, name="script", scope="admin")[1])
"""
ENDED = """
import json
from strategies.models import Backtest
print(json.dumps(list(Backtest.objects.values_list("state", flat=True))))
"""


def log_in(site: str, password: str) -> tuple[requests.Session, requests.Response]:
    browser = requests.Session()
    form = browser.get(f"{site}/admin/login/", timeout=30)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)[1]
    fields = {"csrfmiddlewaretoken": token, "username": "ann", "password": password, "next": "/"}
    return browser, browser.post(f"{site}/admin/login/", fields, timeout=30)


def answers(site: str, token: str) -> list[requests.Response]:
    """A login and a wrong one, pages, and calls of the API by a token, a wrong one and none; good ones and bad ones."""
    browser, entered = log_in(site, PASSWORD)
    found = [entered, log_in(site, PASSWORD + "x")[1]]
    pages = ("", "health/", "account/", "runs/", "nothing/", "search/?q=%00", "admin/", "instruments/999/", "metrics")
    found += [browser.get(f"{site}/{page}", timeout=30) for page in pages]
    found += [requests.get(f"{site}/metrics", headers={"Authorization": f"Bearer {METRICS}"}, timeout=30)]
    asked = [{"strategy": "brooding", "symbols": ["ABC"], "params": params} for params in ({}, {"window": 0}, {"x": 1})]
    for secret in (token, token[:-1] + "x", ""):
        headers = {"Authorization": f"Token {secret}"} if secret else {}
        found += [
            requests.get(f"{site}/api/v1/{name}", headers=headers, timeout=30) for name in ("runs", "x", "accounts")
        ]
        found += [requests.post(f"{site}/api/v1/backtests", json=each, headers=headers, timeout=30) for each in asked]
    assert {200, 401, 404, 400} <= {each.status_code for each in found}
    return found


@pytest.mark.faults
@pytest.mark.slow
def test_no_log_answer_or_run_tells_a_secret_of_the_installation(tmp_path):
    secrets = {"SECRET_KEY": KEY, "METRICS_TOKEN": METRICS, "IB_PASSWORD": BROKER, "AWS_SECRET_ACCESS_KEY": BROKER}
    told = {"DEBUG": "false", "LOG_LEVEL": "debug", "LOG_FORMAT": "json"}
    stack = Stack(tmp_path / "state", **secrets, **told)
    with running(stack):
        token = processes.run(PERSON, stack.where, PASSWORD).strip()
        found = answers(f"http://127.0.0.1:{stack.port}", token)
        end = time.monotonic() + 60
        while {"queued", "running"} & (states := set(json.loads(processes.run(ENDED, stack.where)))):
            assert time.monotonic() < end, states
            time.sleep(0.5)
    assert states == {"succeeded", "failed"}
    texts = {f"answer {each.status_code} of {each.url}": f"{each.headers}\n{each.text}".encode() for each in found}
    texts |= {str(path): path.read_bytes() for path in files(stack.state)}
    assert stack.log.stat().st_size > 1_000
    assert any(path.endswith("log.jsonl") for path in texts)
    canaries = {"key": KEY, "metrics": METRICS, "password": PASSWORD, "broker": BROKER, "token": token}
    hits = [(name, where) for where, text in texts.items() for name, each in canaries.items() if each.encode() in text]
    assert hits == []


def files(state: Path) -> list[Path]:
    """All that the stack wrote, the database too: of a password and a token it keeps digests alone."""
    return [path for path in state.rglob("*") if path.is_file()]
