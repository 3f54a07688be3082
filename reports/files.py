"""Writing the files of a report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write a text file in UTF-8, complete or not at all; returns its path.

    It is written beside and renamed. Where writing fails (a full disk) what stood at `path` is still there, what was
    written is removed again to give its space back, and the OSError goes on.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        return partial.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error says more
            partial.unlink()
        raise
