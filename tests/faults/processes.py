"""Starting processes of our own on a scratch state folder, to race and to kill them."""

import os
import subprocess
import sys
from pathlib import Path

PROLOGUE = """
import os, signal, sys
import django
django.setup()
import numpy as np
from domain.bars import BarSeries, merge
from marketdata import folders, store
from marketdata.models import BarFile, Instrument
from tests.marketdata import make
"""


def environment(state: Path, database_url: str = "") -> dict[str, str]:
    return os.environ | {
        "VAR_DIR": str(state),
        "BARS_URL": str(state / "bars"),
        "DATABASE_URL": database_url or f"sqlite:///{state}/db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }


def start(script: str, where: dict[str, str], *arguments: str, stdin: bool = False) -> subprocess.Popen:
    command = [sys.executable, "-c", PROLOGUE + script, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=where, stdin=pipe if stdin else None, stdout=pipe, stderr=pipe, text=True)


def run(script: str, where: dict[str, str], *arguments: str) -> str:
    """Its standard output; fails with its standard error."""
    process = start(script, where, *arguments)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out


def migrate(where: dict[str, str]) -> None:
    run("from django.core.management import call_command\ncall_command('migrate', verbosity=0)", where)
