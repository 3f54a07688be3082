"""Market data over HTTP; what comes back is compared with the store and the rows."""

import csv
import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from domain.bars import BarSeries
from marketdata import store
from marketdata.models import BarImport, CorporateAction, Instrument, Watchlist
from marketdata.services import set_watchlist
from tests.marketdata.make import instrument, minutes
from tests.tradingsite.people import ROOT, person, problem, session

pytestmark = pytest.mark.django_db


@pytest.fixture
def researcher():
    return session(person("researcher"))


@pytest.fixture
def held(bars_root):
    """SPY with minutes over the turn of a year, so in two files; each seventh volume is unknown."""
    row = instrument()
    store.write_bars(instrument=row, series=minutes(300, first="2022-12-31T22:00", unknown_volume=True), source="test")
    return row


# Instruments


def test_an_instrument_is_made_changed_found_and_removed(researcher):
    made = researcher.post(f"{ROOT}/instruments", {"symbol": "SPY", "name": "S&P 500", "exchange": "ARCA"})
    assert made.status_code == 201
    path = f"{ROOT}/instruments/{made.json()['id']}"
    assert researcher.patch(path, {"name": "Spider"}).json()["name"] == "Spider"
    listed = researcher.get(f"{ROOT}/instruments", {"search": "spid", "exchange": "ARCA", "active": "true"}).json()
    assert [row["symbol"] for row in listed["results"]] == ["SPY"]
    assert researcher.get(f"{ROOT}/instruments", {"kind": "future"}).json()["count"] == 0
    assert researcher.delete(path).status_code == 204
    assert not Instrument.objects.exists()


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"symbol": "../etc"}, None),
        ({"symbol": "SPY", "calendar": "NOWHERE"}, None),
        ({"symbol": "SPY", "tick": "0"}, "non_field_errors"),
        ({"symbol": "SPY", "kind": "bond"}, "kind"),
        ({"symbol": "SPY", "id": 7}, "id"),
        ({"symbol": "SPY", "created": "2020-01-01T00:00Z"}, "created"),
        ({"symbol": "SPY", "owner": "me"}, "owner"),
        ({"symbol": "SPY", "con_id": 2**63}, None),
        ({"symbol": "S\0Y"}, None),
        ({"symbol": "SPY", "name": "abc\u202edef"}, None),
        ({}, "symbol"),
        ([], "non_field_errors"),
        ("SPY", "non_field_errors"),
    ],
)
def test_what_cannot_be_an_instrument_is_refused_and_nothing_is_written(researcher, document, field):
    found = problem(researcher.post(f"{ROOT}/instruments", document), 400)
    assert field is None or field in found["errors"]
    assert not Instrument.objects.exists()


def test_a_second_active_instrument_of_the_same_listing_is_refused(researcher):
    instrument("SPY")
    problem(researcher.post(f"{ROOT}/instruments", {"symbol": "SPY"}), 400)
    assert researcher.post(f"{ROOT}/instruments", {"symbol": "SPY", "exchange": "ARCA"}).status_code == 201


def test_an_instrument_with_bars_is_not_removed(researcher, held):
    problem(researcher.delete(f"{ROOT}/instruments/{held.pk}"), 409)
    assert Instrument.objects.count() == 1


def test_lists_are_ordered_as_asked_and_paged_without_doubles(researcher):
    for number in range(25):
        instrument(f"S{number % 5}", exchange=f"X{number}")
    seen = []
    path = f"{ROOT}/instruments?ordering=-symbol&page_size=10"
    while path:
        page = researcher.get(path).json()
        seen += page["results"]
        path = page["next"]
    assert len({row["id"] for row in seen}) == 25
    assert [row["symbol"] for row in seen] == sorted((f"S{n % 5}" for n in range(25)), reverse=True)
    problem(researcher.get(f"{ROOT}/instruments?ordering=password"), 400)
    assert len(researcher.get(f"{ROOT}/instruments?page_size=100000").json()["results"]) == 25
    problem(researcher.get(f"{ROOT}/instruments?page=99"), 404)


def test_the_list_of_instruments_asks_the_same_however_many_there_are(researcher):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert researcher.get(f"{ROOT}/instruments").status_code == 200
            assert researcher.get(f"{ROOT}/watchlists").status_code == 200
            assert researcher.get(f"{ROOT}/corporate-actions").status_code == 200
        return len(queries)

    def add(number: int) -> None:
        row = instrument(f"T{number}")
        set_watchlist(name=f"list {number}", instruments=list(Instrument.objects.all()))
        CorporateAction.objects.create(instrument=row, ex_date="2020-01-02", kind="split", value=2)

    add(0)
    first = count()
    for number in range(1, 8):
        add(number)
    assert count() == first


# Bars


def test_pages_of_bars_joined_are_the_bars_of_the_store(researcher, held):
    stored = store.read_bars(held, "1m")
    path, bars = f"{ROOT}/instruments/{held.pk}/bars?timeframe=1m&limit=70", []
    while path:
        response = researcher.get(path)
        assert response.status_code == 200
        page = response.json()
        assert len(page["bars"]) <= 70
        assert response.headers.get("Link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
        bars += page["bars"]
        path = page["next"]
    assert [bar["start"] for bar in bars] == [f"{each}Z" for each in stored.start.view("M8[ns]").astype("M8[s]")]
    assert [bar["close"] for bar in bars] == stored.close.tolist()
    unknown = np.isnan(stored.volume)
    assert unknown.any()
    assert [bar["volume"] is None for bar in bars] == unknown.tolist()


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_the_other_forms_hold_the_same_bars(researcher, held, form):
    path = f"{ROOT}/instruments/{held.pk}/bars"
    stored = store.read_bars(held, "1m")
    response = researcher.get(path, {"timeframe": "1m", "format": form, "limit": 10_000})
    content = b"".join(response.streaming_content) if response.streaming else response.content
    assert response.status_code == 200
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        closes = [float(row["close"]) for row in rows]
        unknown = [row["volume"] == "" for row in rows]
    else:
        buffer = pa.BufferReader(content)
        table = pq.ParquetFile(buffer).read() if form == "parquet" else pa.ipc.open_stream(buffer).read_all()
        closes = table.column("close").to_pylist()
        unknown = [volume is None for volume in table.column("volume").to_pylist()]
        assert str(table.schema.field("start").type) == "timestamp[ns, tz=UTC]"
    assert closes == stored.close.tolist()
    assert unknown == np.isnan(stored.volume).tolist()


def test_a_range_of_two_centuries_reads_only_the_files_that_the_page_needs(researcher, bars_root, monkeypatch):
    row = instrument()
    for year in range(2010, 2020):
        store.write_bars(instrument=row, series=minutes(100, first=f"{year}-03-01T15:00"), source="test")
    read = []
    load = store.load_file
    monkeypatch.setattr(store, "load_file", lambda folder, file: read.append(file.partition) or load(folder, file))
    asked = {"timeframe": "1m", "start": "1900-01-01", "end": "2100-01-01", "limit": 50}
    page = researcher.get(f"{ROOT}/instruments/{row.pk}/bars", asked).json()
    assert len(page["bars"]) == 50
    assert read == [2010]
    assert len(researcher.get(page["next"]).json()["bars"]) == 50
    assert set(read) <= {2010, 2011, 2012}


def test_start_counts_in_and_end_does_not_and_a_date_includes_its_day(researcher, held):
    path = f"{ROOT}/instruments/{held.pk}/bars"

    def starts(**asked):
        return [bar["start"] for bar in researcher.get(path, {"timeframe": "1m", **asked}).json()["bars"]]

    assert starts(start="2022-12-31T23:00Z", end="2022-12-31T23:02Z") == [
        "2022-12-31T23:00:00Z",
        "2022-12-31T23:01:00Z",
    ]
    assert starts(start="2023-01-01")[0] == "2023-01-01T00:00:00Z"
    assert starts(end="2022-12-31")[-1] == "2022-12-31T23:59:00Z"
    assert starts(start="2024-01-01") == []


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"timeframe": "7m"},
        {"timeframe": "1h"},
        {"timeframe": "1m", "what": "SECRETS"},
        {"timeframe": "1m", "adjustment": "total"},
        {"timeframe": "1m", "format": "xlsx"},
        {"timeframe": "1m", "start": "yesterday"},
        {"timeframe": "1m", "start": "2023-01-01T00:00"},
        {"timeframe": "1m", "start": "0001-01-01"},
        {"timeframe": "1m", "end": "9999-12-31"},
        {"timeframe": "1m", "limit": "0"},
        {"timeframe": "1m", "limit": "10001"},
        {"timeframe": "1m", "limit": "²"},
        {"timeframe": "1m", "cursor": "-1"},
        {"timeframe": "1m", "cursor": "9" * 40},
        {"timeframe": "1m\0"},
    ],
)
def test_what_cannot_be_asked_of_bars_is_refused(researcher, held, asked):
    problem(researcher.get(f"{ROOT}/instruments/{held.pk}/bars", asked), 400)


def test_a_damaged_file_is_a_conflict_and_a_missing_store_is_unavailable(researcher, held, bars_root, settings):
    path = f"{ROOT}/instruments/{held.pk}/bars?timeframe=1m"
    settings.BARS_URL = str(bars_root / "elsewhere" / "gone")
    first = researcher.get(path)
    assert first.status_code in (409, 503)
    settings.BARS_URL = str(bars_root)
    for file in bars_root.rglob("*.parquet"):
        file.write_bytes(b"rubbish")
    found = problem(researcher.get(path), 409)
    assert "import" in found["detail"]


def test_coverage_names_the_class_of_each_gap(researcher, held):
    (found,) = researcher.get(f"{ROOT}/instruments/{held.pk}/coverage").json()
    assert (found["timeframe"], found["rows"], found["unexpected"]) == ("1m", 300, 300)
    problem(researcher.get(f"{ROOT}/instruments/{held.pk}/coverage?timeframe=x"), 400)


def test_bars_are_served_without_pandas(held):
    code = (
        "import django,sys; django.setup(); import marketdata.api, marketdata.barpages as b, numpy as np\n"
        "from domain.bars import BarSeries\n"
        "bars = BarSeries.from_columns('1m', start=np.arange(2)*60_000_000_000, open=[1,1], high=[1,1], low=[1,1],"
        " close=[1,1])\n"
        "b.as_json(bars), list(b.as_csv(bars)), b.as_parquet(bars), b.as_arrow(bars)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert isinstance(store.read_bars(held, "1m"), BarSeries)


# Watchlists and corporate actions


def test_a_watchlist_keeps_the_order_that_was_put(researcher):
    for symbol in ("SPY", "QQQ", "IWM"):
        instrument(symbol)
    made = researcher.post(f"{ROOT}/watchlists", {"name": "etfs", "members": ["SPY", "QQQ"]})
    assert made.status_code == 201
    path = f"{ROOT}/watchlists/{made.json()['id']}"
    changed = researcher.put(path, {"name": "funds", "tags": "us", "members": ["IWM", "SPY"]})
    assert changed.json() == {"id": made.json()["id"], "name": "funds", "tags": "us", "members": ["IWM", "SPY"]}
    assert researcher.patch(path, {"tags": ""}).json()["members"] == ["IWM", "SPY"]
    assert researcher.get(f"{ROOT}/watchlists", {"symbol": "IWM"}).json()["count"] == 1
    assert Watchlist.objects.count() == 1


def test_a_watchlist_with_an_unknown_doubled_or_ambiguous_member_is_not_written(researcher):
    instrument("SPY")
    instrument("SPY", exchange="ARCA")
    instrument("QQQ")
    for members in (["NOPE"], ["QQQ", "QQQ"], ["SPY"], "QQQ", [1.5], [{}]):
        problem(researcher.post(f"{ROOT}/watchlists", {"name": "x", "members": members}), 400)
    assert not Watchlist.objects.exists()
    assert researcher.post(f"{ROOT}/watchlists", {"name": "x", "members": ["SPY@ARCA"]}).status_code == 201


def test_a_failing_change_of_a_watchlist_leaves_it_as_it_was(researcher, monkeypatch):
    instrument("SPY")
    made = researcher.post(f"{ROOT}/watchlists", {"name": "etfs", "members": ["SPY"]}).json()

    def fail(**_):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("marketdata.api.set_watchlist", fail)
    problem(researcher.put(f"{ROOT}/watchlists/{made['id']}", {"name": "other", "members": []}), 500)
    problem(researcher.post(f"{ROOT}/watchlists", {"name": "third", "members": []}), 500)
    assert list(Watchlist.objects.values_list("name", flat=True)) == ["etfs"]


def test_corporate_actions_are_kept_within_the_rules_of_their_kind(researcher):
    row = instrument()
    split = {"instrument": row.pk, "ex_date": "2020-08-31", "kind": "split", "value": "4"}
    assert researcher.post(f"{ROOT}/corporate-actions", split).status_code == 201
    for wrong in ({}, {"value": "-1", "ex_date": "2020-09-01"}, {"value": None, "ex_date": "2020-09-01"}):
        problem(researcher.post(f"{ROOT}/corporate-actions", split | wrong), 400)
    listed = researcher.get(f"{ROOT}/corporate-actions", {"symbol": "SPY", "ex_date_from": "2020-01-01"}).json()
    assert [each["value"] for each in listed["results"]] == ["4.0000000000"]
    problem(researcher.get(f"{ROOT}/corporate-actions", {"instrument": 2**70}), 400)


# Imports


def test_an_uploaded_file_becomes_a_queued_run_that_can_be_followed(researcher, bars_root, tmp_path, settings):
    settings.UPLOADS_DIR = tmp_path / "uploads"
    file = SimpleUploadedFile("SPY.csv", b"date,open,high,low,close\n2024-01-02,1,1,1,1\n")
    response = researcher.post(f"{ROOT}/bar-imports", {"file": file, "timeframe": "1d"}, format="multipart")
    assert response.status_code == 202
    run = BarImport.objects.get()
    assert (run.origin, run.config, run.started_by.username[:10]) == ("api", {"timeframe": "1d"}, "researcher")
    detail = researcher.get(response["Location"]).json()
    assert (detail["state"], detail["name"], detail["report"]) == ("queued", "SPY.csv", None)
    assert researcher.post(f"{response['Location']}/cancel").json()["state"] == "cancelled"
    problem(researcher.post(f"{response['Location']}/cancel"), 409)
    assert researcher.post(f"{response['Location']}/retry").json()["state"] == "queued"


def test_what_cannot_be_imported_leaves_no_row_and_no_file(researcher, tmp_path, settings):
    settings.UPLOADS_DIR = tmp_path / "uploads"

    def send(**form):
        file = SimpleUploadedFile("SPY.csv", b"date,close\n")
        return researcher.post(f"{ROOT}/bar-imports", {"file": file, **form}, format="multipart")

    for form in ({"timeframe": "7m"}, {"state": "succeeded"}, {"kind": "bond"}, {"calendar": "x\0"}, {"since": "soon"}):
        problem(send(**form), 400)
    problem(researcher.post(f"{ROOT}/bar-imports", {}, format="multipart"), 400)
    problem(researcher.post(f"{ROOT}/bar-imports", {"file": "x"}, format="json"), 415)
    assert not BarImport.objects.exists()
    assert not (tmp_path / "uploads").exists()


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_read(researcher):
    response = researcher.generic(
        "POST", f"{ROOT}/bar-imports", b"", content_type="multipart/form-data; boundary=x", CONTENT_LENGTH=str(2**40)
    )
    problem(response, 413)
