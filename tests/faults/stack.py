"""The whole stack as a user starts it, on a scratch state folder, to be killed piece by piece.

The oracle is a trigger in the database itself: it notes every row that ends, in whatever way and by whatever process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis

from tests.faults import processes

POSTGRES = os.environ.get("POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/13")
ROOT = Path(__file__).resolve().parents[2]

ORACLE = {
    "sqlite": """
CREATE TABLE ended (run_id TEXT, state TEXT);
CREATE TRIGGER note_end AFTER UPDATE ON strategies_backtest
WHEN OLD.state IN ('queued', 'running') AND NEW.state IN ('succeeded', 'failed', 'cancelled')
BEGIN INSERT INTO ended VALUES (NEW.directory, NEW.state); END;
""",
    "postgresql": """
CREATE TABLE ended (run_id TEXT, state TEXT);
CREATE FUNCTION note_end() RETURNS trigger AS $$ BEGIN
IF OLD.state IN ('queued', 'running') AND NEW.state IN ('succeeded', 'failed', 'cancelled') THEN
INSERT INTO ended VALUES (NEW.directory, NEW.state); END IF; RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER note_end AFTER UPDATE ON strategies_backtest FOR EACH ROW EXECUTE FUNCTION note_end();
""",
}
PREPARE = """
from django.db import connection
from tests.strategies import make as market
market.instrument("ABC", market.bars(seed=1))
market.instrument("XYZ", market.bars(seed=2))
with connection.cursor() as cursor:
    statements = sys.argv[1]
    if connection.vendor == "sqlite":
        connection.connection.executescript(statements)
    else:
        cursor.execute(statements)
"""
POST = """
from django.conf import settings
from django.db import OperationalError, transaction
from strategies import registry
from strategies.backtests import queue_backtest
from strategies.config import parse_config
from tradingsite import runs
import time
registry.load(settings.PLUGINS_DIR)
first, last, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
for number in range(first, last):
    asked = {"run_id": f"run-{number}", "strategy": "brooding", "symbols": ["ABC", "XYZ"],
             "params": {"window": 5 + number % 7, "seconds": float(sys.argv[4])}}
    while True:
        try:
            with transaction.atomic():
                row = queue_backtest(parse_config(asked), origin="api")
                runs.enqueue(row)
            runs.send(row)  # each message twice
            break
        except OperationalError:
            time.sleep(0.5)
    time.sleep(pause)
print("posted")
"""
COUNT = """
import json
from django.db import connection
from strategies.models import Backtest
with connection.cursor() as cursor:
    cursor.execute("SELECT run_id, state FROM ended")
    ended = cursor.fetchall()
rows = list(Backtest.objects.values_list("directory", "state", "attempts", "error", "result_hash", "config_hash"))
print(json.dumps({"ended": ended, "rows": rows}))
"""
# Slow enough to be killed in the middle, and busy in a way that no signal can hurry.
STRATEGY = """
import time
from domain.strategy import Params, Strategy, target
from strategies.registry import register

@register
class Brooding(Strategy):
    name = "brooding"

    class Params(Params):
        window: int = 5
        seconds: float = 0.5

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.began = time.monotonic()
        self.bar = 0

    def on_bar(self, context):
        self.bar += 1
        if self.bar % 20 == 0:
            time.sleep(self.params.seconds / 25)
        return target(1.0 if self.bar // self.params.window % 2 else 0.0)
"""


class Stack:
    """`manage.py up` on a scratch state, and what can be done to it."""

    def __init__(self, state: Path, database_url: str = "", broker_url: str = "", **settings: str) -> None:
        self.state = state
        port = free_port()
        self.where = processes.environment(state, database_url) | {
            "CELERY_BROKER_URL": broker_url,
            "PLUGINS_DIR": str(state / "plugins"),
            "WEB_BIND": f"127.0.0.1:{port}",
            "IB_PORT": str(free_port()),
            "DOTENV": os.devnull,
            "SECRET_KEY": "k" * 60,
            **settings,
        }
        self.port = port
        self.vendor = "postgresql" if database_url.startswith("postgres") else "sqlite"
        self.log = state / "up.log"
        self.up: subprocess.Popen[bytes] | None = None
        self.gate: Gate | None = None

    def prepare(self) -> None:
        (self.state / "plugins").mkdir(parents=True, exist_ok=True)
        (self.state / "plugins" / "brooding.py").write_text(STRATEGY)
        processes.migrate(self.where)
        processes.run(PREPARE, self.where, ORACLE[self.vendor])

    def start(self) -> float:
        """Start it; the seconds until its first page answered."""
        began = time.monotonic()
        command = [sys.executable, str(ROOT / "manage.py"), "up"]
        with self.log.open("ab") as log:
            # As people do who are in another folder: the project is found by nothing but the name of manage.py.
            where = self.where | {"PYTHONPATH": ""}
            self.up = subprocess.Popen(command, cwd=self.state, env=where, stdout=log, stderr=subprocess.STDOUT)
        while time.monotonic() < began + 60:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as page:
                page.sendall(b"GET /admin/login/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
                if page.recv(12).startswith(b"HTTP/1"):
                    return time.monotonic() - began
            assert self.up.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self) -> float:
        """Ctrl-C; the seconds until all of it was gone."""
        assert self.up is not None
        began = time.monotonic()
        self.up.send_signal(signal.SIGINT)
        try:
            self.up.wait(60)
        finally:
            self.up.kill()
            self.up.wait()
        return time.monotonic() - began

    def processes(self) -> dict[int, str]:
        """The stack's processes by pid, each with its role."""
        assert self.up is not None
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError, ValueError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found, layer = {}, {self.up.pid}
        while layer:
            layer = {pid for pid, parent in parents.items() if parent in layer}
            for pid in layer:
                with suppress(OSError):
                    role = _role(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"))
                    found[pid] = role + (" child" if parents[pid] != self.up.pid else "")
        return found

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def post(self, first: int, last: int, *, pause: float = 0.0, seconds: float = 0.2) -> subprocess.Popen[str]:
        return processes.start(POST, self.where, str(first), str(last), str(pause), str(seconds))

    def count(self) -> dict[str, list[list[str]]]:
        import json

        return json.loads(processes.run(COUNT, self.where))

    def memory_mb(self) -> tuple[float, float]:
        """(proportional, resident) memory of all its processes in MB; shared pages count once in the first alone."""
        assert self.up is not None
        pss = rss = 0
        for pid in [self.up.pid, *self.processes()]:
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    name, _, value = line.partition(":")
                    pss += int(value.split()[0]) if name == "Pss" else 0
                    rss += int(value.split()[0]) if name == "Rss" else 0
        return pss / 1000, rss / 1000


def _role(command: str) -> str:
    for word, role in (
        ("queue.sock", "queue"),
        ("gunicorn", "web"),
        ("\0beat\0", "beat"),
        ("\0simulator\0", "simulator"),
        ("\0worker\0", "worker"),
    ):
        if word in command:
            queues = {"maintenance": "upkeep", "\0data\0": "data"} if role == "worker" else {}
            return next((name for queue, name in queues.items() if queue in command), role)
    return "other"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Gate:
    """A way to a server on this machine that can be shut: connections are cut, and new ones refused."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pairs: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.port = free_port()
        self.open()

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._pairs:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._pairs |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._pairs.discard(each)


# The machine has one Redis, which two stacks cannot share: those on servers run one after another, with the faults.
SERVERS = [
    "sqlite and the embedded queue",
    pytest.param("postgresql and redis", marks=pytest.mark.faults),
]


@contextmanager
def on_servers(which: str, state: Path) -> Iterator[Stack]:
    """A stack that is not started yet, on SQLite and its own queue or on the servers of this machine, which it reaches
    through a gate (`stack.gate`); skips where they do not answer."""
    if which.startswith("sqlite"):
        yield Stack(state / "state")
        return
    queue = redis.Redis.from_url(REDIS)
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
        queue.ping()
    except (psycopg.OperationalError, redis.RedisError) as error:
        pytest.skip(f"no PostgreSQL and Redis here: {error}")
    name, info = f"ibdesk_stack_{os.getpid()}", server.info
    gate = Gate(info.host or "127.0.0.1", info.port)
    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.execute(f"CREATE DATABASE {name}")
    queue.flushdb()
    stack = Stack(state / "state", f"postgres://{info.user}@127.0.0.1:{gate.port}/{name}", REDIS)
    stack.gate = gate
    try:
        yield stack
    finally:
        gate.shut()
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        queue.flushdb()


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    stack.prepare()
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
