"""What a backtest is asked to do: the YAML file or the flags as checked values, and as what the engine takes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from domain.bars import Adjustment
from domain.costs import SCHEDULES, Commission, Tier
from domain.engine.setup import MarketAt, RunSettings
from domain.errors import BadInput, UnknownName
from domain.orders import OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sizing import Sizing, SizingKind
from domain.timeframe import Timeframe
from tradingsite.configfile import parse_yaml

# Orders are sized at a close and fill at the next open: what is left over pays for the gap and the costs.
INVESTED = 0.95
# What of a config has no part in the result, so neither in its hash.
_NO_PART: dict[str, Any] = {
    "run_id": True,
    "watchlist": True,
    "broker": True,
    "params": True,
    "data": {"source", "cache_dir", "ib"},
}

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _read_moment(value: Any) -> Any:
    """A date, meaning the exchange's session of that day, or a time with its zone; as text in one spelling."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return dt.date.fromisoformat(text).isoformat()
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no date; write 2013-10-07, or a time as 2013-10-07T14:30Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write {text}Z for UTC, or a date alone for the exchange's day")
    return moment.astimezone(dt.UTC).isoformat()


Moment = Annotated[str | None, BeforeValidator(_read_moment)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
# What a form and the API's schema say after the bounds.
_MONEY: Any = {"unit": "money"}
_FRACTION: Any = {"unit": "fraction"}
_BPS: Any = {"unit": "bps"}
_UNITS: Any = {"unit": "units"}
_BARS: Any = {"unit": "bars"}


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class GatewayConfig(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 4002
    client_id: Annotated[int, Field(ge=0)] = 1


class DataConfig(Section):
    """`source`, `cache_dir` and `ib` say where bars are loaded from; a backtest reads what is held."""

    source: Literal["ib", "store"] = "store"
    cache_dir: str = ""
    ib: GatewayConfig | None = None
    what: Literal["TRADES", "MIDPOINT", "BID_ASK", "ADJUSTED_LAST"] = "TRADES"
    adjustment: Adjustment | None = None


class BrokerConfig(Section):
    """For live trading; a backtest has no broker."""

    paper: bool = True


class RiskConfig(Section):
    """RiskLimits under the names that configs use; a rule that is left out is off."""

    long_only: bool = Field(default=True, description="refuse to sell short")
    market_hours: bool = Field(default=True, description="refuse orders outside of the exchange's sessions")
    flat_at_close: bool = Field(
        default=False, description="close positions at each session's close, and refuse entries that could not be"
    )
    per_symbol_notional_cap: Positive | None = Field(
        default=None, description="largest value of one instrument's position and orders", json_schema_extra=_MONEY
    )
    max_gross_exposure: Positive | None = Field(
        default=None,
        description="largest value of all positions and orders, long and short added up",
        json_schema_extra=_MONEY,
    )
    max_order_quantity: Positive | None = Field(default=None, description="largest order", json_schema_extra=_UNITS)
    max_order_value: Positive | None = Field(
        default=None, description="largest order by its value", json_schema_extra=_MONEY
    )
    max_open_orders: Positive | None = Field(default=None, description="most working orders of one instrument")
    price_collar: Positive | None = Field(
        default=None, description="largest distance of a limit price from the last price", json_schema_extra=_FRACTION
    )
    instrument_daily_loss: Positive | None = Field(
        default=None,
        description="loss of one instrument since the day's start that ends its entries",
        json_schema_extra=_MONEY,
    )
    daily_loss: Positive | None = Field(
        default=None,
        description="kill switch: loss of the account since the day's start that halts the run",
        json_schema_extra=_MONEY,
    )
    daily_loss_fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="kill switch: the same as part of the equity at the day's start",
        json_schema_extra=_FRACTION,
    )

    def limits(self) -> RiskLimits:
        values: dict[str, Any] = {name: math.inf if value is None else value for name, value in self}
        values["symbol_notional"] = values.pop("per_symbol_notional_cap")
        values["gross_exposure"] = values.pop("max_gross_exposure")
        return RiskLimits(**values)


class TierConfig(Section):
    up_to: Positive | None = Field(
        default=None, description="units of the calendar month up to which the rate holds", json_schema_extra=_UNITS
    )
    per_unit: NotNegative = Field(description="fee for each unit", json_schema_extra=_MONEY)


class CommissionConfig(Section):
    """The fields of domain.costs.Commission, or the name of a schedule."""

    per_order: NotNegative = Field(default=0.0, description="fee for each order", json_schema_extra=_MONEY)
    per_unit: NotNegative = Field(default=0.0, description="fee for each unit", json_schema_extra=_MONEY)
    fraction: NotNegative = Field(
        default=0.0, description="fee as part of the order's value", json_schema_extra=_FRACTION
    )
    minimum: NotNegative = Field(default=0.0, description="least that an order costs", json_schema_extra=_MONEY)
    maximum_fraction: Positive | None = Field(
        default=None, description="most that an order costs, as part of its value", json_schema_extra=_FRACTION
    )
    extra_per_unit: NotNegative = Field(
        default=0.0,
        description="clearing and exchange fees for each unit, outside of the bounds",
        json_schema_extra=_MONEY,
    )
    sell_fraction: NotNegative = Field(
        default=0.0,
        description="regulatory fee on sells as part of the value, outside of the bounds",
        json_schema_extra=_FRACTION,
    )
    sell_per_unit: NotNegative = Field(
        default=0.0,
        description="regulatory fee on sells for each unit, outside of the bounds",
        json_schema_extra=_MONEY,
    )
    tiers: tuple[TierConfig, ...] = Field(
        default=(), description="rates for each unit that fall with the month's units"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in SCHEDULES:
            raise UnknownName("commission schedule", value, SCHEDULES)
        schedule = SCHEDULES[value]._asdict()
        schedule["tiers"] = [tier._asdict() for tier in schedule["tiers"]]
        for each in (schedule, *schedule["tiers"]):
            each.update({name: None for name, number in each.items() if number == math.inf})
        return schedule

    def schedule(self) -> Commission:
        values = dict(self)
        values["maximum_fraction"] = self.maximum_fraction or math.inf
        values["tiers"] = tuple(Tier(tier.up_to or math.inf, tier.per_unit) for tier in self.tiers)
        return Commission(**values)


class ExecutionConfig(Section):
    default_order_type: Literal["market", "limit"] = Field(
        default="market", description="what a wish without a price becomes"
    )
    limit_offset_bps: float = Field(
        default=0.0,
        description="how much better than the close a default limit stands (negative: through it)",
        json_schema_extra=_BPS,
    )
    slippage_bps: NotNegative = Field(
        default=0.0, description="how much worse than the market a fill is", json_schema_extra=_BPS
    )
    market_at: MarketAt = Field(default=MarketAt.NEXT_OPEN, description="at which price market orders fill")
    time_in_force: TimeInForce = Field(default=TimeInForce.DAY, description="how long an order works")
    volume_cap: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="most of a bar's volume that an order fills", json_schema_extra=_FRACTION
    )
    commission: CommissionConfig = Field(default=CommissionConfig(), description="what orders cost")
    margin_rate: Positive = Field(
        default=1.0, description="part of a position's value that must be paid", json_schema_extra=_FRACTION
    )
    borrow_rate: NotNegative = Field(
        default=0.0, description="yearly fee on the value that is sold short", json_schema_extra=_FRACTION
    )


class SizingConfig(Section):
    kind: SizingKind = Field(description="what exposure 1 is measured in")
    value: Positive = Field(description="how much of it: units, money, or a fraction of equity")
    window: Annotated[int, Field(ge=2)] = Field(
        default=20, description="span of the average true range or the volatility", json_schema_extra=_BARS
    )
    atr_multiple: Positive = Field(
        default=2.0,
        description="for kind atr: the move that loses the fraction",
        json_schema_extra={"unit": "average true ranges"},
    )
    max_fraction: Positive = Field(
        default=1.0,
        description="for kinds atr and volatility: most of the equity in one position",
        json_schema_extra=_FRACTION,
    )


class StrategyChoice(Section):
    name: str
    params: dict[str, Any] = {}


class BacktestConfig(Section):
    """A whole config. `symbols` (SPY, or SPY@ARCA to name the exchange) or `watchlist` say what is traded."""

    run_id: str | None = None
    timeframe: Timeframe = Timeframe.D1
    symbols: tuple[str, ...] = ()
    watchlist: str | None = None
    start: Moment = None
    end: Moment = None
    warmup_bars: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    cash: Positive = 100_000.0
    strategy: StrategyChoice
    data: DataConfig = DataConfig()
    broker: BrokerConfig = BrokerConfig()
    risk: RiskConfig = RiskConfig()
    execution: ExecutionConfig = ExecutionConfig()
    sizing: SizingConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _parameters_in_one_place(cls, values: Any) -> Any:
        """`params` may stand under `strategy` or beside it. A section whose lines are all commented out is empty."""
        if not isinstance(values, dict):
            return values
        values = {name: value for name, value in values.items() if value is not None}
        if "params" not in values:
            return values
        params, chosen = values.pop("params"), values.get("strategy")
        if isinstance(chosen, str):
            chosen = {"name": chosen}
        if not isinstance(chosen, dict):
            raise ValueError("params: give strategy.name too")
        if chosen.get("params"):
            raise ValueError("params: given twice, under strategy and beside it")
        values["strategy"] = {**chosen, "params": params or {}}
        return values

    @field_validator("strategy", mode="before")
    @classmethod
    def _read_strategy(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and value.get("params", {}) is None:
            return {**value, "params": {}}
        return value

    @field_validator("timeframe", mode="before")
    @classmethod
    def _read_timeframe(cls, value: Any) -> Any:
        return Timeframe.parse(value) if isinstance(value, str) else value

    @field_validator("symbols", mode="before")
    @classmethod
    def _read_symbols(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return () if value is None else value

    @field_validator("run_id", "watchlist", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _is_consistent(self) -> BacktestConfig:
        if self.run_id is not None and not _RUN_ID.fullmatch(self.run_id):
            raise ValueError(f"run_id: {self.run_id[:80]!r} must be up to 64 letters, digits and . _ -")
        if bool(self.symbols) == bool(self.watchlist):
            raise ValueError("give symbols or a watchlist" + (", not both" if self.symbols else ""))
        doubled = sorted({each for each in self.symbols if self.symbols.count(each) > 1})
        if doubled:
            raise ValueError(f"symbols: {', '.join(doubled)} listed twice")
        return self

    def settings(self, instruments: int) -> RunSettings:
        """What the engine takes. Without `sizing` the account is split evenly: see `default_sizing`."""
        execution = self.execution
        chosen = self.sizing or self.default_sizing(instruments)
        return RunSettings(
            cash=self.cash,
            commission=execution.commission.schedule(),
            slippage_bps=execution.slippage_bps,
            market_at=execution.market_at,
            volume_cap=execution.volume_cap,
            default_order_type=OrderType(execution.default_order_type),
            limit_offset_bps=execution.limit_offset_bps,
            time_in_force=execution.time_in_force,
            sizing=Sizing(**dict(chosen)),
            limits=self.risk.limits(),
            margin_rate=execution.margin_rate,
            borrow_rate=execution.borrow_rate,
        )

    def default_sizing(self, instruments: int) -> SizingConfig:
        """An equal part of 95 % of equity for each instrument; where a cap on one instrument is smaller than that
        part of the starting cash, the cap as a fixed amount."""
        part = INVESTED / instruments
        cap = self.risk.per_symbol_notional_cap
        if cap is not None and cap < part * self.cash:
            return SizingConfig(kind=SizingKind.NOTIONAL, value=cap)
        return SizingConfig(kind=SizingKind.FRACTION, value=part)

    def resolved(self, symbols: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that decides the result, spelled out, as JSON values; itself a config that gives the same run."""
        values = self.model_dump(mode="json", exclude=_NO_PART)
        values["symbols"] = list(symbols)
        values["strategy"] = {"name": self.strategy.name, "params": dict(params)}
        values["sizing"] = (self.sizing or self.default_sizing(len(symbols))).model_dump(mode="json")
        return values


def parse_config(values: Mapping[str, Any]) -> BacktestConfig:
    """Check a config's values; BadInput says where each fault is, and suggests a name for an unknown one."""
    try:
        return BacktestConfig(**values)
    except ValidationError as error:
        raise BadInput("config: " + "; ".join(_explain(fault) for fault in error.errors())) from error


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The values with `name=value` assignments on top: a plain name is a parameter of the strategy, a dotted one a
    place in the config (`risk.long_only=false`). Values are read as YAML."""
    changed = json.loads(json.dumps(values))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not name or not equals:
            raise BadInput(f"--set {assignment!r}: expected name=value, such as fast=20 or risk.long_only=false")
        at = changed
        if "." in name:
            *parents, name = name.split(".")
        else:
            parents = ["params"] if "params" in changed else ["strategy", "params"]
        for parent in parents:
            held = at.get(parent)
            if parent == "strategy" and isinstance(held, str):
                held = {"name": held}
            at[parent] = held if isinstance(held, dict) else {}
            at = at[parent]
        at[name] = parse_yaml(text)
    return dict(changed)


def config_hash(resolved: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved config as canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _explain(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        *parents, name = [str(part) for part in fault["loc"]]
        section = _section(parents)
        inside = f"setting in {'.'.join(parents)}:" if parents else "setting"
        return str(UnknownName(inside, name, section.model_fields))
    message = fault["msg"].removeprefix("Value error, ")
    if isinstance(fault.get("input"), bool) and fault["type"].startswith("string"):
        message += " (put a symbol such as TRUE in quotes)"
    return f"{place}: {message}" if place else str(message)


def _section(path: Sequence[str]) -> type[BaseModel]:
    section: type[BaseModel] = BacktestConfig
    for name in path:
        if name in section.model_fields:
            section = next(_models(section.model_fields[name].annotation), section)
    return section


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
