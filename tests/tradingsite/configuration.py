"""Random configurations of every kind, and what all tables of them hold, said without documents."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from marketdata.models import (
    CorporateAction,
    Halt,
    Instrument,
    LoadPlan,
    PacingBudget,
    RequestLength,
    Watchlist,
    WatchlistMember,
)
from strategies.models import RiskProfile, ScheduledBacktest, StrategyConfig
from tradingsite.models import ConfigChange

texts = st.text(
    st.one_of(st.sampled_from("aB 1.:-#'\"\n\t{}[]&*!|>%@`~é\u2028\U0001f600"), st.characters(codec="utf-8")),
    max_size=20,
).filter(lambda text: "\0" not in text)
names = st.one_of(st.sampled_from(["ON", "no", "null", "1e5", "2020-01-01", "~", "- a", "a: b"]), texts).filter(
    str.strip
)
symbols = st.from_regex(r"[A-Z0-9^][A-Z0-9.]{0,5}", fullmatch=True).filter(lambda text: ".." not in text)
numbers = st.decimals("0.0000000001", "9999999", places=10)


@st.composite
def configurations(draw) -> None:
    """Rows of every kind, written to the database when they are drawn."""
    instruments = []
    listings = set()
    for symbol in draw(st.lists(symbols, max_size=5)):
        listing = {
            "symbol": symbol,
            "exchange": draw(st.sampled_from(["SMART", "ARCA", "LSE"])),
            "currency": draw(st.sampled_from(["USD", "EUR"])),
            "kind": draw(st.sampled_from(["stock", "etf", "future"])),
        }
        for active in (True, False, False)[: draw(st.integers(1, 3))]:
            key = tuple(listing.values())
            if active and key in listings:
                continue
            listings.add(key)
            fields = {name: draw(numbers) for name in ("tick", "lot", "multiplier")}
            instruments.append(
                Instrument.objects.create(
                    **listing,
                    **fields,
                    active=active and draw(st.booleans()),
                    name=draw(texts),
                    calendar=draw(st.sampled_from(["XNYS", "XLON"])),
                    margin=draw(st.none() | st.decimals("0.0001", "99999", places=4)),
                    con_id=draw(st.none() | st.just(1000 + len(instruments))),
                )
            )
    for instrument in instruments:
        for day in draw(st.sets(st.integers(0, 9000), max_size=3)):
            kind = draw(st.sampled_from(["split", "dividend", "delisting"]))
            CorporateAction.objects.create(
                instrument=instrument,
                ex_date=date(2000, 1, 1) + timedelta(day),
                kind=kind,
                value=draw(numbers) if kind != "delisting" else draw(st.none() | numbers),
                source=draw(texts),
            )
    watchlists = []
    for name in draw(st.lists(names, max_size=3, unique=True)):
        watchlists.append(Watchlist.objects.create(name=name, tags=draw(texts)))
        members = draw(st.permutations(instruments))[: draw(st.integers(0, 5))]
        for place, each in enumerate(members):
            WatchlistMember.objects.create(watchlist=watchlists[-1], instrument=each, position=place)
    _loading(draw, instruments, watchlists)
    limits = st.fixed_dictionaries({}, optional={"daily_loss": st.floats(0.01, 1e9), "long_only": st.booleans()})
    profiles = [
        RiskProfile.objects.create(name=name, limits=draw(limits), notes=draw(texts))
        for name in draw(st.lists(names, max_size=2, unique=True))
    ]
    configs = [_config(draw, name, watchlists, profiles) for name in draw(st.lists(names, max_size=3, unique=True))]
    for name in draw(st.lists(names, max_size=2, unique=True)) if configs else ():
        ScheduledBacktest.objects.create(
            name=name,
            strategy_config=draw(st.sampled_from(configs)),
            enabled=draw(st.booleans()),
            calendar=draw(st.sampled_from(["XNYS", "XLON"])),
            every=draw(st.sampled_from(ScheduledBacktest.Every.values)),
            at=draw(st.sampled_from(ScheduledBacktest.At.values)),
            offset_minutes=draw(st.integers(-720, 720)),
        )


def _loading(draw, instruments, watchlists) -> None:
    """Rows of all that decides how bars are loaded."""
    for name in draw(st.lists(names, max_size=2, unique=True)) if watchlists else ():
        LoadPlan.objects.create(
            name=name,
            watchlist=draw(st.sampled_from(watchlists)),
            timeframe=draw(st.sampled_from(["1d", "1m"])),
            what=draw(st.sampled_from(["", "TRADES", "BID_ASK"])),
            mode=draw(st.sampled_from(["tail", "backfill", "full"])),
            start=draw(st.none() | st.dates(date(1990, 1, 1), date(2020, 1, 1))),
            every_minutes=draw(st.integers(1, 10_080)),
            enabled=draw(st.booleans()),
        )
    for timeframe in draw(st.sets(st.sampled_from(["1m", "1h", "1d"]))):
        duration = draw(st.sampled_from(["1 D", "3600 S", "2 W"]))
        RequestLength.objects.update_or_create(timeframe=timeframe, defaults={"duration": duration})
    for instrument in instruments:
        for minute in draw(st.sets(st.integers(0, 9000), max_size=2)):
            start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
            end = start + draw(st.timedeltas(timedelta(microseconds=1), timedelta(days=3)))
            Halt.objects.create(instrument=instrument, start=start, end=end, note=draw(texts))
    for login in draw(st.lists(names, max_size=2, unique=True)):
        PacingBudget.objects.create(login=login, profile=draw(st.sampled_from(["relaxed", "off"])))


def _config(draw, name, watchlists, profiles) -> StrategyConfig:
    watchlist = draw(st.sampled_from([None, *watchlists]))
    return StrategyConfig.objects.create(
        name=name,
        strategy="ma_crossover",
        params=draw(st.sampled_from([{}, {"fast": 5, "slow": 20}, {"slow": 300}])),
        timeframe=draw(st.sampled_from(["1d", "5m"])),
        symbols="" if watchlist else "SPY,  QQQ@ARCA",
        watchlist=watchlist,
        risk_profile=draw(st.sampled_from([None, *profiles])),
        start=draw(st.sampled_from(["", "2019-01-02"])),
        cash=draw(st.decimals("0.01", "9999999999999", places=2)),
        data=draw(st.sampled_from([{}, {"what": "TRADES"}])),
        execution=draw(st.sampled_from([{}, {"slippage_bps": 1.5, "commission": {"tiers": [{"per_unit": 0.01}]}}])),
        sizing=draw(st.sampled_from([None, {"kind": "fraction", "value": 0.1}])),
        notes=draw(texts),
    )


def wipe() -> None:
    loading = (LoadPlan, RequestLength, PacingBudget)
    for model in (ScheduledBacktest, StrategyConfig, RiskProfile, *loading, Watchlist, Instrument):
        model.objects.all().delete()


def tables() -> dict[str, list]:
    """All rows of configuration and history, without ids and times."""
    member = ("symbol", "exchange", "currency", "kind", "active", "name", "con_id", "tick")
    return {
        "instruments": _rows(Instrument, leave=("id", "created")),
        "members": sorted(
            (each.watchlist.name, each.position, *(str(getattr(each.instrument, name)) for name in member))
            for each in WatchlistMember.objects.select_related("watchlist", "instrument")
        ),
        "watchlists": _rows(Watchlist, leave=("id",)),
        "actions": sorted(
            (
                *(str(getattr(each.instrument, name)) for name in member),
                each.ex_date,
                each.kind,
                each.value,
                each.source,
            )
            for each in CorporateAction.objects.select_related("instrument")
        ),
        "plans": sorted(
            (
                *(str(getattr(each, name)) for name in ("name", "timeframe", "what", "mode", "start", "every_minutes")),
                each.watchlist.name,
                each.enabled,
            )
            for each in LoadPlan.objects.select_related("watchlist")
        ),
        "lengths": _rows(RequestLength, leave=("id",)),
        "halts": sorted(
            (*(str(getattr(each.instrument, name)) for name in member), each.start, each.end, each.note)
            for each in Halt.objects.select_related("instrument")
        ),
        # One as it was made is as good as none.
        "pacing": sorted(PacingBudget.objects.exclude(profile="strict").values_list("login", "profile")),
        "profiles": _rows(RiskProfile, leave=("id", "updated")),
        "configs": sorted(
            (
                each.name,
                each.watchlist and each.watchlist.name,
                each.risk_profile and each.risk_profile.name,
                *(
                    str(getattr(each, name))
                    for name in ("strategy", "timeframe", "symbols", "start", "end", "cash", "sizing", "notes")
                ),
                *(str(sorted(getattr(each, name).items())) for name in ("params", "data", "execution")),
            )
            for each in StrategyConfig.objects.select_related("watchlist", "risk_profile")
        ),
        "schedules": sorted(
            (
                each.name,
                each.strategy_config.name,
                each.enabled,
                each.calendar,
                each.every,
                each.at,
                each.offset_minutes,
            )
            for each in ScheduledBacktest.objects.select_related("strategy_config")
        ),
        "changes": sorted(ConfigChange.objects.values_list("pk", flat=True)),
    }


def _rows(model, leave: tuple[str, ...]) -> list[tuple]:
    fields = [field.name for field in model._meta.concrete_fields if field.name not in leave]
    rows = [tuple(getattr(row, field) for field in fields) for row in model.objects.all()]
    return sorted(
        (tuple(int(v) if isinstance(v, Decimal) and v == int(v) else v for v in row) for row in rows), key=str
    )


EXAMPLE = """\
instrument:
- symbol: SPY
- symbol: QQQ
  exchange: ARCA
watchlist:
- name: tech
  tags: us
  members: [QQQ@ARCA, SPY]
corporate_action:
- instrument: SPY
  actions:
  - {ex_date: 2020-03-20, kind: dividend, value: 1.405617}
risk_profile:
- name: careful
  limits: {daily_loss: 1000}
strategy_config:
- name: cross
  strategy: ma_crossover
  params: {fast: 20, slow: 100}
  watchlist: tech
  risk_profile: careful
scheduled_backtest:
- name: nightly
  strategy_config: cross
"""
LOADING = """\
load_plan:
- name: minutes
  watchlist: tech
  timeframe: 1m
request_length:
- {timeframe: 1m, duration: 2 D}
halt:
- instrument: SPY
  halts:
  - {start: '2020-03-09T13:34:13Z', end: '2020-03-09T13:49:13Z', note: level 1}
pacing_profile:
- {login: '127.0.0.1:4002', profile: relaxed}
"""
