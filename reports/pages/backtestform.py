"""The form that asks for a backtest: fields from the models that check a YAML file, and YAML as its other half."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from pydantic import BaseModel, ValidationError

from domain.bars import Adjustment
from domain.errors import BadInput
from domain.strategy import Strategy
from domain.timeframe import Timeframe
from marketdata.models import Instrument, Watchlist, What
from strategies.config import BacktestConfig, ExecutionConfig, RiskConfig, SizingConfig, parse_config
from tradingsite.configfile import parse_yaml, to_yaml
from tradingsite.paramforms import YamlField, clean, form_fields, initial

MOST_WATCHLISTS = 500
_EMPTY: dict[str, Any] = {}


class _Sizing(BaseModel):
    """Left out, each instrument gets an equal part."""

    sizing: SizingConfig | None = None


MODELS: dict[str, tuple[str, type[BaseModel]]] = {
    "risk": ("Risk limits", RiskConfig),
    "execution": ("Orders and costs", ExecutionConfig),
    "sizing": ("Position size", _Sizing),
}
"""The collapsible sections: title and model, by the name in the config."""

PLAIN = ("symbols", "watchlist", "timeframe", "start", "end", "cash", "warmup_bars")


class BacktestForm(forms.Form):
    """`values` is a config as JSON values, whole or in part; once the form is valid, `config` is what to run."""

    use_required_attribute = False  # a browser would not send the form for the sake of a half that does not count

    strategy = forms.ChoiceField(help_text="Another one brings other parameters.")
    symbols = forms.CharField(
        required=False,
        max_length=2_000,
        help_text="SPY, QQQ@ARCA: with commas between them, the exchange where a symbol has several.",
    )
    watchlist = forms.ChoiceField(required=False, help_text="Instead of symbols.")
    timeframe = forms.ChoiceField(choices=[(each.value, each.value) for each in Timeframe])
    start = forms.CharField(
        required=False, max_length=40, help_text="First day, such as 2013-10-07. Empty: all that is held."
    )
    end = forms.CharField(required=False, max_length=40, help_text="Last day. Empty: to the newest bar.")
    cash = forms.CharField(
        max_length=30, help_text="Money at the start.", widget=forms.TextInput({"inputmode": "decimal"})
    )
    warmup_bars = forms.CharField(
        required=False,
        max_length=9,
        label="Warm-up bars",
        help_text="Read before the first day. Empty: what the strategy wants.",
        widget=forms.TextInput({"inputmode": "numeric"}),
    )
    what = forms.ChoiceField(choices=What.choices, label="Prices")
    adjustment = forms.ChoiceField(
        required=False,
        choices=[("", "raw where held"), *((each.value, each.value) for each in Adjustment)],
        help_text="Corporate actions that the prices already contain.",
    )
    tag = forms.CharField(required=False, max_length=64, help_text="A word to find it by.")
    notes = forms.CharField(required=False, max_length=2_000, widget=forms.Textarea({"rows": 2}))
    edit_as = forms.ChoiceField(
        choices=[("fields", "fields"), ("yaml", "YAML")],
        initial="fields",
        label="What counts",
        widget=forms.RadioSelect(),
    )
    yaml = YamlField(
        required=False,
        label="The same as YAML",
        help_text="It counts where YAML is chosen. What is left out is the default.",
        widget=forms.Textarea({"rows": 22, "spellcheck": "false"}),
    )
    token = forms.CharField(max_length=64, widget=forms.HiddenInput())

    def __init__(self, strategy: type[Strategy], values: Mapping[str, Any], known: list[str], **kwargs: Any) -> None:
        self.chosen = strategy
        self.config: BacktestConfig | None = None
        shown = _shown(strategy, values)
        super().__init__(initial={**shown, **kwargs.pop("initial", {})}, **kwargs)
        _choose(self.fields["strategy"], [(name, name) for name in known])
        names = Watchlist.objects.values_list("name", flat=True)[:MOST_WATCHLISTS]
        _choose(self.fields["watchlist"], [("", "none"), *((name, name) for name in names)])
        self.fields |= form_fields(strategy.Params, "params__")
        for name, (_, model) in MODELS.items():
            self.fields |= form_fields(model, _prefix(name))

    # For the template, which lays the fields out by section.

    def marked(self) -> bool:
        """Whether a field that people see has an error of its own."""
        return bool(set(self.errors) - {"__all__", "token"})

    def parameter_fields(self) -> list[forms.BoundField]:
        return self._bound("params__")

    def sections(self) -> list[dict[str, Any]]:
        found = []
        for name, (title, _) in MODELS.items():
            bound = self._bound(name)
            found.append({"title": title, "fields": bound, "has_errors": any(each.errors for each in bound)})
        return found

    def _bound(self, start: str) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith(start)]

    # Judging.

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        by_yaml = data.get("edit_as") == "yaml"
        if by_yaml:
            for name in [each for each in self.errors if each not in ("yaml", "token", "tag", "notes", "edit_as")]:
                del self.errors[name]
            values = self._yaml_values(data.get("yaml", ""))
        else:
            values = self._field_values(data)
        if values is None or self.errors:
            return data
        try:
            self.config = parse_config(values)
        except BadInput as error:
            self._place(error, by_yaml)
            return data
        if self.config.run_id is not None:
            self.add_error("yaml", "run_id: leave it out, each run from here gets one of its own")
        self._check_instruments(self.config, "yaml" if by_yaml else "symbols")
        return data

    def _yaml_values(self, text: str) -> dict[str, Any] | None:
        try:
            values = parse_yaml(text)
        except BadInput as error:
            self.add_error("yaml", str(error))
            return None
        if not isinstance(values, dict):
            self.add_error("yaml", "expected lines such as `timeframe: 1d`")
            return None
        return values

    def _field_values(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if "yaml" in self.changed_data and set(self.changed_data) <= {"yaml", "token", "tag", "notes"}:
            self.add_error("edit_as", "The YAML was edited but the fields count: choose YAML, or undo the edits.")
        params = self._judged(self.chosen.Params, data, "params__")
        values: dict[str, Any] = {name: data.get(name) or None for name in PLAIN}
        values["strategy"] = {"name": data.get("strategy"), "params": params}
        values["data"] = {"what": data.get("what"), "adjustment": data.get("adjustment") or None}
        for name, (_, model) in MODELS.items():
            judged = self._judged(model, data, _prefix(name))
            values[name] = judged.get("sizing") if model is _Sizing else judged
        return values

    def _judged(self, model: type[BaseModel], data: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        found = clean(model, data, prefix)
        for name, errors in found.errors.items():
            self.add_error(name or None, errors)
        return found.values or {}

    def _place(self, error: BadInput, by_yaml: bool) -> None:
        """What the config finds wrong goes to the field of its first place; what has none stands at the top."""
        cause = error.__cause__
        if by_yaml or not isinstance(cause, ValidationError):
            self.add_error("yaml" if by_yaml else None, str(error))
            return
        for fault in cause.errors(include_url=False, include_context=False, include_input=False):
            message = fault["msg"].removeprefix("Value error, ")
            name = str(fault["loc"][0]) if fault["loc"] else "symbols" if "symbols" in message else ""
            self.add_error(name if name in self.fields else None, message)

    def _check_instruments(self, config: BacktestConfig, name: str) -> None:
        for text in config.symbols:
            symbol, _, exchange = text.partition("@")
            try:
                Instrument.objects.named(symbol, exchange=exchange)
            except BadInput as error:
                self.add_error(name, str(error))


def _prefix(name: str) -> str:
    return "" if name == "sizing" else f"{name}__"  # the field of its model is called sizing already


def _choose(field: forms.Field, choices: list[tuple[str, str]]) -> None:
    assert isinstance(field, forms.ChoiceField)  # nosec B101
    field.choices = choices


def _shown(strategy: type[Strategy], values: Mapping[str, Any]) -> dict[str, Any]:
    """A config as the fields show it."""
    symbols = values.get("symbols") or ""
    data = values.get("data") or _EMPTY
    params = (values.get("strategy") or _EMPTY).get("params") or _EMPTY
    shown: dict[str, Any] = {
        "strategy": strategy.label(),
        "symbols": symbols if isinstance(symbols, str) else ", ".join(symbols),
        "timeframe": str(values.get("timeframe") or Timeframe.D1),
        "cash": f"{float(values.get('cash') or 100_000):.10g}",
        "what": data.get("what") or What.TRADES,
        "adjustment": data.get("adjustment") or "",
        "edit_as": "fields",
        "yaml": to_yaml(_as_config(strategy, values, symbols)).strip(),
    }
    shown |= {name: values.get(name) or "" for name in ("watchlist", "start", "end", "warmup_bars")}
    shown |= initial(strategy.Params, params, "params__")
    for name, (_, model) in MODELS.items():
        held = {"sizing": values.get("sizing")} if model is _Sizing else values.get(name) or _EMPTY
        shown |= initial(model, held, _prefix(name))
    return shown


def _as_config(strategy: type[Strategy], values: Mapping[str, Any], symbols: Any) -> dict[str, Any]:
    """What of a config a person edits, without what is none."""
    given = dict(values)
    held = (given.pop("strategy", None) or _EMPTY).get("params") or {}
    config: dict[str, Any] = {"strategy": {"name": strategy.label(), "params": _defaults(strategy) | dict(held)}}
    config["symbols"] = (
        [each.strip() for each in symbols.split(",") if each.strip()] if isinstance(symbols, str) else list(symbols)
    )
    for name in (
        "watchlist",
        "timeframe",
        "start",
        "end",
        "cash",
        "warmup_bars",
        "data",
        "risk",
        "execution",
        "sizing",
    ):
        if given.get(name) not in (None, "", {}):
            config[name] = _without_none(given[name])
    config.setdefault("timeframe", str(Timeframe.D1))
    config.setdefault("cash", 100_000)
    if config.get("watchlist"):
        del config["symbols"]
    if "data" in config:
        config["data"] = {name: each for name, each in config["data"].items() if name in ("what", "adjustment")}
    return config


def _without_none(value: Any) -> Any:
    """None is what a rule that is off says by being left out."""
    if not isinstance(value, Mapping):
        return value
    return {name: _without_none(each) for name, each in value.items() if each is not None}


def _defaults(strategy: type[Strategy]) -> dict[str, Any]:
    fields = strategy.Params.model_fields
    known = {
        name: field.get_default(call_default_factory=True) for name, field in fields.items() if not field.is_required()
    }
    return dict(strategy.Params.model_construct(**known).model_dump(mode="json"))
