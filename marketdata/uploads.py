"""Files of bars that come in through the web: kept in UPLOADS_DIR until a worker has imported them."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings

from domain.errors import BadInput
from marketdata.import_options import read_options
from marketdata.importing import check_options, import_file
from marketdata.models import BarImport
from tradingsite.attempts import Attempt

MAX_UPLOAD_BYTES = 100 * 1024 * 1024


def queue_import(*, name: str, chunks: Iterable[bytes], options: Mapping[str, Any], **about: Any) -> BarImport:
    """Keep the file and make the row that a worker will import it by; the caller tells one.

    BadInput where an option is wrong or the file is too large; then nothing is kept.
    """
    given = {key: value for key, value in options.items() if value not in (None, "")}
    check_options(read_options(given))
    row = BarImport(name=Path(name).name.replace("\0", "")[:200], config=given, **about)
    folder = Path(settings.UPLOADS_DIR) / str(row.pk)
    folder.mkdir(parents=True)
    path = folder / _plain_name(name)
    try:
        with path.open("wb") as file:
            for chunk in chunks:
                row.bytes += len(chunk)
                if row.bytes > MAX_UPLOAD_BYTES:
                    raise BadInput(
                        f"{row.name} is larger than {MAX_UPLOAD_BYTES >> 20} MiB; import it on the command line"
                    )
                file.write(chunk)
        row.path = str(path.relative_to(settings.UPLOADS_DIR))
        row.save(force_insert=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return row


def import_upload(attempt: Attempt) -> None:
    """Import a claimed row's file. Repeating it changes nothing: bars are merged by their key."""
    row = attempt.run
    assert isinstance(row, BarImport)  # nosec B101
    path = Path(settings.UPLOADS_DIR) / row.path
    if not row.path or not path.is_file():
        raise BadInput(f"{row.name}: its upload is gone; hand the file in again")
    options = replace(read_options(row.config), source=row.name)
    try:
        report = import_file(path, options).as_dict() | {"file": row.name}
    except BadInput as error:
        raise BadInput(str(error).replace(str(path), row.name)) from error
    for series in report["series"]:
        attempt.write(f"{series['symbol']} {series['timeframe']}: {series['kept']:,} bars kept")
    attempt.fields |= {"report": report, "path": ""}
    shutil.rmtree(path.parent, ignore_errors=True)


def remove_old(now: dt.datetime) -> list[str]:
    """Remove what failed or cancelled imports left a week ago (until then they can be tried again), and what belongs to
    no row; returns the names."""
    kept = BarImport.objects.exclude(finished__lt=now - dt.timedelta(days=7)).values_list("pk", flat=True)
    names = {str(pk) for pk in kept}
    root = Path(settings.UPLOADS_DIR)
    old = [path for path in root.glob("*") if path.name not in names and path.stat().st_mtime < now.timestamp() - 3600]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in old)


def _plain_name(name: str) -> str:
    """A name that is safe in a path and still says the symbol, since that may come from it."""
    plain = re.sub(r"[^A-Za-z0-9._=^ -]", "_", Path(name).name).lstrip(".")[-100:]
    return plain or "upload"
