"""The doctor finds each fault, names cause and remedy, and ends with the right code."""

import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from tests.tradingsite.test_health import all_alive, queue_server, seen, server  # noqa: F401
from tradingsite import installation
from tradingsite.queues import QUEUES

pytestmark = pytest.mark.django_db


def doctor(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def sound(settings, tmp_path, queue_server):  # noqa: F811
    """An installation where everything is as it should be."""
    settings.PLUGINS_DIR = tmp_path
    all_alive()


def test_all_is_fine(sound):
    code, text = doctor("--offline")
    assert code == 0, text
    assert "WRONG" not in text
    assert text.splitlines()[-1].startswith("All ")


def test_for_programs_it_is_json_with_cause_and_remedy(sound):
    seen("beat", 100)
    code, text = doctor("--json", "--offline")
    assert code == 1
    held = {check["name"]: check for check in json.loads(text)}
    assert [name for name, check in held.items() if not check["ok"]] == ["beat"]
    assert held["beat"]["cause"].startswith("no sign of life")
    assert "manage.py beat" in held["beat"]["remedy"]
    wanted = {"Python", "packages", "settings", "state folder", "file system", "write-ahead log", "bar store"}
    wanted |= {"calendars", "plugins", "plotly script", "database", "migrations", "clock", "queue server", "disk"}
    assert wanted | {f"queue {queue}" for queue in QUEUES} | {"beat", "link data"} == held.keys()


def wrong_of(found) -> dict[str, str]:
    return {check.name: f"{check.cause} | {check.remedy}" for check in found if not check.ok}


def test_an_old_python_and_a_missing_package(sound, monkeypatch):
    monkeypatch.setattr(installation, "PYTHONS", ((3, 99), (4, 0)))
    monkeypatch.setattr(installation, "PACKAGES", ("django", "not-there"))
    wrong = wrong_of(installation.checks())
    assert wrong.keys() == {"Python", "packages"}
    assert "not-there" in wrong["packages"]


def test_a_state_folder_that_cannot_be_written(sound, settings, tmp_path):
    settings.VAR_DIR = tmp_path / "gone"
    assert "VAR_DIR" in wrong_of(installation.checks())["state folder"]


def test_settings_that_let_others_in(sound, settings):
    settings.WEB_BIND = "0.0.0.0:8000"
    assert "ibdesk.W001" in wrong_of(installation.checks())["settings"]


def test_a_plugin_that_does_not_load(sound, settings, tmp_path):
    (tmp_path / "broken_plugin_of_test.py").write_text("import nothing_of_this_name\n")
    settings.PLUGINS_DIR = tmp_path
    wrong = wrong_of(installation.checks())["plugins"]
    assert "broken_plugin_of_test.py" in wrong
    assert "nothing_of_this_name" in wrong


def test_a_bar_store_out_of_reach(sound, monkeypatch):
    def refuse():
        raise OSError("bucket is away")

    monkeypatch.setattr("marketdata.store.bars_folder", refuse)
    assert "bucket is away" in wrong_of(installation.checks())["bar store"]


def test_a_network_file_system_is_no_place_for_sqlite(sound, monkeypatch):
    monkeypatch.setattr(installation, "file_system_of", lambda *_: "nfs4")
    monkeypatch.setattr(installation, "connection", SimpleNamespace(vendor="sqlite"))
    assert "network file system" in wrong_of([installation._file_system()])["file system"]
    monkeypatch.setattr(installation, "connection", SimpleNamespace(vendor="postgresql"))
    assert installation._file_system().ok


def test_the_file_system_is_that_of_the_nearest_mount():
    mounts = "/dev/a / ext4 rw 0 0\nh:/x /srv nfs4 rw 0 0\n/dev/b /srv/my\\040disk xfs rw 0 0\ntmp /srvx tmpfs rw 0 0\n"
    assert installation.file_system_of(Path("/home/a"), mounts) == "ext4"
    assert installation.file_system_of(Path("/srv/a"), mounts) == "nfs4"
    assert installation.file_system_of(Path("/srv/my disk/a"), mounts) == "xfs"
    assert installation.file_system_of(Path("/srvx"), mounts) == "tmpfs"
    assert installation.file_system_of(Path("/srv/a"), "") == ""


@pytest.mark.parametrize(
    ("name", "alive"),
    [
        ("beat", True),
        ("worker:backtest", True),
        ("worker:report+import", True),
        ("worker:data", False),
        ("worker:backtest+notify", False),
        ("worker:maintenance", False),
    ],
)
def test_one_process_alone(name, alive):
    seen("beat", 3)
    seen("worker:backtest+import+report+scan@h", 3)
    seen("worker:maintenance+notify@h", 300)
    code, text = doctor("--process", name)
    assert code == (0 if alive else 1), text


@pytest.mark.parametrize("name", ["nothing", "worker", "worker:", "worker:nothing", "queue:data"])
def test_a_process_of_no_known_name_is_a_wrong_question(name):
    with pytest.raises(CommandError) as refused:
        doctor("--process", name)
    assert refused.value.returncode == 2


@pytest.fixture
def web():
    """Something that answers /healthz/live alone, as the web process does."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz/live" and self.headers["Host"] == "desk.test" else 404)
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{answering.server_port}"
        answering.shutdown()


def test_the_web_process_is_asked_itself(settings, web):
    settings.WEB_BIND = web
    settings.ALLOWED_HOSTS = ["desk.test"]
    assert doctor("--process", "web")[0] == 0
    settings.ALLOWED_HOSTS = ["another.test"]
    code, text = doctor("--process", "web")
    assert code == 1
    assert "something else listens there" in text
    settings.WEB_BIND = "127.0.0.1:9"
    code, text = doctor("--process", "web")
    assert code == 1
    assert "does not answer" in text


def test_no_secret_in_what_it_says(sound, settings, monkeypatch):
    from tradingsite import scrubbing

    secret = "c4n4ry-9f8e7d6c5b4a"
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:{secret}@127.0.0.1:9/0")
    scrubbing._known_values.cache_clear()
    settings.CELERY_BROKER_URL = f"redis://:{secret}@127.0.0.1:9/0"
    settings.BARS_URL = f"s3://key:{secret}@bucket/x"
    for arguments in (("--offline",), ("--json", "--offline")):
        assert secret not in doctor(*arguments)[1]
    scrubbing._known_values.cache_clear()


def test_it_needs_no_browser_and_imports_no_pandas_for_one_process():
    import subprocess

    script = "import sys, django; django.setup()\nfrom django.core.management import call_command\n"
    script += "try: call_command('doctor', '--process', 'beat')\nexcept SystemExit as end: print('code', end.code)\n"
    script += "print(sorted({'pandas', 'pyarrow', 'numba', 'kombu.connection'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-2] == "code 1"
    assert "pandas" not in done.stdout.splitlines()[-1]
