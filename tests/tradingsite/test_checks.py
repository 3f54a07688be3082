"""What `manage.py check` says of an installation, and that a good one is told nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tradingsite import checks

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "DEBUG": "false",
    "HTTPS": "true",
    "BEHIND_PROXY": "true",
    "SECRET_KEY": "kX9-vQ2_mZ7pL4wR8sT1yU6iO3aD5fG0hJbNcVeWqErTyUiOpAs",
    "ALLOWED_HOSTS": "desk.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://desk.example.org",
    "METRICS_TOKEN": "pN4-xY8_kL2mB6vC9zQ1wE5rT7",
    "REQUIRE_OTP": "true",
}


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "check", "--fail-level", "WARNING", *arguments]
    where = os.environ | {"DJANGO_SETTINGS_MODULE": "tradingsite.settings"} | environment
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_production_settings_pass_every_check_of_a_deployment(mode):
    done = check("--deploy", **PRODUCTION, TRADING_MODE=mode)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_the_settings_of_a_first_start_pass_the_usual_checks():
    assert check().returncode == 0


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WEB_BIND": "0.0.0.0:8000"}, "ibdesk.W001"),
        ({"WEB_BIND": "192.0.2.1:80"}, "ibdesk.W001"),
        ({"WEB_BIND": "0.0.0.0:8000", "HTTPS": "true", "DEBUG": "true"}, "ibdesk.W002"),
        ({"ALLOWED_HOSTS": "*"}, "ibdesk.W003"),
    ],
)
def test_a_site_that_others_can_reach_without_protection_is_told(environment, told):
    done = check(**environment)
    assert done.returncode == 1
    assert told in done.stderr


def test_live_trading_without_a_second_factor_is_told_at_deployment():
    assert "ibdesk.W005" in check("--deploy", **PRODUCTION | {"REQUIRE_OTP": "false"}, TRADING_MODE="live").stderr


def test_a_key_that_others_can_read_is_told(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    assert checks.check_key_file(None) == []
    key = tmp_path / "secret_key"
    key.write_text("x")
    key.chmod(0o600)
    assert checks.check_key_file(None) == []
    key.chmod(0o640)
    assert [each.id for each in checks.check_key_file(None)] == ["ibdesk.W004"]


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [
        ("127.0.0.1:8000", True),
        ("127.8.8.8:1", True),
        ("localhost:8000", True),
        ("[::1]:8000", True),
        ("unix:/run/ibdesk.sock", True),
        ("0.0.0.0:8000", False),
        ("[::]:8000", False),
        (":8000", False),
        ("10.0.0.5:8000", False),
        ("desk.example.org:443", False),
    ],
)
def test_what_only_this_machine_can_reach(bind, loopback):
    assert checks.is_loopback(bind) is loopback


def test_cookies_travel_by_https_alone_and_no_neighbour_can_set_them():
    script = """
import django; django.setup()
from django.conf import settings as s
print(s.SESSION_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY, s.SESSION_COOKIE_SAMESITE,
      s.SESSION_COOKIE_AGE, s.CSRF_COOKIE_NAME, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS)
"""
    where = os.environ | {"DJANGO_SETTINGS_MODULE": "tradingsite.settings"} | PRODUCTION
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=where, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == (
        ["__Host-sessionid", "True", "True", "Lax", "28800", "__Host-csrftoken", "True", "True", "31536000"]
    )
