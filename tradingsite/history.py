"""The history of the configuration: what each document said before and after a change, and the way back."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, models, transaction
from django.http import HttpRequest

from domain.errors import BadInput
from tradingsite.documents import Kind, apply_document, as_yaml, get_kind, kind_of, kinds, read, remove_unit, same
from tradingsite.models import ConfigChange

Values = dict[str, Any]
# The documents of some units, by kind and primary key; None where there is no such unit.
Snapshot = dict[tuple[str, Any], Values | None]

SHOWN = 200
_LOCK = 0x1BDE5C  # any number that nothing else here locks


def lock() -> None:
    """Wait until no other transaction is changing configuration. Call it in a transaction.

    What a change found before it is then true. SQLite's IMMEDIATE transactions wait by themselves.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def snapshot_all() -> Snapshot:
    """Every document that there is."""
    return {(kind.name, unit.pk): kind.dump(unit) for kind in kinds() for unit in kind.all()}


def snapshot_of(*rows: models.Model) -> Snapshot:
    """The documents, as the database has them, of these rows and of the rows that name them. Rows that are not saved
    yet, and rows that are no configuration, have none."""
    found: Snapshot = {}
    for row in rows:
        kind = kind_of(type(row))
        if kind is None or (unit := kind.unit_of(row)).pk is None:
            continue
        found[kind.name, unit.pk] = _document(kind, unit.pk)
        if isinstance(unit, kind.model):
            for name, pk in _naming(unit):
                found[name, pk] = _document(get_kind(name), pk)
    return found


def record_differences(before: Snapshot, *rows: models.Model, **about: Any) -> list[ConfigChange]:
    """Append a change for each unit of the snapshot, and for each of these rows, whose document is another one now.

    `about` is what `record_change` takes: actor, source, address, reason.
    """
    now: Snapshot = {(name, pk): _document(get_kind(name), pk) for name, pk in before}
    for row in rows:
        kind = kind_of(type(row))
        if kind is not None and row.pk is not None:
            unit = kind.unit_of(row)
            now[kind.name, unit.pk] = _document(kind, unit.pk)
    return save_changes(differences(before, now).values(), **about)


def differences(before: Snapshot, after: Snapshot) -> dict[tuple[str, Any], ConfigChange]:
    """The changes that lead from one moment to another, not saved, in a fixed order."""
    found = {}
    for name, pk in {**before, **after}:
        old, new = before.get((name, pk)), after.get((name, pk))
        said = new if new is not None else old
        if said is not None and not same(old, new):
            found[name, pk] = ConfigChange(kind=name, name=get_kind(name).name_in(said), before=old, after=new)
    return dict(sorted(found.items(), key=lambda item: (item[1].kind, item[1].name)))


def save_changes(
    changes: Iterable[ConfigChange],
    *,
    actor: AbstractBaseUser | None,
    source: str,
    address: str | None = None,
    reason: str = "",
) -> list[ConfigChange]:
    saved = list(changes)
    for change in saved:
        change.actor_id = None if actor is None else actor.pk
        change.source, change.address, change.reason = source, address, reason[:200]
        change.save(force_insert=True)
    return saved


def record_change(*, kind: str, name: str, before: Values | None, after: Values | None, **about: Any) -> None:
    """Append one change, where it is one."""
    if not same(before, after):
        save_changes([ConfigChange(kind=kind, name=name, before=before, after=after)], **about)


@contextmanager
def recording(*rows: models.Model | tuple[str, str], **about: Any) -> Iterator[list[models.Model]]:
    """Record what the block changes of these rows, or of (kind, name), and of the documents that name them.

    One transaction holds the block and its record. A row that the block creates is put into the list that it gets:

        with recording(actor=user, source=ConfigChange.Source.API) as touched:
            touched.append(set_watchlist(...))
    """
    with transaction.atomic():
        lock()
        known = [row for row in rows if isinstance(row, models.Model)]
        names = [row for row in rows if not isinstance(row, models.Model)]
        before = snapshot_of(*known)
        for kind, name in names:
            before |= _snapshot_named(kind, name)
        touched: list[models.Model] = []
        yield touched
        fresh = dict.fromkeys(key for kind, name in names for key in _snapshot_named(kind, name))
        record_differences(fresh | before, *touched, **about)


def changes_of(kind: str, name: str, limit: int = SHOWN) -> list[ConfigChange]:
    """The newest changes of one document, newest first; through its earlier names."""
    found: list[ConfigChange] = []
    rows = ConfigChange.objects.filter(kind=kind).select_related("actor").order_by("-pk")
    while len(found) < limit:
        older = rows.filter(pk__lt=found[-1].pk) if found else rows
        for change in older.filter(name=name)[: limit - len(found)]:
            found.append(change)
            former = name if change.before is None else get_kind(kind).name_in(change.before)
            if former != name:
                name = former
                break
        else:
            break
    return found


def diff(change: ConfigChange) -> str:
    """The unified diff of the two YAML documents."""
    kind, sides = get_kind(change.kind), (change.before, change.after)
    old, new = ("" if each is None else as_yaml(kind, [each]) for each in sides)
    was, now = ("/dev/null" if each is None else f"{kind.name} {kind.name_in(each)}" for each in sides)
    return "".join(difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), was, now))


def revert(
    change: ConfigChange,
    *,
    actor: AbstractBaseUser | None,
    address: str | None = None,
    reason: str = "",
    force: bool = False,
) -> models.Model | None:
    """Put back what stood before a change: the old document, a deleted row, or no row where the change created one.

    BadInput where the row is not what the change made of it any more, unless forced, or where the old document is not
    allowed any more. The revert is a change itself.
    """
    kind = get_kind(change.kind)
    with transaction.atomic():
        lock()
        unit: models.Model | None
        unit, now = _standing(kind, change)
        if not force and not same(now, change.after):
            state = "is gone" if now is None else "was changed again" if change.after is not None else "is there again"
            raise BadInput(
                f"{change.kind} {change.name!r} {state} since; look at its newest change, or force the revert"
            )
        before = {} if unit is None else _snapshot_unit(kind, unit)
        if change.before is None:
            if unit is not None:
                remove_unit(kind, unit)
            unit = None
        else:
            try:
                document = read(kind.schema, change.before)
            except BadInput as error:
                raise BadInput(f"{change.kind} {change.name!r}: {error}") from error
            unit = apply_document(kind, document, unit)
            before.setdefault((kind.name, unit.pk), None)
        about = {"actor": actor, "address": address, "source": ConfigChange.Source.REVERT}
        record_differences(before, **about, reason=reason or f"back to before change {change.pk}")
    return unit


def address_of(request: HttpRequest) -> str | None:
    """Where a request came from; None where the server does not say (a unix socket)."""
    try:
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


def _standing(kind: Kind[Any, Any], change: ConfigChange) -> tuple[Any, Values | None]:
    """The unit that a change is about, as it is now, and its document."""
    for values in (change.after, change.before):
        unit = None if values is None else kind.named(kind.name_in(values))
        if unit is not None:
            return unit, kind.dump(unit)
    return None, None


def _document(kind: Kind[Any, Any], pk: Any) -> Values | None:
    unit = kind.rows().filter(pk=pk).first()
    return None if unit is None else kind.dump(unit)


def _snapshot_named(kind_name: str, name: str) -> Snapshot:
    kind = get_kind(kind_name)
    unit = kind.named(name)
    return {} if unit is None else _snapshot_unit(kind, unit)


def _snapshot_unit(kind: Kind[Any, Any], unit: models.Model) -> Snapshot:
    found: Snapshot = {(kind.name, unit.pk): _document(kind, unit.pk)}
    return found | (snapshot_of(unit) if isinstance(unit, kind.model) else {})


def _naming(unit: models.Model) -> set[tuple[str, Any]]:
    """The units whose documents name this one, by kind and primary key."""
    found = set()
    for relation in unit._meta.get_fields(include_hidden=True):
        if not (relation.auto_created and not relation.concrete and relation.is_relation):
            continue
        kind = kind_of(relation.related_model)  # type: ignore[arg-type]
        if kind is not None:
            held = kind.model._default_manager.filter(**{relation.field.name: unit.pk})  # type: ignore[union-attr]
            found |= {(kind.name, kind.unit_of(row).pk) for row in held}
    return found
