import datetime as dt
import gzip
import json
import random
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from domain.adjustments import Dividend, DividendConvention, Split
from domain.bars import Adjustment
from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata import services, store
from marketdata.holdings import holdings
from marketdata.importing import ImportOptions, import_file
from marketdata.models import BarFile, CorporateAction, Instrument, Watchlist

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
HEADER = "timestamp,open,high,low,close,volume\n"
DAYS = HEADER + "2013-10-07,10,12,9,11,100\n2013-10-08,11,13,10,12,200\n2013-10-09,12,14,11,13,300\n"
MINUTES = HEADER + "2013-10-07T13:30:00Z,10,12,9,11,100\n2013-10-07T13:31:00Z,11,13,10,12,200\n"


def take(path, **options):
    return import_file(path, ImportOptions(**options))


def read(symbol="SPY", timeframe="1d", **options):
    return store.read_bars(Instrument.objects.named(symbol), timeframe, **options)


def utc(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_a_daily_date_becomes_the_open_and_close_of_its_session(give):
    report = take(give(DAYS))
    assert (report.rows, report.kept, report.dropped.total()) == (3, 3, 0)
    bars = read()
    assert bars.start.tolist() == [utc(f"2013-10-0{day}T13:30") for day in (7, 8, 9)]
    assert bars.end.tolist() == [utc(f"2013-10-0{day}T20:00") for day in (7, 8, 9)]
    assert bars.close.tolist() == [11, 12, 13]
    assert BarFile.objects.get().source == "SPY.csv"


def test_importing_twice_changes_nothing(give):
    path = give(DAYS)
    take(path)
    before = BarFile.objects.values().get()
    (series,) = take(path).series
    assert series.write == store.WriteReport(added=0, changed=0, unchanged=3, files=0)
    assert BarFile.objects.values().get() == before


def test_usual_spellings_delimiters_and_orders_are_understood(give):
    take(give("Ticker;Date;Vol;C;L;H;O;Foo\nSPY;2013-10-07;100;11;9;12;10;x\n", "whatever.csv"))
    bars = read()
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]) == (10, 12, 9, 11, 100)


def test_columns_can_be_named_and_what_is_not_used_is_reported(give):
    text = "when,first,top,bottom,final,extra\n2013-10-07,10,12,9,11,x\n"
    mapping = {"time": "when", "open": "first", "high": "top", "low": "bottom", "close": "final"}
    report = take(give(text), columns=mapping)
    assert report.ignored_columns == ["extra"]
    assert report.remarks == ["no volume column: volumes are unknown"]
    assert np.isnan(read().volume).all()
    with pytest.raises(BadInput, match=r"unknown column 'top2'; did you mean 'top'\?"):
        take(give(text), columns=mapping | {"high": "top2"})
    with pytest.raises(BadInput, match=r"unknown field in --columns: 'hihg'; did you mean 'high'\?"):
        take(give(text), columns={"hihg": "top"})


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (["2013-10-07T13:30:00Z", "2013-10-07T13:31:00Z"], {}),
        (["2013-10-07T09:30:00-04:00", "2013-10-07T09:31:00-04:00"], {}),
        (["2013-10-07 09:30", "2013-10-07 09:31"], {"tz": "America/New_York"}),
        (["20131007 09:30:00", "20131007 09:31:00"], {"tz": "America/New_York"}),
        (["1381152600", "1381152660"], {}),
        (["1381152600000", "1381152660000"], {}),
        (["2013-10-07T13:31:00Z", "2013-10-07T13:32:00Z"], {"stamp": "end"}),
    ],
)
def test_every_way_to_write_a_time_means_the_same(give, times, options):
    rows = "".join(f"{time},10,12,9,11,1\n" for time in times)
    take(give(HEADER + rows), timeframe=Timeframe.M1, **options)
    assert read(timeframe="1m").start.tolist() == [utc("2013-10-07T13:30"), utc("2013-10-07T13:31")]


def test_separate_date_and_time_columns_are_one_time(give):
    text = "Date,Time,Open,High,Low,Close\n2013-10-07,09:30:00,10,12,9,11\n2013-10-07,09:31:00,10,12,9,11\n"
    take(give(text), tz="America/New_York")
    assert read(timeframe="1m").start.tolist() == [utc("2013-10-07T13:30"), utc("2013-10-07T13:31")]


def test_naive_times_without_a_zone_are_refused(give):
    with pytest.raises(BadInput, match="no zone; say it with --tz"):
        take(give(MINUTES.replace("Z", "")))
    with pytest.raises(BadInput, match="'Mars/Base' is no time zone"):
        take(give(MINUTES.replace("Z", "")), tz="Mars/Base")
    with pytest.raises(BadInput, match="some times have a zone and some have not"):
        take(give(MINUTES.replace("Z", "", 1)))


def test_a_time_that_clocks_repeat_is_refused(give):
    rows = "2013-11-03 01:30,10,12,9,11,1\n2013-11-03 01:31,10,12,9,11,1\n"
    with pytest.raises(BadInput, match="clocks of America/New_York skip or repeat"):
        take(give(HEADER + rows), tz="America/New_York", calendar="24/7")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2013-10-10,nan,12,9,11,1", "a price is missing or no number"),
        ("2013-10-10,inf,12,9,11,1", "a price is missing or no number"),
        ("2013-10-10,,12,9,11,1", "a price is missing or no number"),
        ("2013-10-10,ten,12,9,11,1", "a price is missing or no number"),
        ("2013-10-10,0,12,9,11,1", "a price is zero or negative"),
        ("2013-10-10,10,12,-9,11,1", "a price is zero or negative"),
        ("2013-10-10,10,1e308,9,11,1", "a price is absurdly large"),
        ("2013-10-10,10,9,12,11,1", "high is below low"),
        ("2013-10-10,10,12,9,13,1", "open or close is outside [low, high]"),
        ("2013-10-10,10,12,9,11,-1", "volume is negative or absurdly large"),
        ("2013-10-12,10,12,9,11,1", "on a day without a session of XNYS"),
        ("1066-10-14,10,12,9,11,1", "time cannot be read"),
        ("2013-13-10,10,12,9,11,1", "time cannot be read"),
        ("2013-10-10,10,12,9,11,1,7", "has too many or too few fields"),
        ("2013-10-09,12,14,11,13,300", "doubled with the same values"),
    ],
)
def test_a_bad_row_is_dropped_with_its_reason_and_line(give, row, reason):
    lines = DAYS.splitlines()
    text = "\n".join([*lines[:2], row, *lines[2:]]) + "\n"
    report = take(give(text))
    # Of two equal rows the one that stands second goes.
    line = 5 if reason.startswith("doubled") else 3
    assert report.dropped.as_dict() == {reason: {"rows": 1, "lines": [line]}}
    assert (report.rows, report.kept) == (4, 3)
    assert read().close.tolist() == [11, 12, 13]
    with pytest.raises(BadInput, match="refused by --strict"):
        take(give(text), strict=True)


def test_blank_lines_do_not_shift_line_numbers(give):
    lines = DAYS.splitlines()
    report = take(give("\n".join([*lines[:2], "", "2013-10-10,0,12,9,11,1", *lines[2:]])))
    assert report.dropped.as_dict() == {"a price is zero or negative": {"rows": 1, "lines": [4]}}
    assert (report.rows, report.kept) == (4, 3)


def test_unsorted_rows_are_sorted_and_reported(give):
    lines = DAYS.splitlines()
    report = take(give("\n".join([lines[0], lines[3], lines[1], lines[2]])))
    assert report.noted.as_dict() == {"out of time order, sorted": {"rows": 1, "lines": [3]}}
    assert read().close.tolist() == [11, 12, 13]


def test_two_different_bars_for_one_time_refuse_the_file(give):
    with pytest.raises(BadInput, match="lines 4 and 5 give different bars for 2013-10-09"):
        take(give(DAYS + "2013-10-09,12,14,11,13.5,300\n"))
    assert not BarFile.objects.exists()


def test_odd_extremes_are_kept_and_noted(give):
    report = take(give(DAYS + "2013-10-10,294,300,0.01,294,1\n"))
    assert list(report.noted.counts) == ["kept, but high or low is far from open and close: a bad print?"]
    assert report.kept == 4


def test_rounding_outside_the_range_is_mended_and_noted(give):
    report = take(give(DAYS + "2013-10-10,10,12,9,12.0004,1\n"))
    assert list(report.noted.counts) == ["widened: open or close outside [low, high] by rounding"]
    assert read().high[-1] == 12.0004


def test_bars_outside_regular_hours_are_dropped_by_place_or_kept_on_request(give):
    text = HEADER + "".join(
        f"2013-10-07T{time}:00Z,10,12,9,11,1\n" for time in ("12:00", "13:30", "13:31", "19:59", "20:00", "22:00")
    )
    report = take(give(text))
    assert report.dropped.counts == {"before the open": 1, "at or after the close (a closing auction too)": 2}
    assert len(read(timeframe="1m")) == 3
    assert take(give(text), session="all").kept == 6
    assert len(read(timeframe="1m")) == 6


def test_an_hour_bar_over_the_open_starts_at_the_open(give):
    text = HEADER + "2013-10-07T13:00:00Z,10,12,9,11,1\n2013-10-07T14:00:00Z,10,12,9,11,1\n"
    take(give(text))
    bars = read(timeframe="1h")
    assert bars.start.tolist() == [utc("2013-10-07T13:30"), utc("2013-10-07T14:00")]
    assert bars.end.tolist() == [utc("2013-10-07T14:00"), utc("2013-10-07T15:00")]


def test_weekly_dates_run_from_the_first_open_to_the_last_close_of_their_week(give):
    take(give(HEADER + "2013-11-25,10,12,9,11,1\n2013-12-02,10,12,9,11,1\n"))
    bars = read(timeframe="1w")
    assert bars.start.tolist() == [utc("2013-11-25T14:30"), utc("2013-12-02T14:30")]
    assert bars.end.tolist() == [utc("2013-11-29T18:00"), utc("2013-12-06T21:00")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (HEADER.encode(), "has no rows"),
        (DAYS.replace("low", "lwo").encode(), "has no column for low .*--columns low=YOURS"),
        (DAYS.encode("utf-16"), "is UTF-16 text"),
        (DAYS.replace("100", "ä").encode("latin-1"), "is not UTF-8 text"),
        (b"2013-10-07,10,12,9,11,100\n", "has no header line"),
        (b"\0\0\0", "is neither CSV nor Parquet"),
        (("a," * 300 + "\n1\n").encode(), "has 301 columns, more than 200"),
        (b"PAR1" + b"x" * 100, "is a damaged Parquet file"),
        (gzip.compress(DAYS.encode(), mtime=0)[:-9], "is a damaged gzip file"),
        (HEADER.encode() + b"yesterday,1,1,1,1,1\n", "times such as 'yesterday' cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_right_is_refused_with_what_to_do(give, content, message):
    with pytest.raises(BadInput, match=f"SPY.csv: .*{message}"):
        take(give(content))
    assert not BarFile.objects.exists() and not Instrument.objects.exists()


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(BadInput, match="is a folder"):
        take(tmp_path)
    with pytest.raises(BadInput, match="there is no such file"):
        take(tmp_path / "none.csv")


def test_compressed_files_are_read_and_bombs_are_not(give, tmp_path):
    take(give(gzip.compress(("\ufeff" + DAYS).encode()), "SPY.csv.gz"))
    assert len(read()) == 3
    with zipfile.ZipFile(tmp_path / "IBM.zip", "w") as archive:
        archive.writestr("prices.csv", DAYS)
    take(tmp_path / "IBM.zip")
    assert len(read("IBM")) == 3
    bomb = gzip.compress(bytes(64 << 20))
    with pytest.raises(BadInput, match="unpacks to more than 16,777,216 bytes"):
        take(give(bomb, "BOMB.csv.gz"))
    with zipfile.ZipFile(tmp_path / "BOMB.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("prices.csv", bytes(64 << 20))
    with pytest.raises(BadInput, match="unpacks to more than"):
        take(tmp_path / "BOMB.zip")


def test_a_zip_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "SPY.zip", "w") as archive:
        archive.writestr("a.csv", DAYS)
        archive.writestr("b.csv", DAYS)
    with pytest.raises(BadInput, match="is a zip of 2 files"):
        take(tmp_path / "SPY.zip")


def test_parquet_columns_of_any_time_and_number_type_are_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = np.array(["2013-10-07", "2013-10-08"], "datetime64[D]")
    prices = {name: pa.array([10, 11]) for name in ("open", "high", "low")}
    close = pa.array(["10", "11"]).cast(pa.decimal128(9, 2))
    for number, stamps in enumerate(
        (
            pa.array(days),
            pa.array(days.astype("datetime64[ms]")),
            pa.array(days.astype("datetime64[us]").astype(np.int64), pa.timestamp("us", "UTC")),
            pa.array([20131007, 20131008]),
            pa.array(["20131007", "20131008"]),
            pa.array(
                [4 * 3600 + int(day) for day in days.astype("datetime64[s]").astype(int)], pa.timestamp("s", "UTC")
            ),
        )
    ):
        pq.write_table(pa.table({"date": stamps, **prices, "close": close}), tmp_path / f"T{number}.parquet")
        take(tmp_path / f"T{number}.parquet", tz="America/New_York", timeframe=Timeframe.D1)
        bars = read(f"T{number}")
        assert bars.start.tolist() == [utc("2013-10-07T13:30"), utc("2013-10-08T13:30")], number
        assert bars.close.tolist() == [10, 11]


def test_rubbish_of_any_kind_is_either_imported_or_refused_with_bad_input(give):
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    scraps = [
        b",",
        b"\n",
        b'"',
        b"\r",
        b"\0",
        b"NaN",
        b"-",
        b"1e999",
        b"\xff",
        "\u202e".encode(),
        b";",
        b"Z",
        b"9" * 30,
    ]
    outcomes = {"kept": 0, "refused": 0}
    for _ in range(300):
        content = bytearray(chance.choice((DAYS, MINUTES)).encode())
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(content))
            content[at : at + chance.randrange(3)] = chance.choice(scraps)
        try:
            outcomes["kept"] += bool(take(give(bytes(content))).kept)
        except BadInput:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20, outcomes
    for row in BarFile.objects.all():
        store.read_bars(row.instrument, row.timeframe).check()


def test_a_parquet_bomb_is_refused_by_its_claim(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.repeat(1.0, 3_000_000)
    pq.write_table(pa.table(dict.fromkeys(HEADER.strip().split(","), column)), tmp_path / "BOMB.parquet")
    with pytest.raises(BadInput, match="claims 3,000,000 rows"):
        take(tmp_path / "BOMB.parquet")


@pytest.mark.parametrize("symbol", ["../../x", "a/b", "..", "x" * 33, "a\nb", "a;b", "\u202eSPY"])
def test_a_symbol_is_letters_digits_and_little_else(give, symbol):
    with pytest.raises(BadInput, match="is not a symbol"):
        take(give(DAYS), symbol=symbol)


def test_a_file_name_that_does_not_begin_like_a_symbol_needs_one(give):
    with pytest.raises(BadInput, match="say it with --symbol"):
        take(give(DAYS, "2013 prices.csv"))
    assert take(give(DAYS, "brk.b_2013.csv")).series[0].symbol == "BRK"


def test_a_file_of_many_symbols_makes_many_series_or_none(give):
    rows = DAYS.splitlines()[1:]
    text = "symbol," + HEADER + "".join(f"{symbol},{row}\n" for row in rows for symbol in ("AAA", "BBB"))
    assert [series.symbol for series in take(give(text)).series] == ["AAA", "BBB"]
    assert read("BBB").close.tolist() == [11, 12, 13]
    with pytest.raises(BadInput, match="different bars"):
        take(give(text.replace("AAA", "CCC") + "BBB,2013-10-09,12,14,11,13.5,1\n"))
    assert not Instrument.objects.filter(symbol="CCC").exists()
    assert take(give(text), symbol="AAA").kept == 3


def test_a_bar_that_has_not_ended_is_not_stored(give):
    report = import_file(give(DAYS), ImportOptions(), now_ns=utc("2013-10-09T19:59:59"))
    assert (report.kept, report.dropped.as_dict()["not finished yet, or in the future"]["rows"]) == (2, 1)
    with pytest.raises(BadInput, match="not finished yet"):
        import_file(give(HEADER + "2027-03-01,10,11,9,10,100\n"), ImportOptions(), now_ns=utc("2026-11-21"))
    assert import_file(give(DAYS), ImportOptions(), now_ns=utc("2013-10-09T20:00")).kept == 3


def test_a_dry_run_writes_nothing(give):
    report = import_file(give(DAYS), ImportOptions(), dry_run=True)
    assert report.kept == 3 and report.series[0].write is None
    assert not Instrument.objects.exists()


def test_splits_and_dividends_are_derived_from_the_adjusted_close(give):
    text = "date,open,high,low,close,volume,adj_close\n"
    for day, close, adjusted in ((7, 100.12, 24.53), (8, 50.06, 24.53), (9, 49.06, 24.53), (10, 50.01, 25.005)):
        text += f"2013-10-{day:02},{close},{close},{close},{close},1,{adjusted}\n"
    take(give(text), derive=DividendConvention.EX_CLOSE)
    actions = services.actions_of(Instrument.objects.get())
    day = int(np.datetime64("2013-10-08").astype(np.int64))
    assert actions[0] == Split(day, 2.0)
    assert isinstance(actions[1], Dividend) and actions[1].ex_day == day + 1
    assert actions[1].amount == pytest.approx(1.0, abs=1e-6)


def test_a_long_hole_is_remarked_on(give):
    report = take(give(DAYS + "2015-10-09,12,14,11,13,300\n"))
    assert any("nothing between 2013-10-09 and 2015-10-09" in remark for remark in report.remarks)
    assert take(give(DAYS + "2015-10-09,12,14,11,13,300\n"), until=np.datetime64("2014-01-01")).kept == 3


def test_quotes_become_midpoints(give):
    names = [f"{side}_{price}" for side in ("bid", "ask") for price in ("open", "high", "low", "close")]
    text = "timestamp," + ",".join(names) + "\n2013-10-07,10,12,9,11,10.5,12.5,9.5,11.5\n"
    with pytest.raises(BadInput, match="--what MIDPOINT"):
        take(give(text))
    take(give(text), what="MIDPOINT")
    bars = read(what="MIDPOINT")
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (10.25, 12.25, 9.25, 11.25)


# The commands


def test_the_command_prints_json_and_fails_with_its_exit_code(give, capsys):
    call_command("import_bars", str(give(DAYS)), "--json", "--adjustment", "split")
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == []
    assert document["files"][0]["series"][0]["write"]["added"] == 3
    assert read().adjustment is Adjustment.SPLIT
    with pytest.raises(CommandError) as failed:
        call_command("import_bars", str(give(b"")))
    assert failed.value.returncode == 1
    with pytest.raises(CommandError) as wrong:
        call_command("import_bars", str(give(DAYS)), "--timeframe", "7m")
    assert wrong.value.returncode == 2


def test_a_bad_file_among_good_ones_does_not_stop_them(give, capsys):
    with pytest.raises(CommandError, match="is empty"):
        call_command("import_bars", str(give(b"", "BAD.csv")), str(give(DAYS)))
    assert "SPY 1d raw: 3 bars" in capsys.readouterr().out
    assert len(read()) == 3


def test_the_demo_is_imported_once_and_then_held(capsys):
    pytest.importorskip("bokeh_sampledata")
    call_command("import_demo")
    before = list(BarFile.objects.order_by("pk").values()), CorporateAction.objects.count()
    call_command("import_demo")
    assert (list(BarFile.objects.order_by("pk").values()), CorporateAction.objects.count()) == before
    watchlist = Watchlist.objects.get(name="demo")
    symbols = [member.instrument.symbol for member in watchlist.members.select_related("instrument")]
    assert symbols == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    splits = CorporateAction.objects.filter(kind="split").values_list("instrument__symbol", "ex_date", "value")
    assert {(symbol, str(day), float(value)) for symbol, day, value in splits} == {
        ("AAPL", "2000-06-21", 2.0),
        ("AAPL", "2005-02-28", 2.0),
        ("MSFT", "2003-02-18", 2.0),
    }
    capsys.readouterr()
    call_command("coverage", "--json")
    assert [(found["symbol"], found["missing"]) for found in json.loads(capsys.readouterr().out)] == [
        (symbol, 0) for symbol in symbols
    ]


def test_the_demo_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"pip install bokeh_sampledata==2026\.1"):
        call_command("import_demo")


def test_actions_are_imported_all_or_none(give, capsys):
    splits = "symbol,ex_date,new_per_old,close_before\nSPY,2014-06-09,7.0,645.57\n"
    call_command("import_actions", str(give(splits)))
    mixed = "date,kind,value\n2014-06-10,dividend,0.5\n2015-01-02,delisting,\n"
    call_command("import_actions", str(give(mixed)), "--symbol", "SPY")
    call_command("import_actions", str(give(mixed)), "--symbol", "SPY")
    rows = CorporateAction.objects.values_list("ex_date", "kind", "value")
    assert [(day, kind, value and float(value)) for day, kind, value in rows] == [
        (dt.date(2014, 6, 9), "split", 7.0),
        (dt.date(2014, 6, 10), "dividend", 0.5),
        (dt.date(2015, 1, 2), "delisting", None),
    ]
    with pytest.raises(CommandError, match=r"line 3: unknown corporate action 'spilt'; did you mean 'split'\?"):
        call_command(
            "import_actions", str(give("symbol,date,kind,value\nIBM,2014-06-10,split,2\nIBM,2014-06-11,spilt,2\n"))
        )
    with pytest.raises(CommandError, match=r"line 2: .* must be a positive number"):
        call_command("import_actions", str(give("symbol,date,kind,value\nIBM,2014-06-10,split,0\n")))
    assert not Instrument.objects.filter(symbol="IBM").exists()


# Golden files


def golden(name):
    path = SHARED / "golden" / "gaps" / name
    if not path.exists():
        pytest.skip(f"golden file {name} is not beside the checkout")
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", ["gap01_spy_1m_2011_01.json", "gap02_spx_half_day_2023_07_03.json"])
def test_minutes_outside_and_inside_the_session_are_counted_as_the_golden_file_does(name):
    expected = golden(name)
    report = import_file(SHARED.parent / expected["file"], ImportOptions(symbol="GOLD"))
    sessions = expected["sessions"]
    assert report.kept == sum(session["present_regular_minutes"] for session in sessions)
    counts = report.dropped.counts
    assert counts.get("before the open", 0) == sum(session["bars_before_open"] for session in sessions)
    after = counts.get("at or after the close (a closing auction too)", 0)
    assert after == sum(session["bars_at_or_after_close"] for session in sessions)
    (holding,) = holdings(Instrument.objects.get())
    assert holding.gaps is not None
    assert holding.gaps.missing.sum() == sum(len(session["missing_regular_minutes"]) for session in sessions)


@pytest.mark.parametrize("index", range(4))
def test_daily_gaps_are_those_of_the_golden_file(index):
    name, expected = list(golden("gap11_daily_complete.json")["files"].items())[index]
    import_file(SHARED / "data" / name, ImportOptions())
    (holding,) = holdings(Instrument.objects.get())
    assert holding.gaps is not None
    assert (holding.gaps.expected, holding.held.rows, len(holding.gaps)) == (
        expected["expected_sessions"],
        expected["present"],
        expected["gaps"],
    )
