"""What the settings refuse, and that their advice works."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def check_site(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import django; django.setup()"]
    where = os.environ | {"DJANGO_SETTINGS_MODULE": "tradingsite.settings", "DEBUG": "false"} | environment
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("key", "fault"), [("", "SECRET_KEY is not set"), ("short", "shorter than 50 characters")])
def test_a_site_without_a_good_key_does_not_start_and_the_advice_makes_one(key, fault):
    refused = check_site(SECRET_KEY=key)
    assert refused.returncode == 1
    message = refused.stderr.splitlines()[-1]
    assert fault in message
    program, *arguments = shlex.split(message.split("`")[1])
    assert program == "python"
    made = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout.strip()
    accepted = check_site(SECRET_KEY=made)
    assert accepted.returncode == 0, accepted.stderr


def test_the_example_environment_gives_the_same_advice():
    line = "python -c " + shlex.quote("import secrets; print(secrets.token_urlsafe(50))").replace("'", '"')
    assert f"`{line}`" in check_site(SECRET_KEY="").stderr
    assert f"# {line}\n" in (ROOT / ".env.example").read_text()


def test_the_tests_run_on_the_database_that_was_asked_for(db):
    wanted = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    assert connection.vendor == wanted
    asked = "SELECT version()" if wanted == "postgresql" else "SELECT 'SQLite ' || sqlite_version()"
    with connection.cursor() as cursor:
        cursor.execute(asked)
        assert cursor.fetchone()[0].lower().startswith(wanted)
    assert "test" in connection.settings_dict["NAME"] or "memory" in connection.settings_dict["NAME"]
