"""The supervisor, with small processes in the place of the real ones."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tradingsite.supervisor import Process, Supervisor, answers, only_one

ROOT = Path(__file__).resolve().parents[2]
# Each writes what happens to it into one file, so that the order shows.
NOTE = """
import os, signal, sys, time
name, notes, trapping = sys.argv[1], sys.argv[2], sys.argv[3]
def note(what):
    with open(notes, "a") as file:
        file.write(f"{name} {what}\\n")
def stop(*_):
    note("stops")
    if trapping == "deaf":
        return
    time.sleep(0.1)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("hello from", name, flush=True)
note(f"starts {os.getpid()}")
if trapping == "fails":
    sys.exit(3)
while True:
    time.sleep(0.05)
"""


def process(name: str, notes: Path, manner: str = "well", **more) -> Process:
    return Process(name, [sys.executable, "-c", NOTE, name, str(notes), manner], **more)


@pytest.fixture
def run_for(monkeypatch):
    """Run a supervisor in this thread; `then` happens to it meanwhile, and it is asked to stop after that."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(processes, then, greeting=""):
        out = io.StringIO()
        supervisor = Supervisor(processes, out, greeting)

        def meanwhile():
            try:
                then(supervisor)
            finally:
                supervisor.ask_to_stop()

        thread = threading.Thread(target=meanwhile)
        thread.start()
        supervisor.run()
        thread.join()
        return out.getvalue()

    return run


def wait_for(what, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Or dead and not yet fetched by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def test_lines_are_marked_by_name_and_what_the_others_need_stops_last(tmp_path, run_for):
    notes = tmp_path / "notes"
    names = ["queue", "work", "web"]
    printed = run_for(
        [process(name, notes, needed=name == "queue") for name in names],
        lambda _: wait_for(lambda: len(lines(notes)) == 3),
        "up",
    )
    assert {line.split()[0] for line in lines(notes) if "starts" in line} == set(names)
    assert lines(notes)[-1] == "queue stops"
    assert len(lines(notes)) == 6
    assert "work  | hello from work\n" in printed
    assert "\nup\n" in f"\n{printed}"


def test_what_is_killed_starts_again_and_the_others_go_on(tmp_path, run_for):
    notes = tmp_path / "notes"

    def kill_one(supervisor):
        wait_for(lambda: len(lines(notes)) == 2)
        os.kill(supervisor.children[1].pid, signal.SIGKILL)
        wait_for(lambda: len(lines(notes)) == 3)

    printed = run_for([process("a", notes), process("b", notes)], kill_one)
    assert sorted(line.split()[0] for line in lines(notes) if "starts" in line) == ["a", "b", "b"]
    assert "b | was ended by SIGKILL; it starts again\n" in printed


def test_what_cannot_start_is_tried_again_ever_more_slowly(tmp_path, run_for):
    notes = tmp_path / "notes"
    printed = run_for([process("a", notes, "fails")], lambda _: wait_for(lambda: len(lines(notes)) == 3))
    waits = [line.partition("ended with 3; it starts again")[2] for line in printed.splitlines() if "ended" in line]
    assert waits[:2] == ["", " in 1 s"]


def test_what_does_not_stop_is_killed(tmp_path, run_for, monkeypatch):
    monkeypatch.setattr("tradingsite.supervisor.STOP_SECONDS", 1.0)
    notes = tmp_path / "notes"
    pids = []

    def note_pid(supervisor):
        wait_for(lambda: len(lines(notes)) == 1)
        pids.append(supervisor.children[0].pid)

    printed = run_for([process("deaf", notes, "deaf")], note_pid)
    assert "did not end in time and is killed" in printed
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_it_waits_until_what_the_others_need_answers(tmp_path, run_for):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = f"import time, socket; time.sleep(0.5); s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    notes = tmp_path / "notes"
    first = Process("first", [sys.executable, "-c", serve], f"127.0.0.1:{port}")
    answered = []
    run_for(
        [first, process("second", notes)],
        lambda _: wait_for(lambda: lines(notes)) or answered.append(answers(first.ready)),
    )
    assert answered == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of another system does not tell")
def test_a_supervisor_that_is_killed_leaves_nothing_running(tmp_path):
    notes = tmp_path / "notes"
    script = f"""
import sys
from tradingsite.supervisor import Process, Supervisor
Supervisor([Process("a", [sys.executable, "-c", {NOTE!r}, "a", {str(notes)!r}, "well"])], sys.stdout).run()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: lines(notes))
    pid = int(lines(notes)[0].split()[2])
    parent.kill()
    parent.wait()
    wait_for(lambda: len(lines(notes)) >= 2)  # some kernels tell it twice: once for the thread, once for the process
    wait_for(lambda: is_gone(pid))


def test_a_second_one_on_the_same_state_is_refused(tmp_path):
    with only_one(tmp_path / "lock") as first, only_one(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with only_one(tmp_path / "lock") as again:
        assert again
