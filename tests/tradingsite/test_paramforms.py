import datetime as dt
import os
import re
import subprocess
import sys
from decimal import Decimal
from enum import Flag, IntEnum, StrEnum
from typing import Annotated, Any, Literal

import pytest
from django import forms
from django.contrib.admin import AdminSite, ModelAdmin
from django.test import RequestFactory
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from unfold import widgets as unfold

from domain.strategy import Params
from strategies import registry
from strategies.config import CommissionConfig, ExecutionConfig, RiskConfig, SizingConfig
from strategies.models import Backtest
from tradingsite.configfile import parse_yaml
from tradingsite.paramforms import (
    ParameterForm,
    clean,
    clean_yaml,
    field_names,
    form_fields,
    initial,
    parameter_form,
    yaml_of,
)

registry.load()
LIBRARY = {name: registry.get(name).Params for name in ("ma_crossover", "momentum", "breakout", "mean_reversion")}
Cross = LIBRARY["ma_crossover"]
# Of each property; more by FORM_EXAMPLES.
EXAMPLES = int(os.environ.get("FORM_EXAMPLES", "100"))
MODELS = {**LIBRARY, "risk": RiskConfig, "execution": ExecutionConfig, "sizing": SizingConfig}


class Mood(StrEnum):
    CALM = "calm"
    WILD = "wild"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Leaf(Params):
    size: Annotated[int, Field(gt=0, lt=10)]
    on: bool = False
    note: str | None = None


class Zoo(Params):
    """One field of every kind."""

    number: int = Field(6, ge=1, le=500, multiple_of=2, json_schema_extra={"unit": "bars"})
    rate: float = Field(0.5, gt=0)
    exact: Decimal = Decimal("1.5")
    capped: Annotated[float, Field(le=1)] | None = None
    none_takes_a_word: int | None = 5
    name: str = Field("x < y & z", description="shown <b>as it is</b>")
    free: str = ""
    note: str | None = None
    code: str = Field("AB", min_length=2, max_length=4, pattern="^[A-Z]+$")
    on: bool = True
    three_ways: bool | None = None
    mood: Mood = Mood.CALM
    level: Level = Level.LOW
    side: Literal["buy", "sell", None] = None
    size: Literal[1, 2] = 2
    day: dt.date | None = None
    symbols: list[str] = []
    moods: tuple[Mood, ...] = (Mood.CALM,)
    pair: tuple[int, int] = (1, 2)
    rates: list[Annotated[float, Field(ge=0)]] | None = None
    leaf: Leaf | None = None
    kept: Leaf | None = Leaf(size=3)
    always: Leaf = Leaf(size=4, note="four")
    leaves: list[Leaf] = []
    table: dict[str, int] = {}
    either: int | str = 0


def bound(model: type[BaseModel], data: dict[str, Any], prefix: str = "") -> forms.Form:
    form = type("F", (forms.Form,), form_fields(model, prefix))(data)
    form.is_valid()
    return form


def posted(shown: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends for a form that shows this."""
    return {name: "on" if value is True else value for name, value in shown.items() if value is not False}


def through_the_form(model: type[BaseModel], values: dict[str, Any]) -> Any:
    form = bound(model, posted(initial(model, values)))
    assert not form.errors
    return clean(model, form.cleaned_data)


def attributes(html: str, name: str) -> dict[str, str]:
    tag = re.search(rf'<(?:input|textarea|select)[^>]*\bname="{name}"[^>]*>', html)
    assert tag is not None, name
    return dict(re.findall(r'([\w-]+)="([^"]*)"', tag[0]))


# What a form says


def test_the_form_of_a_strategy_shows_bounds_units_defaults_and_errors_where_they_belong():
    data = {"params__fast": "0", "params__slow": "many", "params__allow_short": "on"}
    form = bound(Cross, data, "params__")
    cleaned = clean(Cross, form.cleaned_data, "params__")
    assert cleaned.values is None
    for name, messages in cleaned.errors.items():
        form.add_error(name or None, messages)
    html = form.as_p()
    fast, slow = attributes(html, "params__fast"), attributes(html, "params__slow")
    assert (fast["type"], fast["min"], fast["max"], fast["step"]) == ("number", "1", "5000", "1")
    assert (slow["min"], slow["value"]) == ("2", "many")
    assert "Fast average. 1 to 5000, in bars. Default 20." in html
    assert "checked" in re.search(r"<input[^>]*params__allow_short[^>]*>", html)[0]
    assert form.errors["params__fast"] == ["Input should be greater than or equal to 1"]
    error = html.index("Input should be greater than or equal to 1")
    assert error < html.index('name="params__fast"') < html.index('name="params__slow"')
    assert 'aria-invalid="true"' in re.search(r"<input[^>]*params__slow[^>]*>", html)[0]
    assert "style=" not in html and "<script" not in html
    unbound = type("F", (forms.Form,), form_fields(Cross, "params__"))().as_p()
    assert attributes(unbound, "params__fast")["value"] == "20"
    assert "required" not in unbound


def test_an_error_of_the_whole_model_stands_at_the_top():
    form = bound(Cross, {"fast": "50", "slow": "20"})
    assert clean(Cross, form.cleaned_data).errors == {"": ["fast must be below slow, not 50 and 20"]}


@pytest.mark.parametrize(
    ("name", "label", "help_text", "attrs"),
    [
        ("number", "Number", "1 to 500, a multiple of 2, in bars. Default 6.", {"min": "2", "max": "500", "step": "2"}),
        ("rate", "Rate", "More than 0. Default 0.5.", {"min": "0", "step": "any"}),
        ("exact", "Exact", "Default 1.5.", {"step": "any"}),
        ("capped", "Capped", "At most 1. Empty for none.", {"max": "1", "step": "any"}),
        ("none_takes_a_word", "None takes a word", "As YAML. Default 5.", {"cols": "40", "rows": 3}),
        ("name", "Name", "Shown &lt;b&gt;as it is&lt;/b&gt;. Default x &lt; y &amp; z.", {}),
        ("code", "Code", "2 to 4 characters, matching ^[A-Z]+$. Default AB.", {"minlength": "2", "maxlength": "4"}),
        ("on", "On", "Default on.", {}),
        ("three_ways", "Three ways", "Empty for none.", {}),
        ("symbols", "Symbols", "Separated by commas.", {}),
        ("pair", "Pair", "Separated by commas. Default 1, 2.", {}),
        ("leaf", "Leaf", "Unticked: none, and the fields under it are empty.", {}),
        ("leaf__size", "Leaf: size", "More than 0, below 10.", {"min": "1", "max": "9", "step": "1"}),
        ("always__size", "Always: size", "More than 0, below 10. Default 4.", {"min": "1", "max": "9", "step": "1"}),
    ],
)
def test_every_kind_of_field_explains_itself(name, label, help_text, attrs):
    field = form_fields(Zoo)[name]
    assert (field.label, field.help_text) == (label, help_text)
    assert {key: value for key, value in field.widget.attrs.items() if key != "spellcheck"} == attrs
    assert not field.required


def test_only_what_the_model_requires_is_required():
    fields = form_fields(SizingConfig, "sizing__")
    assert [name for name, field in fields.items() if field.required] == ["sizing__kind", "sizing__value"]
    assert bound(SizingConfig, {}).errors == {name: ["This field is required."] for name in ("kind", "value")}


def test_every_number_of_risk_execution_and_library_says_its_meaning():
    for model in MODELS.values():
        for name, field in form_fields(model).items():
            assert model.model_fields[name.split("__")[0]].description, name
            assert field.help_text, name
    assert "Empty for none." in form_fields(RiskConfig)["daily_loss"].help_text
    assert "in money" in form_fields(CommissionConfig)["per_order"].help_text
    assert RiskConfig.model_json_schema()["properties"]["daily_loss"]["unit"] == "money"


def test_the_admin_hands_in_its_own_widgets():
    skin = {
        forms.TextInput: unfold.UnfoldAdminTextInputWidget,
        forms.NumberInput: unfold.UnfoldAdminDecimalFieldWidget,
        forms.Textarea: unfold.UnfoldAdminTextareaWidget,
        forms.Select: unfold.UnfoldAdminSelectWidget,
        forms.CheckboxInput: unfold.UnfoldBooleanSwitchWidget,
    }
    fields = form_fields(Zoo, widget_for=lambda widget: skin[type(widget)](attrs=widget.attrs))
    assert {type(field.widget) for field in fields.values()} == set(skin.values())
    number = fields["number"].widget
    assert number.attrs["min"] == "2" and "rounded-default" in number.attrs["class"]
    assert ("wild", "wild") in fields["mood"].widget.choices


def test_it_imports_without_the_heavy_libraries():
    code = "import sys, tradingsite.paramforms as f; print(sorted({'numpy', 'pandas', 'plotly'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# There and back

TEXT = st.text(max_size=12) | st.sampled_from(
    ['""', '"', '"a"', "[]", "a, b", " a ", "null", "5", "ON", "\u202egnp", ""]
)
SAFE = TEXT.filter(lambda text: "\0" not in text)
LEAF = st.builds(Leaf, size=st.integers(1, 9), on=st.booleans(), note=st.none() | SAFE)
WHOLE = st.integers(-(10**30), 10**30)
FLOATS = st.floats(min_value=1e-300, allow_infinity=False)
ZOO = st.builds(
    Zoo,
    number=st.integers(1, 250).map(lambda half: 2 * half),
    rate=FLOATS,
    exact=st.decimals(allow_nan=False, allow_infinity=False),
    capped=st.none() | st.floats(max_value=1, allow_infinity=False),
    none_takes_a_word=st.none() | WHOLE,
    name=SAFE,
    free=SAFE,
    note=st.none() | SAFE,
    on=st.booleans(),
    three_ways=st.none() | st.booleans(),
    mood=st.sampled_from(Mood),
    level=st.sampled_from(Level),
    side=st.sampled_from(["buy", "sell", None]),
    size=st.sampled_from([1, 2]),
    day=st.none() | st.dates(),
    symbols=st.lists(SAFE, max_size=4),
    moods=st.lists(st.sampled_from(Mood), max_size=3),
    pair=st.tuples(WHOLE, WHOLE),
    rates=st.none() | st.lists(st.floats(min_value=0, allow_infinity=False), max_size=3),
    leaf=st.none() | LEAF,
    kept=st.none() | LEAF,
    always=LEAF,
    leaves=st.lists(LEAF, max_size=2),
    table=st.dictionaries(SAFE, WHOLE, max_size=2),
    either=WHOLE | SAFE,
)


@settings(max_examples=EXAMPLES)
@given(ZOO)
def test_whatever_a_model_can_hold_goes_through_fields_and_yaml_unchanged(zoo):
    values = zoo.model_dump(mode="json")
    assert through_the_form(Zoo, values) == (values, {})
    assert clean_yaml(Zoo, yaml_of(Zoo, values)) == (values, {})


def test_empty_fields_are_the_defaults():
    defaults = Zoo().model_dump(mode="json")
    ticked = {"on": "on", "kept": "on"}
    assert clean(Zoo, bound(Zoo, ticked).cleaned_data) == (defaults, {})
    assert through_the_form(Zoo, {}) == (defaults, {})


def test_an_optional_part_is_none_until_it_is_ticked():
    def cleaned(**data):
        return clean(Zoo, bound(Zoo, data).cleaned_data)

    assert cleaned().values["leaf"] is None and cleaned().values["kept"] is None
    assert cleaned(leaf="on").errors == {"leaf__size": ["Field required"]}
    assert cleaned(leaf="on", leaf__size="3").values["leaf"] == {"size": 3, "on": False, "note": None}
    assert cleaned(leaf__size="3").errors == {"leaf": ["Tick this, or empty the fields under it."]}


def test_stored_values_that_no_longer_fit_are_shown_and_not_replaced():
    stored = {"mood": "furious", "number": "x", "symbols": 5, "leaf": {"size": 99}, "table": [1], "gone": 1, "on": None}
    shown = initial(Zoo, stored)
    assert (shown["mood"], shown["number"], shown["symbols"], shown["leaf__size"]) == ("furious", "x", "5", "99")
    assert shown["leaf"] is True and shown["table"] == "- 1" and shown["on"] is True
    assert "gone: 1" in yaml_of(Zoo, stored)


# What is refused

HOSTILE = [
    *(
        "",
        " ",
        "5",
        "20",
        "0.5",
        "-1",
        "+3",
        "007",
        "5.0",
        "1_000",
        "1,5",
        "0x10",
        "5\u00a0",
        "\u0665",
        "\u00bd",
        "\u202e5",
    ),
    *("NaN", "nan", "Infinity", "-inf", "1e308", "1e309", "1e-400", "9" * 400, "9" * 5_000, "\0", "5\0", "\ud800"),
    *("true", "null", "on", "[]", "{}", "market", "limit", "atr", "day", "A" * 100_000, "<script>alert(1)</script>"),
    *("&a [*a]", "a: &a [x]\nb: [*a,*a]", "!!python/object:os 1", "[" * 5_000),
    *("- up_to: 5\n  per_unit: 0.1", "- per_unit: .nan"),
]
NASTY = st.sampled_from(HOSTILE) | st.text(max_size=20) | (st.integers() | st.floats()).map(str)


def entered(model: type[BaseModel]) -> Any:
    """Form data: mostly what could be meant, with one thing or another that could not."""
    some = {}
    for name, field in form_fields(model).items():
        if isinstance(field, forms.BooleanField):
            some[name] = st.just("on")
        elif isinstance(field, forms.ChoiceField):
            some[name] = st.sampled_from([key for key, _ in field.choices]) | NASTY
        else:
            meant = st.floats(0.1, 1).map(lambda x: f"{x:.3g}") | st.integers(2, 20).map(str)
            some[name] = st.one_of(meant, meant, meant, NASTY)
    needed = {name: some.pop(name) for name, field in form_fields(model).items() if field.required}
    return st.fixed_dictionaries(needed, optional=some)


def as_the_model_would_take_it(model: type[BaseModel], data: dict[str, str]) -> dict[str, Any]:
    """The texts themselves, for pydantic to read: the form's own reading has no part in it."""
    values: dict[str, Any] = {}
    for name, field in form_fields(model).items():
        *parents, last = name.split("__")
        at = values
        for parent in parents:
            at = at.setdefault(parent, {})
        text = data.get(name, "")
        if not isinstance(field, forms.ChoiceField):
            text = text.strip()
        if isinstance(field, forms.BooleanField):
            at[last] = name in data
        elif text:
            at[last] = parse_yaml(text) if isinstance(field.widget, forms.Textarea) else text
    return values


def expected(model: type[BaseModel], data: dict[str, str]) -> dict[str, Any] | None:
    if any("\0" in text for text in data.values()):
        return None
    try:
        return model.model_validate(as_the_model_would_take_it(model, data)).model_dump(mode="json")
    except ValueError:
        return None


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=EXAMPLES)
@given(st.data())
def test_the_model_alone_decides_and_nothing_ever_raises(name, data):
    model = MODELS[name]
    sent = data.draw(entered(model))
    form = bound(model, sent)
    values, errors = clean(model, form.cleaned_data)
    wanted = expected(model, sent)
    if form.errors or errors:
        event("refused")
        assert wanted is None
        assert set(errors) <= {"", *form.fields}
        assert not any("failed on these values" in text for messages in errors.values() for text in messages)
        assert form.errors or values is None
    else:
        event("accepted")
        assert values == wanted
        assert through_the_form(model, values) == (values, {})
        assert clean_yaml(model, yaml_of(model, values)) == (values, {})
    form.as_p()


@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from(sorted(MODELS)),
    NASTY | st.recursive(NASTY, lambda x: st.lists(x) | st.dictionaries(NASTY, x)).map(str),
)
def test_any_text_as_yaml_is_taken_or_refused(name, text):
    values, errors = clean_yaml(MODELS[name], text)
    assert (values is None) == bool(errors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(field_names(Zoo)) | TEXT, x, max_size=3),
    max_leaves=15,
)


@settings(max_examples=EXAMPLES)
@given(st.dictionaries(st.sampled_from(field_names(Zoo)) | TEXT, JSON, max_size=8))
def test_any_stored_json_can_be_shown(stored):
    form = type("F", (forms.Form,), form_fields(Zoo))(initial=initial(Zoo, stored))
    assert form.as_p()
    yaml_of(Zoo, stored)


class Loose(BaseModel):
    """A plugin's model, less careful than ours, and with a mistake in a validator."""

    model_config = ConfigDict(extra="allow")
    number: float = 1.0
    count: int = 1
    name: str = ""
    names: list[str] = []
    numbers: list[int] = []
    table: dict[str, Any] = {}

    @model_validator(mode="after")
    def _has_a_mistake(self) -> "Loose":
        if self.name == "KeyError":
            raise KeyError(self.name)
        return self


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({"number": "NaN"}, {"number": ["must be a finite number"]}),
        ({"number": "1e999"}, {"number": ["must be a finite number"]}),
        ({"name": '"\\u0000"'}, {"name": ["has a character that cannot be stored (NUL, or half of a pair)"]}),
        (
            {"names": 'a, "\\ud800"'},
            {"names": ["item 2: has a character that cannot be stored (NUL, or half of a pair)"]},
        ),
        (
            {"names": 'a, "b" c'},
            {"names": ['cannot be read from \' "b" c\' on; put a text with " or , into double quotes']},
        ),
        ({"table": "a: &x 1"}, {"table": ["line 1: anchors and aliases (& and *) are not allowed; quote a text"]}),
        (
            {"table": "&", "name": "KeyError"},
            {"table": ["line 1: expected alphabetic or numeric character, but found '\\x00'"]},
        ),
        ({"table": "a: 1", "name": "KeyError"}, {"": ["Loose failed on these values with KeyError: 'KeyError'"]}),
    ],
)
def test_what_cannot_be_stored_or_read_is_an_error_of_its_field(data, errors):
    assert clean(Loose, bound(Loose, data).cleaned_data) == (None, errors)


def test_a_default_that_its_own_model_refuses_is_not_stored():
    class Model(Params):
        count: int = Field(0, gt=0)

    assert Model().count == 0
    assert clean(Model, {}) == (None, {"count": ["Input should be greater than 0"]})
    assert clean(Model, {"count": "3"}) == ({"count": 3}, {})


def test_a_value_that_is_read_as_another_is_not_stored():
    class Model(Params):
        doubled: Annotated[int, AfterValidator(lambda value: 2 * value)] = 1

    assert clean(Model, {"doubled": "3"}).errors == {"": ["these values become others when they are stored and read"]}


class Node(Params):
    size: int = 0
    child: "Node | None" = None


class Shade(Flag):
    DARK = 1
    LIGHT = 2


class Odd(Params):
    """What fits into no line of text or choice."""

    alike: Literal[1, "1"] = 1
    nothing: Literal["", "a"] = "a"
    shade: Shade = Shade.DARK
    mixed: tuple[int, str] = (1, "a")
    holes: list[int | None] = []
    group: set[int] = set()
    anything: Any = None
    node: Node = Node()


def test_what_fits_into_no_line_is_yaml():
    fields = form_fields(Odd)
    lines = {"node__size"}
    assert {name for name, field in fields.items() if not isinstance(field.widget, forms.Textarea)} == lines
    values = {
        "alike": "1",
        "nothing": "",
        "mixed": [2, "b, c"],
        "holes": [1, None],
        "group": [3],
        "anything": {"a": [1]},
    }
    values = Odd(**values, node=Node(child=Node(size=2))).model_dump(mode="json")
    assert through_the_form(Odd, values) == (values, {})


def test_a_fault_in_each_of_many_items_is_a_short_list():
    errors = clean(Loose, {"numbers": "x, " * 1_000}).errors["numbers"]
    assert len(errors) == 6 and errors[-1] == "and 995 more"
    assert errors[0].startswith("item 1: Input should be a valid integer")


# The form of a row


class BacktestForm(ParameterForm):
    class Meta:
        model = Backtest
        fields = ["strategy"]


def edit(values, data=None, model=Cross):
    return parameter_form(BacktestForm, {"config": model})(data, instance=Backtest(config=values))


FIELDS = {"strategy": "ma_crossover", "config__fast": "5", "config__slow": "9", "config_edit_as": "fields"}


def test_a_row_is_edited_by_fields():
    form = edit(
        {"fast": 3, "slow": 7, "allow_short": True},
        {**FIELDS, "config_yaml": "fast: 3\r\nslow: 7\r\nallow_short: true\r\n"},
    )
    assert form.is_valid(), form.errors
    assert form.instance.config == {"fast": 5, "slow": 9, "allow_short": False}
    assert set(form.changed_data) == {"strategy", "config__fast", "config__slow", "config__allow_short"}


def test_a_row_is_edited_by_yaml_and_the_fields_beside_it_do_not_count():
    form = edit({}, {**FIELDS, "config__fast": "rubbish", "config_edit_as": "yaml", "config_yaml": "slow: 30"})
    assert form.is_valid(), form.errors
    assert form.instance.config == {"fast": 20, "slow": 30, "allow_short": False}


def test_errors_stand_where_the_edit_was_made_and_the_row_stays():
    stored = {"fast": 3, "slow": 7}
    form = edit(stored, {**FIELDS, "config__fast": "9", "config__slow": "x"})
    assert list(form.errors) == ["config__slow"]
    form = edit(stored, {**FIELDS, "config__fast": "9"})
    assert form.non_field_errors() == ["fast must be below slow, not 9 and 9"]
    assert form.instance.config == stored
    form = edit(stored, {"strategy": "x", "config_edit_as": "yaml", "config_yaml": "fast: 9\nslow: x\nmean: 3"})
    assert form.errors == {
        "config_yaml": [
            "slow: Input should be a valid integer, unable to parse string as an integer",
            "mean: Extra inputs are not permitted",
        ]
    }
    assert form.instance.config == stored
    for text in ("", "- 1", "fast: [", "fast: \0"):
        assert "config_yaml" in edit(stored, {"strategy": "x", "config_edit_as": "yaml", "config_yaml": text}).errors


class Span(Params):
    unit: Literal["days", "bars"] = "days"
    low: int = 1
    high: int = 2

    @model_validator(mode="after")
    def _is_in_order(self) -> "Span":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def test_what_django_refuses_is_said_once_and_never_stored():
    data = {"strategy": "x", "config_edit_as": "fields", "config__unit": "years", "config__high": "5"}
    choice = {"config__unit": ["Select a valid choice. years is not one of the available choices."]}
    for low in ("3", "9"):
        form = edit({}, {**data, "config__low": low}, Span)
        assert form.errors == choice and form.instance.config == {}
    form = edit({}, {"strategy": "x", "config__kind": "years", "config__value": ""}, SizingConfig)
    assert {name: len(messages) for name, messages in form.errors.items()} == {"config__kind": 1, "config__value": 1}


def test_what_is_wrong_on_the_side_that_does_not_count_is_no_error():
    yaml = {"strategy": "x", "config_edit_as": "yaml", "config_yaml": "{kind: atr, value: 0.01}"}
    form = edit({}, {**yaml, "config__kind": "years", "config__value": ""}, SizingConfig)
    assert form.is_valid() and form.instance.config["kind"] == "atr"
    assert edit({}, {**FIELDS, "config_yaml": "\0"}).is_valid()
    assert "required" not in edit({}, model=SizingConfig).as_p().split("config_edit_as", 1)[1]


def test_an_edit_on_the_side_that_does_not_count_is_not_lost_in_silence():
    as_it_is = {"strategy": "x", **{f"config__{name}": value for name, value in (("fast", "20"), ("slow", "50"))}}
    yaml = yaml_of(Cross, {})
    form = edit({}, {**as_it_is, "config_yaml": "fast: 3"})
    assert form.errors == {
        "config_edit_as": ["The YAML was edited but the fields count: choose YAML, or empty its text."]
    }
    form = edit({}, {**FIELDS, "config_edit_as": "yaml", "config_yaml": yaml})
    assert form.errors == {
        "config_edit_as": ["The fields were edited but the YAML counts: choose fields, or undo the edits."]
    }
    assert edit({}, {**as_it_is, "config_yaml": yaml}).is_valid()
    assert "config_edit_as" in edit({}, {**FIELDS, "config_edit_as": "both"}).errors


def test_the_page_shows_the_row_both_ways():
    html = edit({"fast": 3, "slow": 7, "allow_short": True}).as_p()
    assert attributes(html, "config__fast")["value"] == "3"
    assert "checked" in re.search(r"<input[^>]*config__allow_short[^>]*>", html)[0]
    assert "fast: 3\nslow: 7\nallow_short: true</textarea>" in html


def test_a_choice_that_is_no_longer_known_stays_until_another_is_made():
    form = edit({"kind": "kelly", "value": 1}, model=SizingConfig)
    assert '<option value="kelly" selected>' in form.as_p()
    data = {"strategy": "x", "config__kind": "kelly", "config__value": "1"}
    assert "config__kind" in edit({"kind": "kelly", "value": 1}, data, SizingConfig).errors
    assert edit({"kind": "kelly", "value": 1}, {**data, "config__kind": "fraction"}, SizingConfig).is_valid()


def test_the_admin_takes_such_a_form_by_row():
    class BacktestAdmin(ModelAdmin):
        def get_form(self, request, obj=None, change=False, **kwargs):
            kwargs["form"] = parameter_form(BacktestForm, {"config": Cross})
            return super().get_form(request, obj, change, **kwargs)

    admin = BacktestAdmin(Backtest, AdminSite())
    row, request = Backtest(config={"fast": 3, "slow": 7}), RequestFactory().get("/")
    [(_, fieldset)] = admin.get_fieldsets(request, row)
    fields = ["strategy", "config_edit_as", "config__fast", "config__slow", "config__allow_short", "config_yaml"]
    assert sorted(fieldset["fields"]) == sorted(fields)
    form = admin.get_form(request, row, fields=fields)(FIELDS, instance=row)
    assert form.is_valid(), form.errors
    assert row.config == {"fast": 5, "slow": 9, "allow_short": False}


def test_two_models_share_a_form():
    class Form(ParameterForm):
        class Meta:
            model = Backtest
            fields: list[str] = []

    made = parameter_form(parameter_form(Form, {"config": Cross}), {"risk": RiskConfig})
    assert made.parameters == {"config": Cross, "risk": RiskConfig}
    for name, model in made.parameters.items():
        expected = {f"{name}_edit_as", f"{name}_yaml", *field_names(model, f"{name}__")}
        assert {each for each in made.base_fields if each.startswith(name)} == expected


def test_errors_are_those_of_the_model():
    with pytest.raises(ValidationError) as error:
        RiskConfig(daily_loss_fraction=2)
    [fault] = error.value.errors()
    form = bound(RiskConfig, {"daily_loss_fraction": "2"})
    assert clean(RiskConfig, form.cleaned_data).errors == {"daily_loss_fraction": [fault["msg"]]}
