"""One form for all lines, what is worked on stands in them, and no secret does."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.test import override_settings
from django.urls import path

from marketdata.models import BarImport
from strategies.models import Backtest
from tradingsite import attempts, logs, scrubbing

ROOT = Path(__file__).resolve().parents[2]
CANARY = "c4n4ry-9f8e7d6c5b4a"
log = logging.getLogger("tradingsite.test")


@pytest.fixture(params=["text", "json"])
def lines(request, monkeypatch):
    """What is written from here on, by any logger at any level."""
    monkeypatch.setenv("DATABASE_URL", f"postgres://desk:{CANARY}@db/desk")
    scrubbing._known_values.cache_clear()
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.Formatter(request.param))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written.getvalue
    root.removeHandler(handler)
    root.setLevel(before)
    scrubbing._known_values.cache_clear()


@pytest.fixture
def json_lines():
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.Formatter("json"))
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_text_line_says_when_how_bad_who_and_what():
    record = logging.LogRecord("marketdata.store", logging.WARNING, __file__, 1, "%s is gone", ("AAPL",), None)
    with logs.bound(run_id="r1", symbols="AAPL, MSFT", timeframe="1d", empty=""):
        line = logs.Formatter("text").format(record)
    when, rest = line.split(" ", 1)
    assert when.endswith("Z")
    assert rest == "warning  marketdata.store: AAPL is gone run_id=r1 symbols=AAPL, MSFT timeframe=1d"


def test_a_json_line_is_one_object_with_the_same():
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "broken\nhere", None, None)
    with logs.bound(run_id="r1"):
        line = logs.Formatter("json").format(record)
    held = json.loads(line)
    assert {name: held[name] for name in ("level", "logger", "event", "run_id")} == {
        "level": "error",
        "logger": "x",
        "event": "broken\nhere",
        "run_id": "r1",
    }
    assert "\n" not in line


def test_nobody_writes_a_line_of_their_own_into_the_log():
    record = logging.LogRecord(
        "x", logging.INFO, __file__, 1, "user %s", ("vera\n2026 info x: all is fine\x1b[2J",), None
    )
    line = logs.Formatter("text").format(record)
    assert "\n" not in line
    assert "\x1b" not in line


def test_what_is_bound_ends_with_its_block_and_stays_in_its_thread(json_lines):
    with logs.bound(run_id="r1"):
        other = threading.Thread(target=lambda: log.info("elsewhere"))
        other.start()
        other.join()
        log.info("inside")
        logs.bind(user="vera")
    log.info("after")
    assert [line.get("run_id") for line in json_lines()] == [None, "r1", None]
    assert "user" not in json_lines()[-1]


def _fails_with_secrets() -> None:
    password = CANARY
    raise ValueError(f"no login with password={password} at postgres://desk:{CANARY}@db")


def test_no_secret_in_a_call_an_argument_or_a_traceback(lines):
    log.info("plain %s", CANARY)
    log.info("password=%s", "another-secret-1234")
    log.warning("headers %s", {"Authorization": "Token abcdef0123456789abcdef"})
    log.warning("body %(password)s", {"password": CANARY})
    try:
        _fails_with_secrets()
    except ValueError:
        log.exception("login failed")
    log.info("with a stack", stack_info=True)
    text = lines()
    for secret in (CANARY, "another-secret-1234", "abcdef0123456789abcdef"):
        assert secret not in text
    assert "ValueError: no login" in text
    assert "_fails_with_secrets" in text


def test_arguments_that_do_not_fit_are_shown_without_secrets_instead_of_printed_by_logging():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%d bars", ("password=x1234567",), None)
    assert logs.Formatter("text").format(record).endswith("x: %d bars ('password=***',)")


def test_no_secret_in_what_celery_says_of_a_failed_task(lines):
    from tradingsite.celery import app

    @app.task(name="tests.fails")
    def fails(token, password=""):
        local = token
        raise RuntimeError(f"token={local} was refused")

    fails.apply(args=["tok-1234567890"], kwargs={"password": CANARY}, throw=False)
    del app.tasks["tests.fails"]
    text = lines()
    assert "was refused" in text
    assert CANARY not in text
    assert "tok-1234567890" not in text


def _breaks(request):
    token = request.GET["token"]
    raise RuntimeError(f"cannot use token={token}")


urlpatterns = [path("breaks/", _breaks)]
_breaks.login_required = False


@pytest.mark.django_db
def test_no_secret_of_a_request_in_a_line(lines, client):
    client.raise_request_exception = False
    with override_settings(ROOT_URLCONF=__name__):
        headers = {"Authorization": "Token abcdef0123456789abcdef", "Cookie": "sessionid=deadbeef0123"}
        failed = client.get("/breaks/?token=query-canary-77", headers=headers)
        client.get("/nowhere/?token=query-canary-77", headers=headers)
    assert failed.status_code == 500
    text = lines()
    assert "/breaks/" in text
    assert "/nowhere/" in text
    assert "cannot use token=" in text
    for secret in ("query-canary-77", "abcdef0123456789abcdef", "deadbeef0123"):
        assert secret not in text
        assert secret.encode() not in failed.content


@pytest.mark.django_db
def test_every_line_of_a_request_has_its_id_and_its_user(json_lines, client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("vera"))
    answer = client.get("/account/")
    line = next(line for line in json_lines() if line["logger"] == "tradingsite.requests")
    assert line["request_id"] == answer["X-Request-ID"]
    assert line["user"] == "vera"
    assert line["event"].startswith("GET /account/ 200 in ")


def test_a_request_id_is_taken_from_a_proxy_alone(client, settings):
    sent = {"X-Request-ID": "from-outside-1"}
    assert client.get("/healthz/live", headers=sent)["X-Request-ID"] != "from-outside-1"
    settings.BEHIND_PROXY = True
    assert client.get("/healthz/live", headers=sent)["X-Request-ID"] == "from-outside-1"
    assert client.get("/healthz/live", headers={"X-Request-ID": "a b\tc"})["X-Request-ID"] != "a b\tc"


@pytest.mark.django_db
def test_lines_of_a_run_carry_its_id_instruments_and_timeframe(json_lines):
    row = Backtest.objects.create(directory="r-17", strategy="ma_crossover", timeframe="1d", instruments="AAPL, MSFT")
    attempts.perform(Backtest, row.pk, lambda attempt: log.info("half way"))
    line = next(line for line in json_lines() if line["event"] == "half way")
    assert (line["run_id"], line["symbols"], line["timeframe"]) == ("r-17", "AAPL, MSFT", "1d")


@pytest.mark.django_db
def test_a_run_that_fails_with_a_secret_keeps_it_out_of_its_row(lines):
    row = BarImport.objects.create(name="a.csv")

    def work(attempt):
        attempt.write(f"asking with token={CANARY}")
        _fails_with_secrets()

    attempts.perform(BarImport, row.pk, work)
    row.refresh_from_db()
    assert row.state == "failed"
    assert "no login" in row.error
    assert "_fails_with_secrets" in row.log_tail
    for text in (row.error, row.log_tail, lines()):
        assert CANARY not in text


SAYS = """
import django, logging, sys
django.setup()
logging.getLogger("ours").warning("password=%s", "x1234567")
logging.getLogger("ours").info("quiet unless asked")
logging.getLogger("django.request").error("theirs")
logging.getLogger("celery.worker").warning("its")
"""


def start(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    where = os.environ | {"DJANGO_SETTINGS_MODULE": "tradingsite.settings"} | environment
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=where, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_environment_chooses_form_and_level_for_every_logger():
    said = start(SAYS, LOG_FORMAT="json", LOG_LEVEL="info").stderr.splitlines()
    held = [json.loads(line) for line in said]
    assert [(line["logger"], line["event"]) for line in held] == [
        ("ours", "password=***"),
        ("ours", "quiet unless asked"),
        ("django.request", "theirs"),
        ("celery.worker", "its"),
    ]
    text = start(SAYS).stderr.splitlines()
    assert [line.split(" ", 1)[1] for line in text] == [
        "warning  ours: password=***",
        "error    django.request: theirs",
        "warning  celery.worker: its",
    ]


@pytest.mark.parametrize(("name", "value"), [("LOG_FORMAT", "xml"), ("LOG_LEVEL", "loud")])
def test_an_unknown_form_or_level_is_refused_at_start(name, value):
    refused = start("import django; django.setup()", **{name: value})
    assert refused.returncode == 1
    assert f"{name} is '{value}'" in refused.stderr.splitlines()[-1]


def test_celery_sets_up_no_logging_of_its_own():
    script = """
import logging
from tradingsite.celery import app
import django
django.setup()
app.log.setup(loglevel="info")
root = logging.getLogger()
print([type(each.formatter).__name__ for each in root.handlers], logging.getLevelName(root.level))
print(logging.getLogger("celery.task").handlers, logging.getLogger("celery").handlers)
"""
    said = start(script, LOG_LEVEL="error").stdout.splitlines()
    assert said[0] == "['Formatter'] ERROR"
    assert "StreamHandler" not in said[1]


def test_gunicorn_speaks_in_our_form(monkeypatch, capfd):
    from gunicorn.config import Config

    monkeypatch.setenv("LOG_FORMAT", "json")
    config = Config()
    config.set("accesslog", "-")
    config.set("logger_class", "tradingsite.gunicorn_logs.Logger")
    logger = config.logger_class(config)
    logger.info("Listening, password=%s", "x1234567")
    logger.access_log.info('"GET /x?token=abcd1234 HTTP/1.1" 200')
    out, errors = capfd.readouterr()
    assert json.loads(errors)["event"] == "Listening, password=***"
    assert json.loads(out)["event"] == '"GET /x?token=*** HTTP/1.1" 200'


def test_setting_up_django_imports_nothing_heavy_for_logs():
    script = "import sys, django; django.setup(); print(sorted({'structlog', 'rich', 'prometheus_client', 'segno', "
    script += "'gunicorn', 'pandas'} & sys.modules.keys()))"
    assert start(script).stdout.strip() == "[]"
