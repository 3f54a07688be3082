"""Writers that race and writers that are killed: no update is lost, and the store is old or new."""

import random
import secrets
import signal
import sys

import pytest

from tests.faults import processes

WRITERS = 8
ROUNDS = 6

WRITE_A_SHARE = """
writer, rounds = int(sys.argv[1]), int(sys.argv[2])
spy = Instrument.objects.get(symbol="SPY")
bars = make.minutes(960)
for turn in range(rounds):
    rows = np.arange(960)[(np.arange(960) % 8 == writer) & (np.arange(960) // 160 == turn)]
    store.write_bars(instrument=spy, series=BarSeries(bars.timeframe, **{
        name: getattr(bars, name)[rows] for name in ("start", "end", "open", "high", "low", "close", "volume")
    }), source=f"writer {writer}")
"""

COMPARE = """
held = store.read_bars(Instrument.objects.get(symbol="SPY"), "1m")
assert held.content_hash() == make.minutes(960).content_hash(), len(held)
store.sweep(older_than_seconds=0)
assert store.read_bars(Instrument.objects.get(symbol="SPY"), "1m").content_hash() == held.content_hash()
print(BarFile.objects.get().version)
"""


def race(where):
    processes.migrate(where)
    processes.run("make.instrument()", where)
    writers = [processes.start(WRITE_A_SHARE, where, str(number), str(ROUNDS)) for number in range(WRITERS)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    assert int(processes.run(COMPARE, where)) == WRITERS * ROUNDS


@pytest.mark.slow
def test_eight_writers_lose_no_update_on_sqlite(tmp_path):
    race(processes.environment(tmp_path))


@pytest.mark.slow
def test_eight_writers_lose_no_update_on_postgresql(tmp_path):
    psycopg = pytest.importorskip("psycopg")
    name = f"ibdesk_test_{secrets.token_hex(4)}"
    try:
        server = psycopg.connect("dbname=postgres", autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL on this machine's default socket: {error}")
    with server:
        server.execute(f"create database {name}")
        try:
            race(processes.environment(tmp_path, f"postgres:///{name}"))
        finally:
            server.execute(f"drop database {name} with (force)")


# Where a writer dies: before and after each step that a power cut could separate.
POINTS = {
    "temporary file written": ("os", "fsync", "before"),
    "temporary file synced": ("os", "fsync", "after"),
    "before the rename": ("folders.Path", "rename", "before"),
    "after the rename": ("folders.Path", "rename", "after"),
    "before the commit": ("store", "_commit", "before"),
    "after the commit": ("store", "_commit", "after"),
}

DIE_AT_A_POINT = """
owner, name, when = eval(sys.argv[1]), sys.argv[2], sys.argv[3]
real = getattr(owner, name)
def die(*arguments, **named):
    if when == "after":
        real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
spy = Instrument.objects.get(symbol="SPY")
setattr(owner, name, die)
store.write_bars(instrument=spy, series=make.minutes(600, first="2022-12-31T19:00", seed=2), source="new")
"""

OLD_OR_NEW = """
held = store.read_bars(Instrument.objects.get(symbol="SPY"), "1m").content_hash()
versions = {seed: make.minutes(600, first="2022-12-31T19:00", seed=seed).content_hash() for seed in (1, 2)}
found = [seed for seed, content in versions.items() if content == held]
assert found, "neither the old nor the new bars"
print(found[0])
"""

FIRST_IMPORT = """
spy = make.instrument()
store.write_bars(instrument=spy, series=make.minutes(600, first="2022-12-31T19:00", seed=1), source="old")
"""


@pytest.mark.parametrize("point", POINTS)
def test_a_writer_killed_at_a_named_point_leaves_the_old_bars_or_the_new(tmp_path, point):
    where = processes.environment(tmp_path)
    processes.migrate(where)
    processes.run(FIRST_IMPORT, where)
    writer = processes.start(DIE_AT_A_POINT, where, *POINTS[point])
    writer.communicate(timeout=60)
    assert writer.returncode == -signal.SIGKILL
    assert processes.run(OLD_OR_NEW, where).strip() == ("2" if point == "after the commit" else "1")


IMPORT_FOR_EVER = """
spy = Instrument.objects.get(symbol="SPY")
print("ready", flush=True)
seed = 1
while True:
    seed = 3 - seed
    bars = make.minutes(600, first="2022-12-31T19:00", seed=seed)
    store.write_bars(instrument=spy, series=bars, source="loop")
"""


@pytest.mark.slow
def test_writers_killed_at_random_leave_the_old_bars_or_the_new(tmp_path):
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    where = processes.environment(tmp_path)
    processes.migrate(where)
    processes.run(FIRST_IMPORT, where)
    seen = set()
    for _ in range(8):
        writer = processes.start(IMPORT_FOR_EVER, where)
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(processes.subprocess.TimeoutExpired):
            writer.wait(timeout=chance.uniform(0.0, 0.4))
        writer.kill()
        writer.communicate()
        seen.add(processes.run(OLD_OR_NEW, where).strip())
    assert seen <= {"1", "2"} and seen
    processes.run("store.sweep(older_than_seconds=0)", where)
    processes.run(OLD_OR_NEW, where)
    left = [path for path in (tmp_path / "bars").rglob("*") if path.is_file()]
    assert len(left) == 2
