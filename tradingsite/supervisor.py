"""All processes of one machine under one roof: started in order, their lines marked, what dies started again, and
stopped so that work in hand can end. Run by `manage.py up`; without Django, since it lives as long as they do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess  # nosec B404
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

STOP_SECONDS = 30.0
# What ran for so long was well; when it dies it is started at once.
WELL_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 30.0
_COLOURS = (36, 32, 33, 35, 34, 31)


class Process(NamedTuple):
    """`ready`: a unix socket or host:port that answers once it is up; the next process waits for it, a while.
    `needed`: by the others, so it is stopped when they are gone."""

    name: str
    command: Sequence[str]
    ready: str = ""
    needed: bool = False


class Child:
    """One process and the ones that took its place."""

    def __init__(self, process: Process, say: Callable[[str, str], None]) -> None:
        self.process = process
        self._say = say
        self._running: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._began = 0.0
        self._deaths = 0
        self.start_at = 0.0

    def start(self) -> None:
        self._began = time.monotonic()
        self._running = subprocess.Popen(  # nosec B603
            [*_die_with_parent(), *self.process.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C is for the supervisor, which stops them in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._running.stdout,), daemon=True)
        self._reader.start()

    def restart_if_dead(self, now: float) -> None:
        """Start it again where it ended: at once the first time, then after 1, 2, 4, … seconds."""
        if self._running is not None and self._running.poll() is not None:
            code = self._running.returncode
            well = now - self._began >= WELL_SECONDS
            self._deaths = 1 if well else self._deaths + 1
            wait = 0.0 if self._deaths == 1 else min(2.0 ** (self._deaths - 2), LONGEST_WAIT_SECONDS)
            self.start_at = now + wait
            self._running = None
            what = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            self._say(self.process.name, f"{what}; it starts again" + (f" in {wait:.0f} s" if wait else ""))
        if self._running is None and now >= self.start_at:
            self.start()

    def send(self, number: signal.Signals) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                self._running.send_signal(number)

    def kill(self) -> None:
        """The whole session: what it started ends with it."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)

    def ended(self, timeout: float) -> bool:
        if self._running is None:
            return True
        try:
            self._running.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        if self._reader is not None:
            self._reader.join(1.0)
        return True

    @property
    def pid(self) -> int | None:
        return None if self._running is None else self._running.pid

    def _read(self, lines: IO[str]) -> None:
        with suppress(ValueError, OSError):
            for line in lines:
                self._say(self.process.name, line.rstrip("\n"))


class Supervisor:
    """`greeting` is said once the last process answers."""

    def __init__(self, processes: Sequence[Process], out: TextIO, greeting: str = "") -> None:
        self._out = out
        self._width = max(len(each.name) for each in processes)
        self._names = [each.name for each in processes]
        self._lock = threading.Lock()
        self._wish_to_stop = threading.Event()
        self._asked = 0
        self._greeting = greeting
        self.children = [Child(each, self.say) for each in processes]

    def say(self, name: str, line: str) -> None:
        mark = name.ljust(self._width)
        if self._out.isatty():
            mark = f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{mark}\x1b[0m"
        with self._lock:
            self._out.write(f"{mark} | {line}\n")
            self._out.flush()

    def ask_to_stop(self, *_: Any) -> None:
        """The first time in order, the second time at once."""
        self._asked += 1
        self._wish_to_stop.set()
        if self._asked > 1:
            for child in self.children:
                child.kill()

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.ask_to_stop)
        try:
            self._start_all()
            while not self._wish_to_stop.wait(0.2):
                now = time.monotonic()
                for child in self.children:
                    child.restart_if_dead(now)
        finally:
            self._stop_all()

    def _start_all(self) -> None:
        for child in self.children:
            if self._wish_to_stop.is_set():
                return
            child.start()
            if child.process.ready:
                self._wait_for(child)
        if not self._wish_to_stop.is_set() and self._greeting:
            with self._lock:
                self._out.write(self._greeting + "\n")
                self._out.flush()

    def _wait_for(self, child: Child) -> None:
        """What comes next needs it; after half a minute it is started anyway, and tries again by itself."""
        end = time.monotonic() + 30.0
        while time.monotonic() < end and not self._wish_to_stop.is_set():
            if answers(child.process.ready):
                return
            child.restart_if_dead(time.monotonic())
            self._wish_to_stop.wait(0.05)

    def _stop_all(self) -> None:
        """Web and beat take no more work and workers finish theirs, all at once; what the others need goes last."""
        needed = [child for child in self.children if child.process.needed]
        for group in ([child for child in reversed(self.children) if child not in needed], needed):
            end = time.monotonic() + STOP_SECONDS
            for child in group:
                child.send(signal.SIGTERM)
            for child in group:
                if not child.ended(max(end - time.monotonic(), 0.1)):
                    self.say(
                        child.process.name, "did not end in time and is killed; its work begins anew at the next start"
                    )
                    child.kill()
                    child.ended(5.0)


def answers(address: str) -> bool:
    """Whether something listens at a unix socket's path or at host:port."""
    try:
        if address.startswith("/"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(address)
        else:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Hold a lock file for as long as this process lives; False where another one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@cache
def _die_with_parent() -> tuple[str, ...]:
    """What makes the kernel end a process should the supervisor be killed; where the system has no such program, the
    processes go on without it, and the lock keeps a second set from starting."""
    program = shutil.which("setpriv")
    return (program, "--pdeathsig", "TERM", "--") if program else ()


def main() -> int:
    """`python -m tradingsite.supervisor`, with the processes as JSON on standard input."""
    asked = json.load(sys.stdin)
    with only_one(Path(asked["lock"])) as alone:
        if not alone:
            print(f"it is running already (lock {asked['lock']})", file=sys.stderr)  # noqa: T201
            return 1
        Supervisor([Process(**each) for each in asked["processes"]], sys.stdout, asked["greeting"]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
