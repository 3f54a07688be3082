"""Damaged, missing and unwritable bar files: never served wrong, never lost silently."""

import errno
import os
import random
import sys

import numpy as np
import pytest

from domain.bars import COLUMNS
from marketdata import folders, store, verification
from marketdata.errors import CorruptBarFile, StoreUnavailable
from marketdata.models import BarFile
from tests.marketdata import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def bars_root(tmp_path, settings):
    settings.BARS_URL = str(tmp_path / "bars")
    return tmp_path / "bars"


@pytest.fixture
def spy(bars_root):
    instrument = make.instrument()
    store.write_bars(instrument=instrument, series=make.minutes(500), source="test")
    return instrument


def held_path(root):
    return root / BarFile.objects.get().path


def restore(path, content):
    BarFile.objects.update(quarantined=None, fault="")
    path.write_bytes(content)


def same(left, right):
    return all(np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True) for name in COLUMNS)


def damaged_versions(content, seed, count):
    """Copies of `content` with one bit flipped, cut off, or with zeros in the middle."""
    chance = random.Random(seed)
    for _ in range(count):
        at = chance.randrange(len(content))
        kind = chance.choice(("flip", "flip", "flip", "cut", "zeros"))
        if kind == "flip":
            yield content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        elif kind == "cut":
            yield content[:at]
        elif any(content[at : at + 64]):
            yield content[:at] + bytes(len(content[at : at + 64])) + content[at + 64 :]


def test_a_damaged_file_is_never_served(spy, bars_root):
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    path = held_path(bars_root)
    content = path.read_bytes()
    tried = 0
    for damaged in damaged_versions(content, seed, 300):
        restore(path, damaged)
        with pytest.raises(CorruptBarFile, match="import or fetch these bars again"):
            store.read_bars(spy, "1m")
        assert not path.exists()
        assert BarFile.objects.get().quarantined is not None
        tried += 1
    assert tried > 200


def test_page_checksums_catch_what_happens_after_the_hash_was_taken(spy, bars_root, monkeypatch):
    """With the whole-file hash off, as in a process that verified the file before its disk went bad."""
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    good = store.read_bars(spy, "1m")
    path = held_path(bars_root)
    content = path.read_bytes()
    row = BarFile.objects.get()

    class TrustedHash(dict):
        def get(self, key, default=None):
            status = path.stat()
            return (row.sha256, (status.st_ino, status.st_mtime_ns, status.st_size))

    monkeypatch.setattr(verification, "_verified", TrustedHash())
    wrong = caught = 0
    for damaged in damaged_versions(content, seed, 300):
        restore(path, damaged)
        try:
            wrong += not same(store.read_bars(spy, "1m"), good)
        except CorruptBarFile:
            caught += 1
    assert wrong == 0
    assert caught > 200


def test_a_damaged_file_is_kept_in_quarantine_and_named_in_the_error(spy, bars_root):
    path = held_path(bars_root)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptBarFile) as caught:
        store.read_bars(spy, "1m")
    row = BarFile.objects.get()
    assert row.path in str(caught.value) and "SPY 1m" in str(caught.value)
    assert "SHA-256" in row.fault
    assert (bars_root / "quarantine" / row.path.replace("/", "_")).exists()
    assert store.sweep(older_than_seconds=0) == []
    with pytest.raises(CorruptBarFile):
        store.read_bars(spy, "1m")


def test_importing_again_brings_a_quarantined_series_back(spy, bars_root):
    path = held_path(bars_root)
    path.write_bytes(b"PAR1 no longer")
    report = store.write_bars(instrument=spy, series=make.minutes(500)[:400], source="again")
    assert report == store.WriteReport(added=400, changed=0, unchanged=0, files=1, lost=500)
    assert same(store.read_bars(spy, "1m"), make.minutes(500)[:400])
    row = BarFile.objects.get()
    assert (row.quarantined, row.fault, row.version) == (None, "", 2)


def test_a_missing_file_is_out_of_service(spy, bars_root):
    (bars_root / "other.parquet").write_bytes(b"x")
    held_path(bars_root).unlink()
    with pytest.raises(CorruptBarFile, match="the file is missing"):
        store.read_bars(spy, "1m")
    assert BarFile.objects.get().fault == "the file is missing"


def test_a_disk_that_is_not_mounted_costs_nothing(spy, bars_root, tmp_path):
    bars_root.rename(tmp_path / "unmounted")
    bars_root.mkdir()
    with pytest.raises(StoreUnavailable, match="is the disk mounted"):
        store.read_bars(spy, "1m")
    with pytest.raises(StoreUnavailable, match="is the disk mounted"):
        store.write_bars(instrument=spy, series=make.minutes(600), source="test")
    bars_root.rmdir()
    (tmp_path / "unmounted").rename(bars_root)
    assert same(store.read_bars(spy, "1m"), make.minutes(500))


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_bars_and_no_rubbish(spy, bars_root, monkeypatch, failing):
    before = sorted(bars_root.rglob("*"))

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if failing == "write":
        opened = folders.Path.open

        class FullFile:
            def __init__(self, file):
                self.file = file

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.file.close()

            def write(self, data):
                self.file.write(bytes(data[:100]))
                full()

        monkeypatch.setattr(
            folders.Path,
            "open",
            lambda path, mode="r", *more: FullFile(opened(path, mode)) if "x" in mode else opened(path, mode, *more),
        )
    elif failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(folders.Path, "rename", full)
    with pytest.raises(StoreUnavailable, match=r"No space left on device.*what is held is unchanged"):
        store.write_bars(instrument=spy, series=make.minutes(600), source="test")
    monkeypatch.undo()
    assert sorted(bars_root.rglob("*")) == before
    verification._verified.clear()
    assert same(store.read_bars(spy, "1m"), make.minutes(500))
