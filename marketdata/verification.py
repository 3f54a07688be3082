"""Reading one bar file: verified, or quarantined and never served."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from django.db import transaction
from django.utils import timezone

from domain.bars import Adjustment, BarSeries, Times
from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata import proofs
from marketdata.barfile import decode_bars, decode_starts
from marketdata.errors import CorruptBarFile, StoreUnavailable
from marketdata.folders import Folder
from marketdata.models import BarFile

QUARANTINE = "quarantine"

log = logging.getLogger(__name__)

Found = TypeVar("Found", BarSeries, Times)

_verified: dict[str, tuple[str, tuple[int, ...]]] = {}


def load_file(folder: Folder, row: BarFile) -> BarSeries:
    """The bars of one row, verified; follows the row when a writer switched it meanwhile."""
    return _load(folder, row, lambda data: decode_bars(data, Timeframe(row.timeframe), Adjustment(row.adjustment)))


def load_starts(folder: Folder, row: BarFile) -> Times:
    """The starts of the bars of one row, as `load_file` reads all of them. What stands in the other columns is
    verified by the file's hash, once per process."""
    return _load(folder, row, decode_starts)


def _load(folder: Folder, row: BarFile, decode: Callable[[Any], Found]) -> Found:
    while True:
        if row.quarantined is not None:
            raise CorruptBarFile(_advice(row, row.fault))
        try:
            data, identity = folder.read(row.path)
        except FileNotFoundError:
            current = BarFile.objects.get(pk=row.pk)
            if current.path != row.path:
                row = current
                continue
            if next(folder.entries(), None) is None:
                raise StoreUnavailable(
                    f"{folder.url} is empty or missing, but the catalogue lists files in it: is the disk mounted "
                    "and BARS_URL right? Nothing was changed"
                ) from None
            raise _quarantine(folder, row, "the file is missing") from None
        except OSError as error:
            raise StoreUnavailable(f"cannot read bars from {folder.url} ({error}); nothing was changed") from error
        return _verify(folder, row, data, identity, decode)


def _verify(
    folder: Folder, row: BarFile, data: Any, identity: tuple[int, ...] | None, decode: Callable[[Any], Found]
) -> Found:
    # The whole-file hash once per process and file, the page checksums always: the hash catches what pages do not
    # cover (the footer), the pages catch what happens to the file after the hash was taken.
    if identity is None or _verified.get(f"{folder.url}/{row.path}") != (row.sha256, identity):
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise _quarantine(folder, row, f"its SHA-256 is not the recorded one ({len(data)} of {row.bytes} bytes)")
        if identity is not None:
            _verified[f"{folder.url}/{row.path}"] = (row.sha256, identity)
    try:
        found = decode(data)
    except BadInput as error:
        raise _quarantine(folder, row, str(error)) from error
    if len(found) != row.rows:
        raise _quarantine(folder, row, f"{len(found)} bars instead of {row.rows}")
    return found


def _quarantine(folder: Folder, row: BarFile, fault: str) -> CorruptBarFile:
    """Take a damaged file out of service; returns the error to raise."""
    _verified.pop(f"{folder.url}/{row.path}", None)
    marked = BarFile.objects.filter(pk=row.pk, path=row.path, quarantined=None)
    with transaction.atomic():
        is_ours = marked.update(quarantined=timezone.now(), fault=fault[:300])
        if is_ours:  # its bars are missing now, whatever IB said of the others
            proofs.forget(
                instrument=row.instrument, timeframe=row.timeframe, what=row.what, start=row.start, end=row.end
            )
    if is_ours:
        with suppress(FileNotFoundError):
            folder.move(row.path, f"{QUARANTINE}/{row.path.replace('/', '_')}")
        log.error("bars: %s quarantined: %s", row.path, fault)
    return CorruptBarFile(_advice(row, fault))


def _advice(row: BarFile, fault: str) -> str:
    return (
        f"bar file {row.path} ({row.instrument.symbol} {row.timeframe}, {row.start:%Y-%m-%d} to {row.end:%Y-%m-%d}) "
        f"is damaged: {fault}. It is out of service; import or fetch these bars again"
    )
