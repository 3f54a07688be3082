import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.errors import BadInput
from reports.csvcells import csv_of


def test_a_ledger_is_the_same_in_csv_and_no_cell_is_a_formula(tmp_path):
    times = pa.array([0, 1_577_975_400_000_000_000, 1_577_975_400_500_000_000, None], pa.timestamp("ns", "UTC"))
    table = pa.table(
        {
            "time": times,
            "=name": ["=1+1", "+a", "@b", None],
            "price": [-1.5, None, 2.0, 1e-9],
            "bars": pa.array([1, -2, None, 3], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    head, *rows = csv.reader(io.StringIO("".join(csv_of(tmp_path / "x.parquet"))))
    assert head == ["time", "'=name", "price", "bars"]
    assert rows == [
        ["1970-01-01T00:00:00Z", "'=1+1", "-1.5", "1"],
        ["2020-01-02T14:30:00Z", "'+a", "", "-2"],
        ["2020-01-02T14:30:00.5Z", "'@b", "2.0", ""],
        ["", "", "1e-09", "3"],
    ]


def test_a_damaged_file_is_refused_before_the_first_line(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadInput, match=r"x.parquet cannot be read"):
        next(csv_of(tmp_path / "x.parquet"))
