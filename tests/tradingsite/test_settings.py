"""What the settings refuse, and that their advice works."""

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def start_site(code: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    paths = {"DJANGO_SETTINGS_MODULE": "tradingsite.settings", "PYTHONPATH": str(ROOT)}
    where = os.environ | paths | {"DEBUG": "false"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=cwd, env=where, **pipes)


def check_site(**environment: str) -> subprocess.CompletedProcess[str]:
    process = start_site("import django; django.setup()", **environment)
    out, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def test_a_site_with_a_short_key_does_not_start_and_the_advice_makes_a_good_one():
    refused = check_site(SECRET_KEY="short")
    assert refused.returncode == 1
    message = refused.stderr.splitlines()[-1]
    assert "shorter than 50 characters" in message
    program, *arguments = shlex.split(message.split("`")[1])
    assert program == "python"
    made = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout.strip()
    accepted = check_site(SECRET_KEY=made)
    assert accepted.returncode == 0, accepted.stderr


def test_the_example_environment_gives_the_same_advice():
    line = "python -c " + shlex.quote("import secrets; print(secrets.token_urlsafe(50))").replace("'", '"')
    assert f"`{line}`" in check_site(SECRET_KEY="short").stderr
    assert f"# {line}\n" in (ROOT / ".env.example").read_text()


def test_the_first_start_makes_a_key_that_only_its_owner_can_read_and_later_ones_keep_it(tmp_path):
    asked = "import django; from django.conf import settings; print(settings.SECRET_KEY)"
    several = [start_site(asked, VAR_DIR=str(tmp_path)) for _ in range(6)]
    keys = {process.communicate(timeout=60)[0].strip() for process in several}
    assert len(keys) == 1, "two processes that start at once agree on one key"
    assert len(keys.pop()) >= 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"secret_key"}


def test_a_relative_folder_is_the_same_one_for_processes_started_from_different_places(tmp_path):
    asked = "from django.conf import settings; print(settings.VAR_DIR, settings.PLUGINS_DIR)"
    relative = os.path.relpath(tmp_path / "state", ROOT)
    where = {"VAR_DIR": relative, "PLUGINS_DIR": "mine"}
    said = {start_site(asked, cwd, **where).communicate(timeout=60)[0].strip() for cwd in (ROOT, tmp_path)}
    assert said == {f"{tmp_path / 'state'} {ROOT / 'mine'}"}


def test_the_tests_run_on_the_database_that_was_asked_for(db):
    wanted = "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite"
    assert connection.vendor == wanted
    asked = "SELECT version()" if wanted == "postgresql" else "SELECT 'SQLite ' || sqlite_version()"
    with connection.cursor() as cursor:
        cursor.execute(asked)
        assert cursor.fetchone()[0].lower().startswith(wanted)
    assert "test" in connection.settings_dict["NAME"] or "memory" in connection.settings_dict["NAME"]
