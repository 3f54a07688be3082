"""Reference files that live beside the checkout, not in it: tests that need one skip by name where it is absent."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from domain.bars import BarSeries
from domain.timeframe import Timeframe

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def shared_path(relative):
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"reference file {relative} is not here")
    return path


def golden(relative):
    return json.loads(shared_path(f"golden/{relative}").read_text())


def rows(relative):
    with shared_path(relative).open(newline="") as file:
        return list(csv.DictReader(file))


def ns(text):
    """UTC nanoseconds of an ISO time with or without a final Z."""
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))


def day(text):
    return int(np.datetime64(text, "D").astype(np.int64))


def columns(relative):
    """{column: array} of a CSV or Parquet data file; `timestamp` as datetime64 (UTC time or session date)."""
    path = shared_path(relative)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}
    lines = rows(relative)
    texts = {name: [line[name] for line in lines] for name in lines[0]}
    stamps = np.array([stamp.removesuffix("Z") for stamp in texts.pop("timestamp")], "datetime64")
    return {"timestamp": stamps, **{name: np.array(values, np.float64) for name, values in texts.items()}}


def minute_bars(relative):
    data = columns(relative)
    prices = {name: data[name] for name in ("open", "high", "low", "close", "volume")}
    return BarSeries.from_columns(Timeframe.M1, start=data["timestamp"], **prices)
