"""A report's file is whole or absent, also on a disk that is full in the middle of it."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports.files import write_whole
from reports.notebook import write_notebook
from reports.tearsheet import write_report
from tests.reports.factory import make_run


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk with so many bytes left for each file: the system itself cuts the write short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_file_is_written_whole_over_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    assert write_whole(path, "größer") == path
    assert path.read_bytes() == "größer".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("write", [write_report, write_notebook])
def test_a_full_disk_leaves_the_report_as_it_was_and_no_rest(tmp_path: Path, write) -> None:
    run = make_run(tmp_path)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with files_of_at_most(1_000), pytest.raises(OSError, match="File too large"):
        write(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    old = write(run).read_bytes()
    with files_of_at_most(1_000), pytest.raises(OSError, match="File too large"):
        write(run)
    assert (run / write(run).name).read_bytes() == old
    assert not list(run.glob(".*"))


def test_a_partial_file_that_cannot_be_renamed_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "a.txt", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
