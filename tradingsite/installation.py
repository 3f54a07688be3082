"""What an installation needs before anything runs: the checks that `manage.py doctor` adds to those of `health`.

They may take seconds (calendars, strategies); no page asks them.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings
from django.core.checks import run_checks
from django.db import DatabaseError, connection

from domain.errors import BadInput
from tradingsite.health import Check

PYTHONS = ((3, 11), (3, 14))
PACKAGES = ("django", "celery", "numpy", "pandas", "pyarrow", "pydantic", "backtrader", "ib_insync", "plotly")
# SQLite's locks do not hold there.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.rclone"}
)


def checks() -> list[Check]:
    found = []
    for check in (
        _python,
        _packages,
        _settings,
        _state_folder,
        _file_system,
        _wal,
        _bars,
        _calendars,
        _plugins,
        _plotly,
    ):
        began = time.monotonic()
        found.append(check()._replace(seconds=time.monotonic() - began))
    return found


def _python() -> Check:
    (low, high), now = PYTHONS, sys.version_info[:2]
    detail = f"{platform.python_version()} at {sys.executable}"
    if low <= now < high:
        return Check("Python", True, detail)
    return Check("Python", False, detail, "it must be 3.11, 3.12 or 3.13", "make the virtual environment with another")


def _packages() -> Check:
    held, missing = [], []
    for package in PACKAGES:
        try:
            held.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    detail = ", ".join(held)
    if not missing:
        return Check("packages", True, detail)
    remedy = "pip install --requirement requirements/runtime.txt"
    return Check("packages", False, detail, f"not installed: {', '.join(missing)}", remedy)


def _settings() -> Check:
    """Django's checks of a deployment hold where others can reach the site; on this machine alone, the usual ones."""
    messages = [each for each in run_checks(include_deployment_checks=settings.HTTPS) if each.is_serious(30)]
    about = f"DEBUG {'on' if settings.DEBUG else 'off'}, WEB_BIND {settings.WEB_BIND}, mode {settings.TRADING_MODE}"
    if not messages:
        return Check("settings", True, about)
    cause = "; ".join(f"{each.id}: {each.msg}" for each in messages)
    hints = dict.fromkeys(str(each.hint) for each in messages if each.hint)
    return Check("settings", False, about, cause, "; ".join(hints) or "see `manage.py check --deploy`")


def _state_folder() -> Check:
    folder = Path(settings.VAR_DIR)
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"ibdesk")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        remedy = f"give this user ({os.getuid()}) the folder, or name another in VAR_DIR"
        return Check("state folder", False, str(folder), str(error), remedy)
    return Check("state folder", True, f"{folder} can be written")


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds the path, by the lines of /proc/mounts; empty where none says."""
    best, kind = "", ""
    for line in mounts.splitlines():
        _device, point, found, *_rest = line.split(" ")
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _file_system() -> Check:
    mounts = Path("/proc/mounts")
    kind = file_system_of(Path(settings.VAR_DIR), mounts.read_text()) if mounts.exists() else ""
    if connection.vendor == "sqlite" and kind in NETWORK_FILE_SYSTEMS:
        return Check(
            "file system",
            False,
            f"VAR_DIR is on {kind}",
            "SQLite's locks do not hold on a network file system: the database can be damaged",
            "name a folder on a local disk in VAR_DIR, or a PostgreSQL server in DATABASE_URL",
        )
    return Check("file system", True, kind or "unknown to this system")


def _wal() -> Check:
    if connection.vendor != "sqlite":
        return Check("write-ahead log", True, f"{connection.vendor} has its own")
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            mode = str(cursor.fetchone()[0])
    except DatabaseError as error:
        return Check("write-ahead log", False, "", str(error), "see the check of the database")
    if mode in ("wal", "memory"):
        return Check("write-ahead log", True, mode)
    cause = "readers and writers would wait for each other"
    return Check("write-ahead log", False, mode, cause, "move VAR_DIR to a disk where SQLite can use WAL")


def _attempt(name: str, question: Callable[[], str], remedy: str) -> Check:
    """`question` loads other people's files, so whatever it raises is an answer."""
    try:
        return Check(name, True, question())
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Check(name, False, "", f"{type(error).__name__}: {error}", remedy)


def _bars() -> Check:
    def question() -> str:
        from marketdata.models import BarFile
        from marketdata.store import bars_folder

        folder = bars_folder()
        row = BarFile.objects.filter(quarantined__isnull=True).order_by("-updated").first()
        if row is None:
            return f"{settings.BARS_URL}, empty"
        folder.read(row.path)
        return f"{settings.BARS_URL}, {BarFile.objects.count()} files"

    return _attempt("bar store", question, "see that BARS_URL can be reached, and the credentials of the bucket")


def _calendars() -> Check:
    def question() -> str:
        from marketdata.calendars import sessions

        table = sessions("XNYS")
        return f"XNYS, {len(table.open)} sessions"

    return _attempt("calendars", question, "remove VAR_DIR/cache; else install exchange-calendars again")


def _plugins() -> Check:
    from strategies import registry

    folder = Path(settings.PLUGINS_DIR)
    try:
        faults = registry.load(folder)
    except BadInput as error:
        return Check("plugins", False, str(folder), str(error), "mend the file")
    if faults:
        cause = "; ".join(f"{fault.source}: {fault.error}" for fault in faults)
        return Check("plugins", False, str(folder), cause, "mend or remove the file; then start the workers again")
    return Check("plugins", True, f"{len(registry.entries())} strategies, plugins in {folder}")


def _plotly() -> Check:
    from tradingsite.staticfinders import plotly_script

    def question() -> str:
        script = plotly_script()
        return f"{script.stat().st_size / 1e6:.1f} MB"

    return _attempt("plotly script", question, "pip install plotly again")
