"""Configuration as documents: every row that a person configures has one, a mapping of JSON values, written as YAML.

One mechanism for all of it: an export writes documents, an import applies them, the history keeps the one before and
the one after a change, a revert applies the old one. An app registers its kinds in its `documents.py`. A document names
other rows by name, never by id; it holds no secret, and nothing that the machine found out by itself. What it leaves
out has the default.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from django.core.exceptions import ValidationError as InvalidRow
from django.db import IntegrityError, models
from django.db.models import ProtectedError, RestrictedError
from django.utils.module_loading import autodiscover_modules
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from domain.errors import BadInput, UnknownName
from tradingsite.configfile import parse_yaml, to_yaml

MAX_BYTES = 5 * 1024 * 1024

_NUMBER = re.compile(r"[-+]?\d{1,40}(\.\d{1,40})?")


class Document(BaseModel):
    """The fields of one kind of document. Strict: a text is a text, `1` no truth value, unknown names are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


D = TypeVar("D", bound=Document)
U = TypeVar("U", bound=models.Model)
# What a file or a moment holds: documents by name, by kind.
Documents = dict[str, dict[str, Document]]


class Kind(Generic[D, U]):
    """One kind of configuration.

    A unit is the row that a document stands for: a row of `model`, or (corporate actions) the row that owns a list.
    """

    name: str
    model: type[models.Model]
    """Whose permissions decide who may change it."""
    schema: type[D]
    key = "name"
    """The field that says which document it is, in errors."""
    after: tuple[str, ...] = ()
    """Kinds that its documents name; they are written first."""

    def rows(self) -> models.QuerySet[U]:
        """All units, with what `dump` needs."""
        found: models.QuerySet[U] = self.model._default_manager.all()  # type: ignore[assignment]
        return found

    def all(self) -> Iterator[U]:
        """All units, some at a time: SQLite refuses a prefetch of more than a thousand."""
        return self.rows().iterator(chunk_size=500)

    def unit_of(self, row: Any) -> U:
        """The unit that a row of `model` belongs to."""
        unit: U = row
        return unit

    def name_of(self, document: D) -> str:
        """Unique in its kind."""
        return str(getattr(document, self.key))

    def name_in(self, values: Mapping[str, Any]) -> str:
        """`name_of`, of a document that `dump` made."""
        return self.name_of(self.schema.model_construct(**values))

    def named(self, name: str) -> U | None:
        return self.rows().filter(**{self.key: name}).first()

    def find(self, document: D) -> U | None:
        """The unit that a document is about, where there is one."""
        return self.named(self.name_of(document))

    def dump(self, unit: U) -> dict[str, Any]:
        raise NotImplementedError

    def apply(self, document: D, unit: U | None) -> U:
        """Make the unit what the document says, or a new one; BadInput says the field."""
        raise NotImplementedError

    def remove(self, unit: U) -> None:
        unit.delete()


_kinds: dict[str, Kind[Any, Any]] = {}


def register(kind: Kind[Any, Any]) -> None:
    _kinds[kind.name] = kind


def _known() -> dict[str, Kind[Any, Any]]:
    """The kinds of every app's `documents` module, loaded when the first is asked for: most processes never do."""
    autodiscover_modules("documents")
    return _kinds


def kinds(names: Iterable[str] | None = None) -> list[Kind[Any, Any]]:
    """All kinds or those of these names, each after those that it names. UnknownName with a suggestion."""
    wanted = set(_known()) if names is None else {get_kind(name).name for name in names}
    ordered: list[str] = []

    def place(name: str) -> None:
        if name not in ordered:
            for each in _known()[name].after:
                place(each)
            ordered.append(name)

    for name in sorted(_known()):
        place(name)
    return [_known()[name] for name in ordered if name in wanted]


def get_kind(name: str) -> Kind[Any, Any]:
    if name not in _known():
        raise UnknownName("kind of configuration", name, _known())
    return _known()[name]


def kind_of(model: type[models.Model]) -> Kind[Any, Any] | None:
    """The kind that rows of a model belong to; None where they are no configuration."""
    return next((kind for kind in _known().values() if kind.model is model), None)


# ---- one document ---------------------------------------------------------------------------------------------------


def read(schema: type[D], values: Any) -> D:
    """Values as a checked document; BadInput says each field that is wrong, with a suggestion for an unknown one."""
    if not isinstance(values, Mapping):
        raise BadInput(f"expected lines like `{next(iter(schema.model_fields))}: …`, not {str(values)[:40]!r}")
    _check_texts(values)
    document: D = checked(schema, values)
    return document


def checked(model: type[Any], values: Mapping[str, Any]) -> Any:
    """A pydantic model of the values; BadInput instead of pydantic's error."""
    try:
        return model(**values)
    except ValidationError as error:
        raise BadInput("; ".join(_explain(fault, model) for fault in error.errors())) from error
    except TypeError as error:
        raise BadInput("a name must be a text") from error


def apply_document(kind: Kind[D, U], document: D, unit: U | None) -> U:
    """`kind.apply`, with every refusal as a BadInput that names the kind and the document. Call it in a transaction."""
    label = f"{kind.name} {kind.name_of(document)!r}"
    try:
        return kind.apply(document, unit)
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from error
    except InvalidRow as error:
        faults = (
            " ".join(texts) if field == "__all__" else f"{field}: {' '.join(texts)}"
            for field, texts in error.message_dict.items()
        )
        raise BadInput(f"{label}: {'; '.join(faults)}") from error
    except IntegrityError as error:
        raise BadInput(f"{label}: contradicts another row ({str(error).splitlines()[0][:200]})") from error


def remove_unit(kind: Kind[D, U], unit: U) -> None:
    """`kind.remove`; BadInput says what still needs the unit."""
    try:
        kind.remove(unit)
    except (ProtectedError, RestrictedError) as error:
        held = error.protected_objects if isinstance(error, ProtectedError) else error.restricted_objects
        needed = sorted({f"{each._meta.verbose_name} {each}" for each in held})
        more = f" and {len(needed) - 3} more" if len(needed) > 3 else ""
        raise BadInput(f"{kind.name} {unit}: cannot be deleted; {', '.join(needed[:3])}{more} need it") from error


def same(one: Any, other: Any) -> bool:
    """Whether two documents say the same. Python alone takes 1, 1.0 and true for one value."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def as_yaml(kind: Kind[Any, Any], documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents as a YAML list: fields in their kind's order and the rest by name, since PostgreSQL keeps none."""
    fields = {name: place for place, name in enumerate(kind.schema.model_fields)}
    arranged = (
        {name: _by_name(values[name]) for name in sorted(values, key=lambda name: fields.get(name, len(fields)))}
        for values in documents
    )
    return to_yaml(list(arranged))


def _by_name(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _by_name(value[name]) for name in sorted(value)}
    return [_by_name(each) for each in value] if isinstance(value, list) else value


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that say something: nothing empty, and no None."""
    return {name: value for name, value in values.items() if value not in (None, "", {}, [])}


def from_number(value: Decimal | None) -> int | float | str | None:
    """A row's number as YAML has it: without trailing zeros, and as a text where a float could not hold all digits."""
    if value is None:
        return None
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value.normalize(), "f")


def _read_number(value: Any) -> Any:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(f"{value[:40]!r} is no number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number")
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _read_day(value: Any) -> Any:
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{str(value)[:40]!r} is no date; write 2013-10-07") from None


Number = Annotated[Decimal, BeforeValidator(_read_number)]
Day = Annotated[dt.date, BeforeValidator(_read_day)]


def _explain(fault: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return str(UnknownName("field", str(fault["loc"][-1]), model.model_fields))
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "string_type":
        message = f"must be a text; put {str(fault['input'])[:40]} in quotes"
    return f"{place}: {message}" if place else message


def _check_texts(value: Any, place: str = "") -> None:
    """Refuse texts that a database cannot hold (PostgreSQL: no NUL), wherever they stand."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
            raise BadInput(f"{place}: holds a character that no text may hold (NUL or half a surrogate pair)")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _check_texts(name, f"{place}.{ascii(name)[:40]}" if place else ascii(name)[:40])
            _check_texts(each, f"{place}.{name}" if place else str(name))
    elif isinstance(value, Sequence):
        for number, each in enumerate(value):
            _check_texts(each, f"{place}.{number}")


# ---- all of it as text ----------------------------------------------------------------------------------------------


def export_all(kinds_wanted: Iterable[str] | None = None) -> str:
    """The configuration as one YAML text: a list of documents a kind, in a fixed order."""
    return "\n".join(_export(kind) for kind in kinds(kinds_wanted))


def export_to(folder: Path, kinds_wanted: Iterable[str] | None = None) -> list[Path]:
    """The same, as a file a kind (`watchlist.yaml`) in the folder. Each file is the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in kinds(kinds_wanted):
        path = folder / f"{kind.name}.yaml"
        write_text(path, _export(kind))
        written.append(path)
    return written


def write_text(path: Path, text: str) -> None:
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        unnamed.write_text(text, encoding="utf-8")
        unnamed.replace(path)
    finally:
        unnamed.unlink(missing_ok=True)


def parse_documents(text: str) -> Documents:
    """The documents of a YAML text, each checked by itself (that the rows it names exist is seen when it is applied).

    BadInput names kind, document and field.
    """
    values = parse_yaml(text, MAX_BYTES)
    if not isinstance(values, dict):
        raise BadInput(f"holds no configuration; expected a list of documents under a kind ({', '.join(_known())})")
    found: Documents = {}
    for name, listed in values.items():
        kind = get_kind(name)
        if listed is not None and not isinstance(listed, list):
            raise BadInput(f"{name}: expected a list of documents, each beginning with `- {kind.key}: …`")
        found[name] = _read_list(kind, listed or [])
    return found


def _read_list(kind: Kind[Any, Any], listed: list[Any]) -> dict[str, Document]:
    found: dict[str, Document] = {}
    for number, values in enumerate(listed, 1):
        named = values.get(kind.key) if isinstance(values, dict) else None
        label = f"{kind.name} {named[:80]!r}" if isinstance(named, str) else f"{kind.name} number {number}"
        try:
            document = read(kind.schema, values)
            name = kind.name_of(document)
        except BadInput as error:
            raise BadInput(f"{label}: {error}") from error
        if name in found:
            raise BadInput(f"{kind.name} {name!r}: given twice")
        found[name] = document
    return found


def _export(kind: Kind[Any, Any]) -> str:
    documents = sorted((kind.dump(unit) for unit in kind.all()), key=kind.name_in)
    return f"{kind.name}:\n{as_yaml(kind, documents)}" if documents else f"{kind.name}: []\n"
