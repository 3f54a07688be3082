"""No secret in the repository, and none of the environment in a row."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from django.apps import apps
from django.core.serializers import serialize

from marketdata.models import BarImport
from strategies.models import Backtest
from tests.tradingsite.people import PASSWORD, person
from tradingsite import attempts, scrubbing

ROOT = Path(__file__).resolve().parents[2]
CANARIES = {
    "DATABASE_URL": "postgres://desk:canary-database-1@db/desk",
    "CELERY_BROKER_URL": "redis://:canary-broker-2@queue/0",
    "AWS_SECRET_ACCESS_KEY": "canary-bucket-3",
    "METRICS_TOKEN": "canary-metrics-4",
    "SECRET_KEY": "canary-site-5" * 5,
}
SHAPES = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})\b",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a bot token of Telegram": r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b",
    "a signed web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    "a password in an address": r"\b[a-z]+://[^\s:/@'\"{}]+:(?!\*\*\*|pass(?:word)?@|\{)[^\s@/'\"{}]{6,}@(?!db\b|queue\b)[a-z0-9.-]+",
}


def tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.decode().split("\0") if name]


def shapes_in(text: str) -> list[str]:
    return [name for name, pattern in SHAPES.items() if re.search(pattern, text)]


def test_no_tracked_file_holds_a_secret():
    files = tracked_files()
    assert len(files) > 150
    for path in files:
        if (
            path.is_file() and path != Path(__file__) and path.parent.name != "tradingsite"
        ) or "tests" not in path.parts:
            assert shapes_in(path.read_text(errors="ignore")) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "id = AKIA" + "ABCDEFGHIJ234567",
        "ghp_" + "a" * 36,
        "123456789:" + "A" * 35,
        "postgres://desk:hunter2hunter@prod.example.org/desk",
    ],
)
def test_the_search_finds_secrets(text):
    assert shapes_in(text)


def test_no_env_file_key_or_database_is_tracked():
    for path in tracked_files():
        assert path.name != ".env"
        assert path.suffix not in {".pem", ".key", ".sqlite3", ".p12"}, path
        assert path.name != "secret_key", path


@pytest.mark.django_db
def test_no_secret_of_the_environment_is_in_a_row(client, monkeypatch):
    """Runs that fail with it, requests that send it, logins that mistype it: then every row of every table is read."""
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    scrubbing._known_values.cache_clear()
    run = BarImport.objects.create(name="a.csv")

    def work(attempt):
        attempt.write(" ".join(os.environ.values()))
        raise RuntimeError(f"cannot reach {CANARIES['DATABASE_URL']} and {CANARIES['AWS_SECRET_ACCESS_KEY']}")

    attempts.perform(BarImport, run.pk, work)
    backtest = Backtest.objects.create(directory="r1", strategy="s", timeframe="1d")
    attempts.perform(Backtest, backtest.pk, work)
    person("viewer", "vera")
    for password in (CANARIES["METRICS_TOKEN"], PASSWORD):
        client.post("/admin/login/", {"username": "vera", "password": password, "code": ""})
    client.get("/account/", headers={"Authorization": f"Bearer {CANARIES['METRICS_TOKEN']}"})
    rows = "".join(serialize("json", model._default_manager.all()) for model in apps.get_models())
    assert "cannot reach" in rows
    for canary in ("canary-database-1", "canary-broker-2", "canary-bucket-3", "canary-metrics-4", "canary-site-5"):
        assert canary not in rows
    scrubbing._known_values.cache_clear()
