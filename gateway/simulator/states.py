"""State: what an exchange must not forget, in one SQLite file. Each `write` is one durable transaction."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from domain.errors import BadInput

VERSION = 1
_APPLICATION = 0x49425331  # "IBS1", so that another program's file is not taken for one of ours
_TABLES = """
create table facts (
    kind text not null, key text not null, body text not null, crc integer not null, primary key (kind, key)
) without rowid;
create table ledger (seq integer primary key, body text not null, crc integer not null);
"""

Body = dict[str, Any]
KINDS = ("order", "execution", "position", "cash", "client", "exchange")


class Kept(NamedTuple):
    """Bodies by kind and key, and the ledger; empty for a new file."""

    facts: Mapping[str, Mapping[str, Body]]
    ledger: list[Body]


class State:
    """Raises BadInput where the file is damaged, newer than this program, another program's, or in use."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._connection = sqlite3.connect(self.path, isolation_level=None, timeout=0.2, check_same_thread=False)
        try:
            self._open()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the second where SQLite quotes the damage
            self._connection.close()
            raise BadInput(f"state file {self.path}: {_said(error)}") from error
        except BadInput:
            self._connection.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        # Held until the file is closed: two exchanges on one file would each overwrite what the other knows.
        run("pragma locking_mode = exclusive")
        (version,) = run("pragma user_version").fetchone()
        (application,) = run("pragma application_id").fetchone()
        is_new = not run("select count(*) from sqlite_schema").fetchone()[0]
        if not is_new and application != _APPLICATION:
            raise BadInput(f"state file {self.path}: it belongs to another program")
        if version > VERSION:
            raise BadInput(
                f"state file {self.path}: its version is {version} and this program knows {VERSION}; "
                "take a newer program or another file"
            )
        run("pragma journal_mode = wal")
        run("pragma synchronous = full")
        if is_new:
            run(f"pragma application_id = {_APPLICATION}")
            self._connection.executescript(f"begin immediate; {_TABLES} pragma user_version = {VERSION}; commit;")
            return
        run("begin immediate")
        run("commit")
        (verdict,) = run("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise BadInput(f"state file {self.path}: it is damaged ({verdict}); take its last copy or another file")

    def read(self) -> Kept:
        facts: dict[str, dict[str, Body]] = {kind: {} for kind in KINDS}
        try:
            for kind, key, body, crc in self._connection.execute("select kind, key, body, crc from facts"):
                facts[kind][key] = _read(body, crc)
            rows = self._connection.execute("select body, crc from ledger order by seq")
            ledger = [_read(body, crc) for body, crc in rows]
        except (sqlite3.Error, ValueError, KeyError) as error:
            raise BadInput(f"state file {self.path}: {_said(error)}") from error
        if [entry.get("seq") for entry in ledger] != list(range(1, len(ledger) + 1)):
            raise BadInput(f"state file {self.path}: it is damaged (the ledger has holes)")
        return Kept(facts, ledger)

    def write(
        self, facts: Iterable[tuple[str, str, Body]], forgotten: Iterable[tuple[str, str]], ledger: Iterable[Body]
    ) -> None:
        """Replace the bodies of some facts, drop others, add to the ledger: all of it or nothing."""
        run = self._connection.execute
        run("begin immediate")
        try:
            many = self._connection.executemany
            rows = ((kind, key, *_written(body)) for kind, key, body in facts)
            many("insert or replace into facts (kind, key, body, crc) values (?, ?, ?, ?)", rows)
            many("delete from facts where kind = ? and key = ?", forgotten)
            entries = ((entry["seq"], *_written(entry)) for entry in ledger)
            many("insert into ledger (seq, body, crc) values (?, ?, ?)", entries)
            run("commit")
        except BaseException:
            self._connection.rollback()
            raise

    def close(self) -> None:
        self._connection.close()


def _written(body: Body) -> tuple[str, int]:
    text = json.dumps(body)
    return text, zlib.crc32(text.encode())


def _read(text: str, crc: int) -> Body:
    """SQLite's own check sees a broken page, not a changed digit."""
    if zlib.crc32(text.encode()) != crc:
        raise ValueError("a row does not match its checksum")
    body: Body = json.loads(text)
    return body


def _said(error: Exception) -> str:
    if "locked" in str(error):
        return "it is in use by another process"
    if "not a database" in str(error):
        return "it is no SQLite file, or damaged; take its last copy or another file"
    return f"it cannot be read ({error}); take its last copy or another file"


__all__ = ["KINDS", "VERSION", "Body", "Kept", "State"]
