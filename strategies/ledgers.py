"""The files of a finished run. The Parquet files and summary.json depend on bars, config and code alone, to the byte.

Columns go to Arrow as buffers: `pa.array` and `pa.table` import pandas, which costs more than the whole run.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import COLUMNS
from domain.engine import Result
from domain.engine.setup import Setup
from domain.orders import OrderStatus

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = frozenset({"time", "start", "end", "ended", "entry_time", "exit_time"})


def publish(folder: Path, files: Mapping[str, Any]) -> None:
    """Make a run's directory with these files (bytes-like), all of it or nothing: written beside and renamed.

    A directory that has the name already is what an earlier attempt left whose row never said so: it makes way.
    """
    token = secrets.token_hex(4)
    partial, old = (folder.with_name(f".{folder.name}.{token}.{end}") for end in ("partial", "old"))
    partial.mkdir(parents=True)
    try:
        for name, data in files.items():
            with (partial / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            folder.rename(old)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(runs_dir: Path, older_than_seconds: float) -> list[str]:
    """Remove what killed processes half wrote; returns the names."""
    before = time.time() - older_than_seconds
    left = [path for path in runs_dir.glob(".*.*") if path.suffix in (".partial", ".old")]
    removed = [path for path in left if path.stat().st_mtime < before]
    for path in removed:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in removed]


def encode_ledgers(result: Result) -> dict[str, Any]:
    """The Parquet files of a result, by name. A time that did not come and a number that is not there are null."""
    return {
        "bars.parquet": _encode_bars(result.setup),
        "orders.parquet": _encode(result.orders),
        "fills.parquet": _encode(result.fills),
        "trades.parquet": _encode(result.trades),
        "equity.parquet": _encode(result.equity),
    }


def encode_json(value: Any) -> bytes:
    """Canonical: sorted keys, shortest numbers, null for what is not a finite number, a line feed at the end."""
    return (json.dumps(_plain(value), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def summarise(
    result: Result, *, config: Mapping[str, Any], config_hash: str, data_hash: str, notes: Iterable[str]
) -> dict[str, Any]:
    """What summary.json says: the figures of a run and what they follow from."""
    setup = result.setup
    statuses = Counter(result.orders["status"].tolist())
    denied = result.orders["denied_by"][result.orders["status"] == OrderStatus.DENIED.value]
    traded = [track.bars[at:] for track, at in zip(setup.tracks, _first_bars(setup), strict=True)]
    return {
        "schema": 1,
        "status": "finished" if result.halted_at is None else "halted",
        "halted_at": None if result.halted_at is None else iso_time(result.halted_at),
        "strategy": config["strategy"],
        "timeframe": str(setup.timeframe),
        "instruments": setup.symbols,
        "period": {
            "start": iso_time(min(int(bars.start[0]) for bars in traded if len(bars))),
            "end": iso_time(int(setup.times[-1])),
            "bars": sum(map(len, traded)),
        },
        "cash": setup.settings.cash,
        "final_equity": result.final_equity,
        "metrics": result.metrics,
        "costs": result.costs,
        "by_instrument": _by_instrument(result),
        "orders": {"total": len(result.orders["ref"])} | {each.value: statuses[each.value] for each in OrderStatus},
        "denied": dict(Counter(denied.tolist())),
        "config": config,
        "config_hash": config_hash,
        "data_hash": data_hash,
        "result_hash": result.result_hash,
        "notes": list(notes),
    }


def first_denials(result: Result) -> list[dict[str, Any]]:
    """For each rule that denied orders how many, and the first with the rule's numbers."""
    orders = result.orders
    denied = np.flatnonzero(orders["status"] == OrderStatus.DENIED.value)
    rules, first, counts = np.unique(orders["denied_by"][denied], return_index=True, return_counts=True)
    return [
        {
            "rule": str(rule),
            "count": int(count),
            "first": iso_time(int(orders["time"][row])),
            "instrument": str(orders["instrument"][row]),
            "value": _number(orders["rule_value"][row]),
            "limit": _number(orders["rule_limit"][row]),
        }
        for rule, row, count in zip(rules, denied[first], counts, strict=True)
    ]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def iso_time(ns: int) -> str:
    return f"{np.datetime64(ns, 'ns').astype('datetime64[s]')}Z"


def _by_instrument(result: Result) -> dict[str, Any]:
    """Each instrument's part: `profit` is net of commission, with dividends and the open position at its last close,
    so that all of them add up to the final equity less the starting cash."""
    setup, records, fills = result.setup, result.records, result.fills
    last_group = (
        len(setup.times) - 1 if result.halted_at is None else int(np.searchsorted(setup.times, result.halted_at))
    )
    found = {}
    for k, track in enumerate(setup.tracks):
        mine = records.track == k
        multiplier, position = track.instrument.multiplier, result.positions[track.instrument.symbol]
        profit = -float(np.sum(records.signed[mine] * fills["price"][mine])) * multiplier
        profit -= float(np.sum(fills["commission"][mine]))
        profit += sum(move.amount for move in records.cash_moves if move.track == k)
        if position:
            at = int(np.searchsorted(track.group, last_group, side="right")) - 1
            profit += position * float(track.bars.close[at]) * multiplier
        found[track.instrument.symbol] = {
            "bars": len(track.bars) - _first_bars(setup)[k],
            "fills": int(np.count_nonzero(mine)),
            "trades": int(np.count_nonzero(result.trades["instrument"] == track.instrument.symbol)),
            "commission": float(np.sum(fills["commission"][mine])),
            "position": position,
            "profit": profit,
        }
    return found


def _first_bars(setup: Setup) -> list[int]:
    """Each track's first bar of the run proper; those before it only warmed up and are in no ledger."""
    return [int(np.searchsorted(track.group, setup.first_group)) for track in setup.tracks]


def _encode_bars(setup: Setup) -> Any:
    """The bars traded on, instrument by instrument. `split` is the shares that one became at that bar, else null."""
    import pyarrow as pa

    tracks = [(track, track.bars[at:], at) for track, at in zip(setup.tracks, _first_bars(setup), strict=True)]
    codes = np.repeat(np.arange(len(tracks), dtype=np.int32), [len(bars) for _, bars, _ in tracks])
    columns: dict[str, Any] = {
        "instrument": pa.DictionaryArray.from_arrays(_fixed(codes, pa.int32()), _texts(setup.symbols))
    }
    for name in COLUMNS:
        columns[name] = _column(name, np.concatenate([getattr(bars, name) for _, bars, _ in tracks]))
    split = []
    for track, bars, first in tracks:
        ratio = np.full(len(bars), np.nan)
        for at, new_per_old in track.splits:
            if at >= first:
                ratio[at - first] = new_per_old
        split.append(ratio)
    columns["split"] = _column("split", np.concatenate(split))
    return _write(columns)


def _encode(ledger: Mapping[str, NDArray[Any]]) -> Any:
    return _write({name: _column(name, values) for name, values in ledger.items()})


def _write(columns: Mapping[str, pa.Array]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    sink = pa.BufferOutputStream()
    # Texts as they are and not as Arrow's dictionaries when read; a checksum on every page, as in the bar store.
    pq.write_table(table, sink, compression="zstd", store_schema=False, write_page_checksum=True)
    return sink.getvalue()


def _column(name: str, values: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    if name in TIMES:
        return _fixed(values, pa.timestamp("ns", "UTC"), values != 0)
    if values.dtype.kind == "i":
        return _fixed(values, pa.int64())
    if values.dtype.kind == "f":
        return _fixed(values, pa.float64(), ~np.isnan(values))
    return _texts(values.tolist())


def _fixed(values: NDArray[Any], kind: pa.DataType, known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers as Arrow sees the same memory; null where not `known`."""
    import pyarrow as pa

    validity = None
    if known is not None and not known.all():
        validity = pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def _texts(values: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
