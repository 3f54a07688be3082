import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingsite.exports import csv_cell, write_csv


@pytest.mark.parametrize(
    "text", ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "\0=1", "-1+1", "=", "+-1", "-", "1=2\n"]
)
def test_no_text_begins_as_a_formula(text):
    cell = str(csv_cell(text))
    assert cell[0] not in "=+-@\t\r\0"
    assert cell.lstrip("'") == text.replace("\0", "")


@pytest.mark.parametrize("value", [-1, -1.5, 0, 10**20, Decimal("-0.25"), "-3.5", "+2", "-1e-7"])
def test_numbers_stay_numbers(value):
    assert float(csv_cell(value)) == float(value)
    assert not str(csv_cell(value)).startswith("'")


def test_what_is_not_there_is_empty():
    assert [csv_cell(None), csv_cell(float("nan")), csv_cell("")] == ["", "", ""]


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=3)))
def test_every_table_of_texts_is_read_back_with_no_live_cell(rows):
    read = list(csv.reader(io.StringIO("".join(write_csv(rows)), newline="")))
    assert len(read) == len(rows)
    for cells, given_row in zip(read, rows, strict=True):
        assert [cell.removeprefix("'") for cell in cells] == [
            text.replace("\0", "").removeprefix("'") for text in given_row
        ]
        assert all(not cell.startswith(("=", "@", "\t", "\r")) for cell in cells)
