import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from marketdata.management.commands.simulator import start_of
from tests.gateway.simulator.rawclient import RawClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "soon"], "--start 'soon'"),
        (["--start", "1850-01-01"], "a year from 2000 to 2100"),
        (["--port", "70000"], "--port 70000"),
        (["--control-port", "-1"], "--control-port -1"),
        (["--speed", "-1"], "--speed -1"),
        (["--speed", "nan"], "--speed nan"),
        (["--cash", "-5"], "--cash -5"),
        (["--accounts", "U1234567"], "nobody takes it for a live one"),
        (["--accounts", "DU1,DU1"], "each once"),
        (["--accounts", " , "], "at least one"),
        (["--prices", "/no/such/folder"], "/no/such/folder"),
        (["--scenario", "/no/such/file.yaml"], "/no/such/file.yaml: No such file or directory"),
        (["--max-version", "200"], "invalid choice: 200"),
    ],
)
def test_wrong_use_is_said_with_exit_code_2(arguments, said):
    with pytest.raises(CommandError, match=said) as caught:
        call_command("simulator", "--port", "0", "--state", "none", *arguments)
    assert caught.value.returncode == 2 or "invalid choice" in said


def test_a_scenario_with_an_unknown_verb_names_file_line_and_the_nearest(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("steps:\n  - at: '+5'\n    do: stal\n    seconds: 3\n")
    with pytest.raises(CommandError, match=r"bad\.yaml:3: unknown verb 'stal'; did you mean 'stall'\?") as caught:
        call_command("simulator", "--port", "0", "--state", "none", "--scenario", str(file))
    assert caught.value.returncode == 2


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"cannot listen on 127.0.0.1:{port}: .*another gateway") as caught:
            call_command("simulator", "--port", str(port), "--state", "none")
    assert caught.value.returncode == 2


def test_a_start_is_read_in_new_york():
    assert start_of("2026-03-04 10:00") == 1_772_636_400_000_000_000
    assert start_of("2026-03-04T15:00:00+00:00") == 1_772_636_400_000_000_000


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_that_it_is_simulated_and_ends_cleanly(signum, tmp_path):
    command = [sys.executable, "manage.py", "simulator", "--port", "0", "--control-port", "0"]
    command += [
        "--start",
        "2026-03-04T10:00",
        "--seed",
        "7",
        "--accounts",
        "DU1,DU2",
        "--state",
        str(tmp_path / "s.db"),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            while not lines or "Ctrl-C" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], "it ended"
            text = "".join(lines)
            rows = {line[2:16].strip(): line[16:].strip() for line in lines if line.startswith("  ")}
            assert text.startswith("SIMULATED")
            assert rows["accounts"] == "DU1, DU2"
            assert rows["exchange time"].startswith("2026-03-04 10:00:0")
            assert "seed 7" in rows["prices"]
            assert "ib_insync" in text
            with RawClient(int(rows["address"].rpartition(":")[2])) as client:
                assert client.read() == ["15", "1", "DU1,DU2"]
            with socket.create_connection(("127.0.0.1", int(rows["control port"])), timeout=10) as control:
                control.sendall(b'{"ask": "clock"}\n')
                assert json.loads(control.makefile().readline())["ok"]
            process.send_signal(signum)
            assert process.wait(20) == 0
        finally:
            process.kill()
