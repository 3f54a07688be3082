"""Pydantic models as Django form fields, and back: one ordinary field per parameter, or all of them as YAML.

The model is the only judge: a form field turns text into a value, and what the model finds wrong goes to the field it
belongs to. A field left empty is left out, so it means the model's default. Names: the field `per_order` of the nested
model `commission` is `commission__per_order`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, cast

from django import forms
from django.utils.html import escape
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from domain.errors import BadInput
from tradingsite.configfile import MAX_BITS, parse_yaml, to_yaml
from tradingsite.paramslots import MISSING, Kind, Slot, plain, slots_of
from tradingsite.paramtexts import read_list, read_number, read_text, show_list, show_plain, show_text

MAX_FAULTS = 5  # of one field; a list may have a fault in each of its thousands of items
MAX_MESSAGE = 500

Widgets = Callable[[forms.Widget], forms.Widget]
logger = logging.getLogger(__name__)


class Cleaned(NamedTuple):
    """`values`: what the model accepted, whole, as JSON; None where `errors` has any. Errors are by form field; under
    "" stands what belongs to none."""

    values: dict[str, Any] | None
    errors: dict[str, list[str]]


class YamlField(forms.CharField):
    """Text of several lines; browsers end them with CR LF."""

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


def form_fields(
    model: type[BaseModel], prefix: str = "", widget_for: Widgets = lambda widget: widget
) -> dict[str, forms.Field]:
    """One form field per field of the model, in its order. `widget_for` gets each plain Django widget, with its
    attributes, and gives the one to use."""
    return {slot.name: _field(slot, widget_for) for slot in slots_of(model, prefix) if slot.kind is not Kind.SECTION}


def field_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    return [slot.name for slot in slots_of(model, prefix) if slot.kind is not Kind.SECTION]


def initial(model: type[BaseModel], values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Stored values as the fields show them, also where the model refuses them by now."""
    held = _judge(model, values)[0]
    shown: dict[str, Any] = {}
    off: list[tuple[str, ...]] = []
    for slot in slots_of(model, prefix):
        if slot.kind is Kind.SECTION:
            continue
        value = _look_up(values if held is None else held, slot.path)
        if slot.kind is Kind.GROUP and value is None:
            off.append(slot.path)
        if slot.kind is not Kind.TICK and any(slot.path[: len(path)] == path for path in off):
            shown[slot.name] = False if slot.kind is Kind.GROUP else ""
        elif value is MISSING or (value is None and not slot.optional):
            shown[slot.name] = _initial(slot)
        else:
            shown[slot.name] = _show(slot, value)
    return shown


def clean(model: type[BaseModel], cleaned_data: Mapping[str, Any], prefix: str = "") -> Cleaned:
    """What the fields of `form_fields` gave, judged by the model."""
    slots = list(slots_of(model, prefix))
    given, unread = _read(slots, cleaned_data)
    values, faults = _judge(model, given)
    errors = {name: [message] for name, message in unread.items()}
    known = {slot.path: slot for slot in slots}
    for place, message in faults:
        name, message = _locate(place, message, known)
        # While a field cannot be read the model saw its default: what it says of that one, or of the whole, is void.
        if name not in unread and (name or not unread):
            errors.setdefault(name, []).append(message)
    return Cleaned(None if errors else values, {name: _first(messages) for name, messages in errors.items()})


def clean_yaml(model: type[BaseModel], text: str) -> Cleaned:
    """The same for YAML; its errors name the place and stand under ""."""
    try:
        given = parse_yaml(text)
        if not isinstance(given, dict):
            raise BadInput("expected lines like `name: value`; {} is all defaults")
    except BadInput as error:
        return Cleaned(None, {"": [str(error)]})
    values, faults = _judge(model, given)
    if faults:
        return Cleaned(None, {"": _first([": ".join([*_dotted(place), message]) for place, message in faults])})
    return Cleaned(values, {})


def yaml_of(model: type[BaseModel], values: Mapping[str, Any]) -> str:
    """Stored values as the YAML to edit, in the model's order and with its defaults where it accepts them."""
    held = _judge(model, values)[0]
    return _show_yaml(values if held is None else held)


class ParameterForm(forms.ModelForm):
    """A ModelForm some of whose JSON fields are edited by the fields of pydantic models: see `parameter_form`.

    For the JSON field `params` there are the fields `params__…`, their YAML in `params_yaml`, and `params_edit_as`
    says which of the two counts. What the model accepts is written to the instance, whole.
    """

    parameters: ClassVar[Mapping[str, type[BaseModel]]] = {}
    # A browser would not send the form for the sake of an empty field that does not count.
    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, model in self.parameters.items():
            values = getattr(self.instance, name) or {}
            shown = {**initial(model, values, f"{name}__"), f"{name}_yaml": yaml_of(model, values)}
            for each, text in shown.items():
                field = self.fields[each]
                if isinstance(field, forms.ChoiceField) and text not in dict(_choices(field)):
                    # Else the browser would show the first choice, and saving would take it.
                    field.choices = [*_choices(field), (text, f"{text} (not known any more)")]
            self.initial = {**shown, **self.initial}

    def clean(self) -> dict[str, Any]:
        super().clean()
        for name, model in self.parameters.items():
            if f"{name}_edit_as" not in self.errors:
                self._clean_parameters(name, model)
        return self.cleaned_data

    def _clean_parameters(self, name: str, model: type[BaseModel]) -> None:
        names, yaml, choice = field_names(model, f"{name}__"), f"{name}_yaml", f"{name}_edit_as"
        by_yaml = self.cleaned_data.get(choice) == "yaml"
        for each in names if by_yaml else [yaml]:
            self.errors.pop(each, None)
        unread = any(each in self.errors for each in names)
        other = self._edited_in_vain(names, yaml, by_yaml)
        if other:
            self.add_error(choice, other)
            return
        if by_yaml:
            values, errors = clean_yaml(model, self.cleaned_data.get(yaml, ""))
        else:
            values, errors = clean(model, self.cleaned_data, f"{name}__")
        for each, messages in errors.items():
            if by_yaml:
                self.add_error(yaml, messages)
            elif each not in self.errors and (each or not unread):
                # What Django refused was not judged: it is not missing, and a fault of the whole may be due to it.
                self.add_error(each or None, messages)
        if values is not None and not unread and (not by_yaml or yaml not in self.errors):
            setattr(self.instance, name, values)
            self.cleaned_data[name] = values

    def _edited_in_vain(self, names: Collection[str], yaml: str, by_yaml: bool) -> str:
        """What to say where the side that counts is as it was and only the other one was edited."""
        changed = set(self.changed_data)
        posted = any(self.add_prefix(each) in self.data for each in names)
        fields_changed = posted and not changed.isdisjoint(names)
        yaml_changed = yaml in changed and bool(self.cleaned_data.get(yaml) or yaml in self.errors)
        if by_yaml and fields_changed and not yaml_changed:
            return "The fields were edited but the YAML counts: choose fields, or undo the edits."
        if not by_yaml and yaml_changed and not fields_changed:
            return "The YAML was edited but the fields count: choose YAML, or empty its text."
        return ""


def parameter_form(
    form: type[ParameterForm], parameters: Mapping[str, type[BaseModel]], widget_for: Widgets = lambda widget: widget
) -> type[ParameterForm]:
    """The form with the fields of the models, by the JSON field that keeps the values: `{"params": Cross.Params}`.

    The JSON field itself must not be among the form's `Meta.fields`.
    """
    declared: dict[str, Any] = {}
    for name, model in parameters.items():
        declared[f"{name}_edit_as"] = forms.ChoiceField(
            label=f"{plain(name)}: what counts",
            choices=[("fields", "fields"), ("yaml", "YAML")],
            initial="fields",
            required=False,
            widget=widget_for(forms.RadioSelect()),
        )
        declared |= form_fields(model, f"{name}__", widget_for)
        declared[f"{name}_yaml"] = YamlField(
            label=f"{plain(name)} as YAML",
            required=False,
            help_text="The same values; they count where YAML is chosen. What is left out is the default.",
            widget=widget_for(forms.Textarea({"rows": 16, "spellcheck": "false"})),
        )
    made: Any = type(form.__name__, (form,), {"__module__": form.__module__, **declared})
    made.parameters = {**form.parameters, **parameters}
    return cast(type[ParameterForm], made)


def _choices(field: forms.ChoiceField) -> list[tuple[Any, Any]]:
    return list(cast(Iterable[tuple[Any, Any]], field.choices))


def _field(slot: Slot, widget_for: Widgets) -> forms.Field:
    shared: dict[str, Any] = {
        "label": slot.label,
        # Django takes help for HTML, and a description may hold a <.
        "help_text": escape(_help(slot)),
        "required": slot.required,
        "initial": _initial(slot),
    }
    if slot.kind in (Kind.TICK, Kind.GROUP):
        return forms.BooleanField(**{**shared, "required": False}, widget=widget_for(forms.CheckboxInput()))
    if slot.kind is Kind.CHOICE:
        choices = [(key, key) for key in slot.choices]
        if slot.optional or slot.required or slot.blank:
            choices.insert(0, ("", "none" if slot.default is None else "---------"))
        return forms.ChoiceField(**shared, choices=choices, widget=widget_for(forms.Select()))
    if slot.kind is Kind.YAML:
        return YamlField(**shared, widget=widget_for(forms.Textarea({"rows": 3, "spellcheck": "false"})))
    widget = forms.NumberInput if slot.kind is Kind.NUMBER else forms.TextInput
    return forms.CharField(**shared, widget=widget_for(widget(slot.attributes())))


def _help(slot: Slot) -> str:
    if slot.kind is Kind.GROUP:
        default = "Unticked: none, and the fields under it are empty"
    elif slot.default is None:
        default = "Empty for none"
    elif slot.kind is Kind.TICK:
        default = {True: "Default on", False: "Default off"}.get(slot.default, "")
    else:
        shown = "" if slot.default is MISSING else str(_show(slot, to_jsonable_python(slot.default, fallback=str)))
        default = f"Default {shown}" if 0 < len(shown) <= 60 and "\n" not in shown else ""
    sentences = (slot.info.description or "", slot.bounds(), default)
    return " ".join(f"{text[0].upper()}{text[1:].rstrip('.')}." for text in sentences if text)


def _initial(slot: Slot) -> Any:
    """What the field shows where nothing is stored."""
    if slot.kind is Kind.GROUP:
        return slot.default is not None and slot.default is not MISSING
    if slot.default is MISSING or (slot.blank and not slot.inherited and slot.kind is not Kind.TICK):
        return False if slot.kind is Kind.TICK else ""
    return _show(slot, to_jsonable_python(slot.default, fallback=str))


def _show(slot: Slot, value: Any) -> Any:
    """A JSON value as the widget takes it; `_value` reads it back."""
    if slot.kind is Kind.GROUP:
        return value is not None
    if slot.kind is Kind.TICK:
        return bool(value)
    if value is None and slot.default is None:
        return ""
    if slot.kind is Kind.YAML:
        return _show_yaml(value)
    if slot.kind is Kind.LIST and isinstance(value, list):
        return "" if not value and slot.default in ([], ()) else show_list(value)
    if isinstance(value, str) and slot.kind is Kind.TEXT:
        return "" if value == slot.default == "" else show_text(value)
    return show_plain(value)


def _show_yaml(value: Any) -> str:
    try:
        return to_yaml(value).strip("\n")
    except BadInput:
        # Stored by other means than this form. JSON shows it whole, and saving it says what is wrong.
        return json.dumps(value, indent=1)


def _value(slot: Slot, entered: Any) -> Any:
    if not isinstance(entered, str):
        return entered
    if slot.kind is Kind.CHOICE:
        return slot.choices.get(entered, entered)
    if slot.kind is Kind.NUMBER:
        return read_number(entered, slot.types)
    if slot.kind is Kind.LIST:
        return [read_number(item, slot.types) for item in read_list(entered)]
    if slot.kind is Kind.TEXT:
        return read_text(entered)
    return parse_yaml(entered)


def _read(slots: Iterable[Slot], cleaned_data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values to judge, and the fields that cannot be read."""
    given: dict[str, Any] = {}
    errors: dict[str, str] = {}
    off: dict[tuple[str, ...], str] = {}
    for slot in slots:
        entered = cleaned_data.get(slot.name)
        group = next((path for path in off if slot.path[: len(path)] == path), None)
        if group is not None:
            if entered and slot.kind is not Kind.TICK:
                errors[off[group]] = "Tick this, or empty the fields under it."
        elif slot.kind is Kind.SECTION:
            _put(given, slot.path, {})
        elif slot.kind is Kind.GROUP:
            _put(given, slot.path, {} if entered else None)
            if not entered:
                off[slot.path] = slot.name
        elif entered is None or entered == "":
            if slot.inherited:
                _put(given, slot.path, slot.default)
        else:
            try:
                _put(given, slot.path, _value(slot, entered))
            except BadInput as error:
                errors[slot.name] = str(error)
    return given, errors


def _judge(model: type[BaseModel], given: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[tuple[Any, str]]]:
    """What the model makes of the values, as JSON that it reads as the same again; or its faults, by place."""
    try:
        values = model.model_validate(given).model_dump(mode="json", round_trip=True)
        faults = list(_unstorable(values))
        if not faults and model.model_validate(values).model_dump(mode="json", round_trip=True) != values:
            faults = [((), "these values become others when they are stored and read")]
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        faults = [(fault["loc"], fault["msg"].removeprefix("Value error, ")) for fault in found]
    except Exception as error:
        # The validators may be a plugin's, and a mistake in one must not take the page away.
        logger.exception("%s failed to judge values", model.__qualname__)
        faults = [((), f"{model.__qualname__} failed on these values with {type(error).__name__}: {error}")]
    return (None, faults) if faults else (values, [])


def _unstorable(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What JSON has no way to say, or PostgreSQL refuses in it."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, "must be a finite number"
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        yield place, "has too many digits"
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= each <= "\udfff" for each in value)):
        yield place, "has a character that cannot be stored (NUL, or half of a pair)"
    elif isinstance(value, (dict, list)):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unstorable(name, place)
            yield from _unstorable(each, (*place, name))


def _locate(place: tuple[Any, ...], message: str, known: Mapping[tuple[Any, ...], Slot]) -> tuple[str, str]:
    """The form field of a fault, and its message with what of the place the field's label does not say."""
    for depth in range(len(place), 0, -1):
        slot = known.get(place[:depth])
        if slot is None:
            continue
        rest = _dotted(place[depth:])
        if slot.kind is Kind.SECTION:
            return "", ": ".join([slot.label, *rest, message])
        return slot.name, ": ".join([*rest, message])
    return "", ": ".join([*_dotted(place), message])


def _dotted(place: Iterable[Any]) -> list[str]:
    """The place as one text (items of a list are counted from 1), or nothing."""
    parts = [f"item {part + 1}" if isinstance(part, int) else str(part) for part in place]
    return [".".join(parts)[:MAX_MESSAGE]] if parts else []


def _first(messages: list[str]) -> list[str]:
    more = [f"and {len(messages) - MAX_FAULTS} more"] if len(messages) > MAX_FAULTS else []
    return [message[:MAX_MESSAGE] for message in messages[:MAX_FAULTS]] + more


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values[name]
    values[path[-1]] = value


def _look_up(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(values, Mapping) or name not in values:
            return MISSING
        values = values[name]
    return values
