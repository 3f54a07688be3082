import pytest

from domain.errors import BadInput
from marketdata import folders, store
from marketdata.errors import CorruptBarFile
from marketdata.models import BarFile
from tests.marketdata import make


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd", "a//b", "", ".", "a/.", "a\0b", "a/.hidden"])
def test_a_path_cannot_leave_its_folder(tmp_path, path):
    folder = folders.open_folder(str(tmp_path))
    with pytest.raises(BadInput, match="is not a path of a bar file"):
        folder.write(path, b"x")
    with pytest.raises(BadInput):
        folder.read(path)


def test_a_file_is_written_once(tmp_path):
    folder = folders.open_folder(f"file://{tmp_path}")
    folder.write("a/b.parquet", b"content")
    assert bytes(folder.read("a/b.parquet").data) == b"content"
    assert [entry.path for entry in folder.entries()] == ["a/b.parquet"]
    folder.move("a/b.parquet", "quarantine/b.parquet")
    folder.remove("quarantine/b.parquet")
    folder.remove("quarantine/b.parquet")
    with pytest.raises(FileNotFoundError):
        folder.read("a/b.parquet")


@pytest.mark.parametrize("url", ["ftp://host/bars", "s3://", "http://host"])
def test_an_unknown_kind_of_url_is_refused(url):
    with pytest.raises(BadInput, match="neither a folder nor"):
        folders.open_folder(url)


@pytest.fixture(scope="module")
def bucket_url():
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("AWS_PROFILE", raising=False)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bars")
        yield "s3://bars/our/store"
    server.stop()


@pytest.mark.django_db
def test_the_store_works_on_a_bucket(bucket_url, settings):
    settings.BARS_URL = bucket_url
    spy = make.instrument()
    bars = make.minutes(300, unknown_volume=True)
    store.write_bars(instrument=spy, series=bars[:200], source="test")
    store.write_bars(instrument=spy, series=bars[100:], source="test")
    assert store.read_bars(spy, "1m").content_hash() == bars.content_hash()
    assert len(store.sweep(older_than_seconds=-1)) == 1
    assert store.read_bars(spy, "1m").content_hash() == bars.content_hash()

    folder = store.bars_folder()
    path = BarFile.objects.get().path
    damaged = bytearray(folder.read(path).data)
    damaged[len(damaged) // 2] ^= 1
    folder.write(path, bytes(damaged))
    with pytest.raises(CorruptBarFile, match="SHA-256"):
        store.read_bars(spy, "1m")
    assert [entry.path.startswith("quarantine/") for entry in folder.entries()] == [True]


def test_a_folder_may_be_relative_and_not_exist_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = folders.open_folder("new/bars")
    assert not folder.exists()
    assert list(folder.entries()) == []
    folder.write("1/a.parquet", b"x")
    assert [path.name for path in (tmp_path / "new" / "bars").iterdir()] == ["1"]
