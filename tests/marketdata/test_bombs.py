"""Small files that unpack to much: refused, and cheaply. Each is read in a process of its own, which tells its peak."""

import gzip
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_MB = 100
READ = """
import json, sys
from pathlib import Path
import numpy, pyarrow.csv, pyarrow.parquet, pyarrow.compute, yaml
from domain.errors import BadInput
from marketdata.datafiles import read_columns
from tradingsite.configfile import parse_yaml

def peak():  # the peak that getrusage tells is that of the process that started this one, too
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

path, before = Path(sys.argv[1]), peak()
try:
    parse_yaml(path.read_text(), 512 * 1024) if path.suffix == ".yaml" else read_columns(path)
    said = ""
except BadInput as error:
    said = str(error)
print(json.dumps([said, peak() - before]))
"""
LINE = b"2020-01-02,1,2,0.5,1.5,100\n"
HEAD = b"timestamp,open,high,low,close,volume\n"


def gzipped(megabytes: int) -> bytes:
    return gzip.compress(HEAD + LINE * (megabytes * 2**20 // len(LINE)))


def zipped(megabytes: int, members: int = 1) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}.csv", b"0" * (megabytes * 2**20))
    return held.getvalue()


def parquet(columns: dict, **options) -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.table(columns), held, **options)
    return held.getvalue()


def one_text(size: int, rows: int) -> pa.Array:
    """The same text in every row, once in the file."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * size]))


BOMBS = {
    "gz": lambda: gzipped(300),
    "gz of gz": lambda: gzip.compress(gzipped(300)),
    "zip": lambda: zipped(300),
    "zip of many": lambda: zipped(20, members=20),
    "parquet of zeros": lambda: parquet({f"c{at}": np.zeros(4_000_000) for at in range(10)}, compression="zstd"),
    "parquet of one text": lambda: parquet({"time": one_text(1_000_000, 2_000)}, store_schema=False),
    "parquet of plain texts": lambda: parquet(
        {"time": ["x" * 1_000_000] * 300}, compression="zstd", use_dictionary=False
    ),
    "parquet of lists": lambda: parquet({"time": [np.zeros(20_000_000)]}, compression="zstd"),
    "yaml of lists": lambda: b"a: [" + b"[]," * 170_000 + b"]",
    "yaml of numbers": lambda: b"a: [" + b"1," * 260_000 + b"]",
    "yaml of aliases": lambda: b"a: &a [x]\n" + b"".join(b"k%d: *a\n" % at for at in range(1_000)),
    "yaml of depth": lambda: b"[" * 250_000,
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_and_takes_little_memory(tmp_path, kind, capsys):
    path = tmp_path / f"bomb.{'yaml' if kind.startswith('yaml') else 'data'}"
    path.write_bytes(BOMBS[kind]())
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    said, growth = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n{kind}: {path.stat().st_size:,} bytes, {growth:.0f} MB more; {said.removeprefix(str(path))[:90]}")
    assert said
    assert growth <= MOST_MB


def test_texts_of_a_price_file_are_read_as_they_are(tmp_path):
    from marketdata.datafiles import read_columns

    path = tmp_path / "bars.parquet"
    texts = ["ABC", None, "é", "ABC"]
    pq.write_table(pa.table({"symbol": texts, "raw": [b"a", b"b", None, b"a"], "close": [1.0, 2, 3, 4]}), path)
    table = read_columns(path).table
    assert table.column("symbol").to_pylist() == texts
    assert (table.schema.field("symbol").type, table.schema.field("raw").type) == (pa.string(), pa.binary())
    assert table.column("raw").to_pylist() == [b"a", b"b", None, b"a"]
