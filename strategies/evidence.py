"""What a run leaves in run.json and in its log: who ran it, when, where and with which code."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import re
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

log = logging.getLogger("strategies.backtests")
# Where logging is not set up, warnings stay out of standard error: commands say there themselves what matters.
log.addHandler(logging.NullHandler())

Level = Literal["info", "warning", "error"]
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
GIT_SECONDS = 1.0

PACKAGES = ("django", "numpy", "pyarrow", "pydantic", "exchange-calendars", "pandas-market-calendars", "tzdata")


class RunLog:
    """The lines of log.jsonl, each with the run's id, instruments and timeframe; a text goes to `logging` too."""

    def __init__(self, tell: Callable[[str], None] | None = None, **tags: Any) -> None:
        """`tell` takes each line as a person reads it."""
        self._tell = tell
        self._tags = tags
        self._lines: list[str] = []

    def write(self, event: str, level: Level = "info", **details: Any) -> None:
        line = {"time": now_text(), "level": level, "event": event, **self._tags, **details}
        self._lines.append(json.dumps(line, ensure_ascii=False, default=str))
        texts = " ".join(f"{name}={value}" for name, value in details.items())
        log.log(LEVELS[level], "run %s: %s %s", self._tags.get("run_id"), event, texts)
        if self._tell is not None:
            self._tell(f"{line['time']} {event} {texts}".rstrip())

    def encode(self) -> bytes:
        return "".join(f"{line}\n" for line in self._lines).encode()


def describe_run(checkout: Path, strategy: type, started: datetime | None) -> dict[str, Any]:
    """What run.json says of code, machine and clock; the run ends now."""
    return {
        "git_sha": git_sha(checkout),
        "git_dirty": has_uncommitted_changes(checkout),
        "versions": versions(),
        "host": platform.node(),
        "started": _text(started or datetime.now(UTC)),
        "finished": now_text(),
        "strategy_source_sha256": source_hash(strategy),
    }


def now_text() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_sha(checkout: Path) -> str | None:
    """The commit that is checked out, read from .git without running git; None outside a checkout."""
    folder = checkout / ".git"
    try:
        if folder.is_file():  # a worktree or submodule: "gitdir: <path>"
            folder = (checkout / folder.read_text().partition(":")[2].strip()).resolve()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        shared = folder / "commondir"
        roots = [folder, *([(folder / shared.read_text().strip()).resolve()] if shared.exists() else [])]
        for root in roots:
            if (root / name).is_file():
                return (root / name).read_text().strip()
        packed = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", (roots[-1] / "packed-refs").read_text(), re.MULTILINE)
    except OSError:
        return None
    return packed[1] if packed else None


def has_uncommitted_changes(checkout: Path) -> bool | None:
    """Whether tracked files differ from the commit; None outside a checkout and where git cannot say in a second."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return None
    command = [git, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, timeout=GIT_SECONDS, check=False)  # nosec B603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return bool(done.stdout) if done.returncode == 0 else None


def source_hash(strategy: type) -> str | None:
    """SHA-256 of the file that a strategy is written in, since plugins are under nobody's version control."""
    file = getattr(sys.modules.get(strategy.__module__), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
