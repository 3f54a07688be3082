import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.engine import RunSettings, backtest
from domain.engine.records import FILL_COLUMNS, ORDER_COLUMNS
from domain.engine.result import EQUITY_COLUMNS
from domain.engine.trades import TRADE_COLUMNS
from strategies.ledgers import encode_json, encode_ledgers, iso_time, publish, remove_leftovers
from strategies.library.breakout import Breakout
from tests.strategies import make

UTC = pa.timestamp("ns", "UTC")
TEXTS = {"instrument", "ref", "order_ref", "side", "type", "time_in_force", "status", "reason", "denied_by"}
TIMES = {"time", "start", "end", "ended", "entry_time", "exit_time"}


@pytest.fixture(scope="module")
def result():
    """Brackets and a volume cap, so that orders end in every way."""
    feeds = {symbol: make.bars(seed=seed) for seed, symbol in enumerate(("ABC", "XYZ"))}
    return backtest(feeds, Breakout(entry=20, exit=10, stop_atr=1), RunSettings(volume_cap=0.5))


@pytest.mark.parametrize(
    ("name", "columns"),
    [("orders", ORDER_COLUMNS), ("fills", FILL_COLUMNS), ("trades", TRADE_COLUMNS), ("equity", EQUITY_COLUMNS)],
)
def test_ledgers_hold_the_columns_of_the_engine_in_their_kinds(result, name, columns):
    table = pq.read_table(pa.BufferReader(encode_ledgers(result)[f"{name}.parquet"]))
    assert tuple(table.column_names) == columns
    assert table.num_rows > 10
    for field in table.schema:
        kind = pa.string() if field.name in TEXTS else UTC if field.name in TIMES else pa.float64()
        assert field.type == (pa.int64() if field.name == "bars" else kind)
    for column in columns:
        expected = getattr(result, name)[column]
        found = (
            table[column].to_pylist()
            if column in TEXTS
            else table[column].cast(pa.int64() if column in TIMES else table[column].type).to_pylist()
        )
        missing = 0 if column in TIMES else None
        assert [missing if each is None else each for each in found] == [
            None if isinstance(each, float) and np.isnan(each) else each for each in expected.tolist()
        ]


def test_bars_are_the_bars_that_were_traded_on(result):
    table = pq.read_table(pa.BufferReader(encode_ledgers(result)["bars.parquet"]))
    assert table.column_names == ["instrument", "start", "end", "open", "high", "low", "close", "volume", "split"]
    bars = make.bars(seed=1)
    part = table.filter(pa.compute.equal(table["instrument"], "XYZ"))
    assert part["start"].cast(pa.int64()).to_pylist() == bars.start.tolist()
    assert part["close"].to_pylist() == bars.close.tolist()
    assert part["split"].null_count == len(bars)


def test_a_run_without_orders_has_empty_ledgers(result):
    quiet = backtest(make.bars()[:30], Breakout())
    files = encode_ledgers(quiet)
    assert pq.read_table(pa.BufferReader(files["fills.parquet"])).num_rows == 0
    assert pq.read_table(pa.BufferReader(files["fills.parquet"])).column_names == list(FILL_COLUMNS)


def test_texts_of_any_language_survive():
    from strategies.ledgers import _texts

    values = ["", "é", "日本", "a" * 1000, "😀"]
    assert _texts(values).to_pylist() == values
    assert _texts([]).to_pylist() == []


def test_json_is_canonical():
    value = {"b": float("nan"), "a": [1.0, 0.1, float("inf")], "é": {"z": (1, None, True)}}
    assert json.loads(encode_json(value)) == {"a": [1.0, 0.1, None], "b": None, "é": {"z": [1, None, True]}}
    assert encode_json(value) == encode_json(dict(reversed(value.items())))
    assert encode_json(value).endswith(b"}\n")


def test_times_are_iso_in_utc():
    assert iso_time(1_577_923_200 * 10**9) == "2020-01-02T00:00:00Z"


def test_a_directory_is_there_whole_or_not_at_all(tmp_path):
    publish(tmp_path / "run", {"a": b"1", "b": b"2"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == {"a": b"1", "b": b"2"}
    with pytest.raises(TypeError):
        publish(tmp_path / "broken", {"a": b"1", "b": "a text is not bytes"})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_an_attempt_left_that_died_before_its_row_could_say_so_makes_way_whole(tmp_path):
    publish(tmp_path / "run", {"a": b"1", "b": b"1"})
    publish(tmp_path / "run", {"a": b"2"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == {"a": b"2"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_killed_processes_half_wrote_is_removed_once_it_is_old(tmp_path):
    for name in (".run.1.partial", ".run.2.old", ".other", "run"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".run.1.partial", (0, 0))
    assert remove_leftovers(tmp_path, older_than_seconds=3600) == [".run.1.partial"]
    assert {path.name for path in tmp_path.iterdir()} == {".run.2.old", ".other", "run"}
