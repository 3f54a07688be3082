"""Files handed in through the web: kept, imported once, and never outside their folder."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from domain.errors import BadInput
from marketdata import uploads
from marketdata.models import BarImport, Instrument
from marketdata.tasks import import_bars

CSV = b"date,open,high,low,close,volume\n2024-01-02,10,11,9,10.5,100\n2024-01-03,10.5,12,10,11,120\n"


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path):
    settings.BARS_URL = str(tmp_path / "bars")
    settings.UPLOADS_DIR = tmp_path / "uploads"


def left(settings) -> list[str]:
    return [str(path.relative_to(settings.UPLOADS_DIR)) for path in Path(settings.UPLOADS_DIR).rglob("*")]


def test_a_file_is_imported_by_a_worker_and_its_upload_is_gone(db, settings):
    row = uploads.queue_import(name="ACME.csv", chunks=[CSV[:20], CSV[20:]], options={"timeframe": "1d"}, origin="web")
    assert (row.state, row.bytes) == ("queued", len(CSV))
    import_bars(str(row.pk))
    row.refresh_from_db()
    assert (row.state, row.path, row.report["kept"]) == ("succeeded", "", 2)
    assert Instrument.objects.get().symbol == "ACME", "from the name of the file"
    assert row.log_tail == "ACME 1d: 2 bars kept\n"
    assert left(settings) == []


def test_a_file_that_is_refused_says_why_by_its_own_name(db, settings):
    row = uploads.queue_import(name="ACME.csv", chunks=[b"a,b\n1,2\n"], options={}, origin="web")
    import_bars(str(row.pk))
    row.refresh_from_db()
    assert row.state == "failed"
    assert row.error.startswith("ACME.csv: ")
    assert str(settings.UPLOADS_DIR) not in row.error


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"timeframe": "7m"}, "7m"),
        ({"stamp": "middle"}, "unknown stamp 'middle'"),
        ({"color": "red"}, "unknown option 'color'"),
        ({"strict": "yes"}, "strict is 'yes'"),
        ({"columns": "open"}, "columns wants field=column pairs"),
        ({"since": "2024-02-01", "until": "2024-01-01"}, "2024-02-01"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_kept(db, settings, options, fault):
    with pytest.raises(BadInput, match=fault):
        uploads.queue_import(name="ACME.csv", chunks=[CSV], options=options, origin="web")
    assert BarImport.objects.count() == 0
    assert not Path(settings.UPLOADS_DIR).exists()


def test_a_file_that_is_too_large_is_refused_and_not_kept(db, settings, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 1 << 20)
    with pytest.raises(BadInput, match=r"ACME.csv is larger than 1 MiB"):
        uploads.queue_import(name="ACME.csv", chunks=iter([b"x" * 700_000] * 2), options={}, origin="web")
    assert BarImport.objects.count() == 0
    assert left(settings) == []


def test_what_failed_can_be_tried_again_for_a_week_and_is_then_removed(db, settings):
    now = timezone.now()
    rows = [uploads.queue_import(name="A.csv", chunks=[b"no"], options={}, origin="web") for _ in range(3)]
    for row, days in zip(rows, (8, 1, None), strict=True):
        ended = {"state": "failed", "finished": now - timedelta(days=days)} if days else {}
        BarImport.objects.filter(pk=row.pk).update(**ended)
    (settings.UPLOADS_DIR / "nobody's").mkdir()
    assert uploads.remove_old(now) == [], "a file may be on its way in, before its row"
    assert uploads.remove_old(now + timedelta(hours=2)) == sorted([str(rows[0].pk), "nobody's"])
    assert {path.name for path in settings.UPLOADS_DIR.iterdir()} == {str(row.pk) for row in rows[1:]}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "a\0b.csv", ".bashrc", "x" * 300, "näme.csv", ""]
)
def test_no_name_leads_out_of_the_folder(db, settings, name):
    row = uploads.queue_import(name=name, chunks=[CSV], options={"symbol": "ACME"}, origin="web")
    path = (Path(settings.UPLOADS_DIR) / row.path).resolve()
    assert path.is_file()
    assert path.parent == Path(settings.UPLOADS_DIR).resolve() / str(row.pk)
    import_bars(str(row.pk))
    row.refresh_from_db()
    assert row.state == "succeeded", row.error
