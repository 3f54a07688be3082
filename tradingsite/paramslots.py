"""What a pydantic model's fields are for a form: of which kind, between which bounds, with which default."""

from __future__ import annotations

import datetime as dt
import re
import types
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum, Flag, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

MISSING: Any = PydanticUndefined

_NUMBERS = (int, float, Decimal)
_TEXTS = (str, dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID, Path)
_LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")
_UNITS = {"fraction": "as a fraction (0.01 is 1 %)", "bps": "in basis points (100 are 1 %)"}
_CAPITALS = re.compile(r"\b(atr|ema|ib|id|macd|rsi|sma|url|utc|vwap|yaml)\b")


class Kind(StrEnum):
    """`section`: a nested model, which has no form field itself. `group`: an optional one, whose field says whether it
    is there. `yaml`: whatever fits into no line."""

    SECTION = "section"
    GROUP = "group"
    TICK = "tick"
    CHOICE = "choice"
    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    YAML = "yaml"


class Slot(NamedTuple):
    """One field of a model or of a model nested in it.

    `default` is MISSING where there is none, and `inherited` where it comes from the default of the model around it.
    `blank`: it is part of an optional model that is not there by default, so nothing may be required.
    """

    name: str
    path: tuple[str, ...]
    kind: Kind
    info: FieldInfo
    types: tuple[Any, ...] = ()
    limits: Mapping[str, Any] = {}
    choices: Mapping[str, Any] = {}
    optional: bool = False
    default: Any = MISSING
    inherited: bool = False
    blank: bool = False

    @property
    def required(self) -> bool:
        return self.info.is_required() and not self.blank and not self.inherited

    @property
    def label(self) -> str:
        *sections, name = [plain(part) for part in self.path]
        name = self.info.title or (name[0].lower() + name[1:] if sections and name[1:2].islower() else name)
        return ": ".join([*sections, name])

    def attributes(self) -> dict[str, str]:
        """The bounds as attributes of an input."""
        limits, found = self.limits, {}
        if self.kind is Kind.TEXT:
            names = {"minlength": "min_length", "maxlength": "max_length"}
            return {name: str(limits[limit]) for name, limit in names.items() if limit in limits}
        if self.kind is not Kind.NUMBER:
            return {}
        whole = self.types == (int,)
        beyond = 1 if whole else 0  # A browser knows no open bound; for other than whole numbers the model knows it.
        step = limits.get("multiple_of")
        low = limits["gt"] + beyond if "gt" in limits else limits.get("ge")
        high = limits["lt"] - beyond if "lt" in limits else limits.get("le")
        if low is not None and step:
            # Browsers count steps from the minimum, the model from zero.
            low, step = (-(-low // step) * step, step) if whole else (low, None)
        for name, value in (("min", low), ("max", high), ("step", step or (1 if whole else "any"))):
            if value is not None:
                found[name] = _digits(value)
        return found

    def bounds(self) -> str:
        """The bounds and the unit in words."""
        limits = self.limits
        words = [_range(*(limits.get(name) for name in ("ge", "gt", "le", "lt")))]
        if "multiple_of" in limits:
            words.append(f"a multiple of {_digits(limits['multiple_of'])}")
        length = _range(limits.get("min_length"), None, limits.get("max_length"), None)
        if length:
            words.append(f"{length} {'characters' if self.kind is Kind.TEXT else 'items'}")
        if "pattern" in limits:
            words.append(f"matching {getattr(limits['pattern'], 'pattern', limits['pattern'])}")
        extra = self.info.json_schema_extra
        if isinstance(extra, Mapping) and extra.get("unit"):
            unit = str(extra["unit"])
            words.append(_UNITS.get(unit, f"in {unit}"))
        if self.kind is Kind.LIST:
            words.append("separated by commas")
        elif self.kind is Kind.YAML:
            words.append("as YAML")
        return ", ".join(word for word in words if word)


def slots_of(model: type[BaseModel], prefix: str = "") -> Iterator[Slot]:
    """The fields in the model's order, a nested model before its fields."""
    return _slots(model, prefix, None, (), False, ())


def _slots(
    model: type[BaseModel],
    prefix: str,
    around: Any,
    path: tuple[str, ...],
    blank: bool,
    above: tuple[type[BaseModel], ...],
) -> Iterator[Slot]:
    above = (*above, model)
    for name, info in model.model_fields.items():
        annotation, optional, limits = _unwrap(info)
        inherited = isinstance(around, BaseModel)
        slot = Slot(
            name=f"{prefix}{name}",
            path=(*path, name),
            kind=Kind.YAML,
            info=info,
            limits=limits,
            optional=optional,
            default=getattr(around, name) if inherited else _default(info),
            inherited=inherited,
            blank=blank,
        )
        if _is_section(annotation) and annotation not in above:
            yield slot._replace(kind=Kind.GROUP if optional else Kind.SECTION)
            is_there = isinstance(slot.default, annotation)
            inner = slot.default if is_there else None
            yield from _slots(
                annotation, f"{slot.name}__", inner, slot.path, blank or (optional and not is_there), above
            )
        elif optional and slot.default is not None:
            yield slot  # Empty is the default here, so to say none takes a word: null.
        else:
            yield _of_kind(slot, annotation)


def plain(name: str) -> str:
    """A name as a label: `atr_multiple` is "ATR multiple"."""
    words = _CAPITALS.sub(lambda found: found[0].upper(), name.replace("_", " ").strip() or name)
    return words[0].upper() + words[1:]


def _of_kind(slot: Slot, annotation: Any) -> Slot:
    if annotation is bool:
        if slot.optional:
            return slot._replace(kind=Kind.CHOICE, choices={"true": True, "false": False})
        return slot._replace(kind=Kind.TICK)
    if choices := _choices(annotation):
        return slot._replace(kind=Kind.CHOICE, choices=choices)
    if annotation in _NUMBERS:
        return slot._replace(kind=Kind.NUMBER, types=(annotation,))
    if annotation in _TEXTS:
        return slot._replace(kind=Kind.TEXT)
    if get_origin(annotation) in (list, tuple):
        items = tuple(_bare(item) for item in get_args(annotation) if item is not Ellipsis)
        are_numbers = all(item in _NUMBERS for item in items)
        if items and (are_numbers or all(_is_word(item) for item in items)):
            return slot._replace(kind=Kind.LIST, types=items if are_numbers else ())
    return slot


def _choices(annotation: Any) -> dict[str, Any]:
    """Each choice by the text that stands for it; nothing where they are not told apart by one."""
    if get_origin(annotation) is Literal:
        members = list(get_args(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, Enum) and not issubclass(annotation, Flag):
        members = list(annotation)
    else:
        return {}
    found: dict[str, Any] = {}
    for member in members:
        value = member.value if isinstance(member, Enum) else member
        key = str(value).lower() if isinstance(value, bool) else str(value)
        if not isinstance(value, (str, int)) or not key.strip() or key in found:
            return {}
        found[key] = member
    return found


def _is_word(item: Any) -> bool:
    choices = _choices(item)
    return item in (*_TEXTS, bool) or (bool(choices) and all(isinstance(each, str) for each in choices.values()))


def _is_section(annotation: Any) -> bool:
    return (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and not issubclass(annotation, RootModel)
        and annotation.model_config.get("extra") != "allow"
    )


def _default(info: FieldInfo) -> Any:
    if info.default_factory is not None and info.default_factory_takes_validated_data:
        return MISSING
    return info.get_default(call_default_factory=True)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _unwrap(info: FieldInfo) -> tuple[Any, bool, dict[str, Any]]:
    """The type without None and notes, whether it may be None, and the bounds that the notes hold."""
    annotation: Any = info.annotation
    notes, optional = list(info.metadata), False
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        others = tuple(each for each in arguments if each is not None and each is not types.NoneType)
        if origin is Annotated:
            annotation = arguments[0]
            notes += arguments[1:]
        elif origin in (Union, types.UnionType) and len(others) == 1:
            annotation, optional = others[0], True
        elif origin is Literal and others and len(others) < len(arguments):
            annotation, optional = Literal[others], True
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            break
    notes = [part for note in notes for part in (note.metadata if isinstance(note, FieldInfo) else [note])]
    limits = {name: getattr(note, name) for note in notes for name in _LIMITS if getattr(note, name, None) is not None}
    return annotation, optional, limits


def _range(at_least: Any, more_than: Any, at_most: Any, below: Any) -> str:
    if at_least is not None and at_most is not None:
        return f"{_digits(at_least)} to {_digits(at_most)}"
    sides = {"at least": at_least, "more than": more_than, "at most": at_most, "below": below}
    return ", ".join(f"{word} {_digits(value)}" for word, value in sides.items() if value is not None)


def _digits(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
