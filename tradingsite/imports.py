"""Importing documents: all of a file or nothing, with a report that says what it changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from domain.errors import BadInput
from tradingsite.documents import (
    MAX_BYTES,
    Document,
    Documents,
    Kind,
    apply_document,
    get_kind,
    kinds,
    parse_documents,
    remove_unit,
)
from tradingsite.history import Snapshot, Values, diff, differences, lock, save_changes, snapshot_all
from tradingsite.models import ConfigChange


class ImportReport(NamedTuple):
    """What an import changed, or would change. Not only documents of the file: a deleted instrument leaves its
    watchlists."""

    changes: list[ConfigChange]
    unchanged: int

    @property
    def created(self) -> list[str]:
        return [_label(change) for change in self.changes if change.before is None]

    @property
    def changed(self) -> list[str]:
        return [_label(change) for change in self.changes if None not in (change.before, change.after)]

    @property
    def deleted(self) -> list[str]:
        return [_label(change) for change in self.changes if change.after is None]

    def diff(self) -> str:
        return "".join(diff(change) for change in self.changes)

    def fingerprint(self) -> str:
        """Tells whether an import would still do what was shown of it."""
        return hashlib.sha256(self.diff().encode()).hexdigest()

    def summary(self) -> str:
        counts = (len(self.created), len(self.changed), len(self.deleted), self.unchanged)
        return "{} created, {} changed, {} deleted, {} unchanged".format(*counts)


def import_documents(
    text: str,
    *,
    actor: AbstractBaseUser | None,
    source: str,
    address: str | None = None,
    reason: str = "",
    dry_run: bool = False,
    prune: bool = False,
    approve: Callable[[ImportReport], None] | None = None,
) -> ImportReport:
    """Make the configuration what a YAML text says, and record each change; `apply_documents` says how."""
    return apply_documents(
        parse_documents(text),
        actor=actor,
        source=source,
        address=address,
        reason=reason,
        dry_run=dry_run,
        prune=prune,
        approve=approve,
    )


def apply_documents(
    documents: Documents,
    *,
    dry_run: bool = False,
    prune: bool = False,
    approve: Callable[[ImportReport], None] | None = None,
    **about: Any,
) -> ImportReport:
    """Write documents, in the order in which they name each other; all or, where one is refused, none.

    A document is the whole of its row: what it leaves out gets the default. `prune` deletes what the documents do not
    have, of the kinds that they have. `dry_run` reports and changes nothing. `approve` may raise to refuse what the
    report says. The same again changes nothing.
    """
    with transaction.atomic():
        lock()
        before = snapshot_all()
        held = {(key[0], get_kind(key[0]).name_in(values)): (key, values) for key, values in before.items() if values}
        written: dict[tuple[str, Any], str] = {}
        for kind in kinds(documents):
            for name, document in documents[kind.name].items():
                key, values = held.get((kind.name, name), (None, {}))
                if key is None or not _same(kind, values, document):
                    key = (kind.name, _write(kind, document).pk)
                if key in written:
                    raise BadInput(f"{kind.name} {name!r}: is the same row as {written[key]!r}")
                written[key] = name
        if prune:
            for kind in reversed(kinds(documents)):
                for unit in [each for each in kind.all() if (kind.name, each.pk) not in written]:
                    remove_unit(kind, unit)
        after = snapshot_all()
        _check_names(written, after)
        changes = differences(before, after)
        report = ImportReport(list(changes.values()), len(written.keys() - changes.keys()))
        if approve is not None:
            approve(report)
        if dry_run:
            transaction.set_rollback(True)
        else:
            save_changes(report.changes, **about)
    return report


def read_documents(path: Path) -> Documents:
    """The documents of a file, or of all `.yaml` files of a folder; BadInput names the file."""
    paths = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not paths:
        raise BadInput(f"{path}: holds no .yaml file")
    found: Documents = {}
    for each in paths:
        try:
            documents = parse_documents(decode(each.read_bytes() if each.stat().st_size <= MAX_BYTES else None))
            doubled = sorted(found.keys() & documents.keys())
            if doubled:
                raise BadInput(f"{doubled[0]}: is in another file of the folder too")
        except OSError as error:
            raise BadInput(f"{each}: cannot be read ({error.strerror})") from error
        except BadInput as error:
            raise BadInput(f"{each}: {error}") from error
        found |= documents
    return found


def decode(data: bytes | None) -> str:
    """The text of a file's bytes; None stands for a file that is too large to be read."""
    if data is None or len(data) > MAX_BYTES:
        raise BadInput(f"is larger than {MAX_BYTES // 1024 // 1024} MB; that is no configuration")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text") from error


def _write(kind: Kind[Any, Any], document: Document) -> Any:
    """The document's unit, written."""
    try:
        unit = kind.find(document)
    except BadInput as error:
        raise BadInput(f"{kind.name} {kind.name_of(document)!r}: {error}") from error
    return apply_document(kind, document, unit)


def _same(kind: Kind[Any, Any], held: Values, document: Document) -> bool:
    try:
        return bool(kind.schema(**held).model_dump_json() == document.model_dump_json())
    except ValueError:
        return False  # what stands there is not allowed any more: the document mends it


def _check_names(written: dict[tuple[str, Any], str], after: Snapshot) -> None:
    """A document's name may depend on other rows (instruments that share a listing)."""
    for (kind, pk), name in written.items():
        values = after.get((kind, pk))
        held = name if values is None else get_kind(kind).name_in(values)
        if held != name:
            raise BadInput(f"{kind} {name!r}: would be {held!r}; correct its number or its listing")


def _label(change: ConfigChange) -> str:
    return f"{change.kind} {change.name}"
