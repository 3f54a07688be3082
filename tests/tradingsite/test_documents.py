"""Documents of every kind: written, read, compared, refused."""

import contextlib
import json
import os
import re
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import BadInput, UnknownName
from marketdata.models import Watchlist
from strategies.models import ScheduledBacktest, StrategyConfig
from tests.tradingsite.configuration import EXAMPLE, LOADING, configurations, tables, wipe
from tradingsite.configfile import parse_yaml
from tradingsite.documents import MAX_BYTES, export_all, export_to, from_number, kinds, parse_documents
from tradingsite.imports import apply_documents, import_documents, read_documents
from tradingsite.models import ConfigChange

pytestmark = pytest.mark.django_db
ABOUT = {"actor": None, "source": ConfigChange.Source.FILE}
# More by DOCUMENT_EXAMPLES.
EXAMPLES = int(os.environ.get("DOCUMENT_EXAMPLES", "8"))
MANY = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@contextlib.contextmanager
def put_back():
    """What the block writes is gone after it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@MANY
@given(st.data())
def test_an_export_read_into_an_empty_database_gives_equal_rows(data):
    with put_back():
        data.draw(configurations())
        text, held = export_all(), tables()
        wipe()
        import_documents(text, **ABOUT)
        assert tables() | {"changes": []} == held | {"changes": []}
        assert export_all() == text
        again = import_documents(text, prune=True, **ABOUT)
        assert again.changes == []
        assert again.unchanged == sum(len(each) for each in parse_documents(text).values())


@MANY
@given(st.data())
def test_any_configuration_turns_into_any_other_and_the_history_says_how(data):
    with put_back():
        data.draw(configurations())
        wanted = export_all()
        wipe()
        data.draw(configurations())
        try:
            report = import_documents(wanted, prune=True, **ABOUT)
        except BadInput as refusal:
            assert re.search("con_id|would be|contradicts another row|instrument_active_symbol_unique", str(refusal))
            return
        assert export_all() == wanted
        assert len(report.changes) == ConfigChange.objects.count()


def test_an_import_reports_and_records_what_it_did():
    report = import_documents(EXAMPLE, reason="first", **ABOUT)
    assert len(report.created) == 7
    assert report.created[:2] == ["corporate_action SPY", "instrument QQQ@ARCA"]
    assert report.summary() == "7 created, 0 changed, 0 deleted, 0 unchanged"
    assert set(ConfigChange.objects.values_list("source", "reason", "before")) == {("file", "first", None)}
    before = tables()
    assert import_documents(EXAMPLE, **ABOUT).summary() == "0 created, 0 changed, 0 deleted, 7 unchanged"
    assert tables() == before
    changed = EXAMPLE.replace("fast: 20", "fast: 10").replace("[QQQ@ARCA, SPY]", "[SPY, QQQ@ARCA]")
    report = import_documents(changed, **ABOUT)
    assert report.changed == ["strategy_config cross", "watchlist tech"]
    assert "-    fast: 20\n+    fast: 10\n" in report.diff()


def test_what_a_document_leaves_out_gets_the_default():
    import_documents(EXAMPLE, **ABOUT)
    import_documents("watchlist: [{name: tech}]", **ABOUT)
    watchlist = Watchlist.objects.get()
    assert (watchlist.tags, watchlist.members.count()) == ("", 0)


def test_rows_that_a_file_does_not_have_stay_unless_pruned():
    import_documents(EXAMPLE, **ABOUT)
    assert import_documents("watchlist: [{name: other}]", **ABOUT).deleted == []
    import_documents(EXAMPLE.replace("watchlist: tech", "symbols: SPY"), **ABOUT)
    report = import_documents("watchlist: [{name: other}]", prune=True, **ABOUT)
    assert report.deleted == ["watchlist tech"]
    assert StrategyConfig.objects.count() == 1  # no kind of the file
    with pytest.raises(BadInput, match="risk_profile careful: cannot be deleted; strategy configuration cross need it"):
        import_documents("risk_profile: []", prune=True, **ABOUT)


def test_what_a_deletion_takes_along_is_reported_too():
    import_documents(EXAMPLE, **ABOUT)
    report = import_documents("instrument: [{symbol: QQQ, exchange: ARCA}]", prune=True, **ABOUT)
    assert report.deleted == ["corporate_action SPY", "instrument SPY"]
    assert report.changed == ["watchlist tech"]


def test_a_dry_run_tells_the_same_and_changes_nothing():
    import_documents(EXAMPLE, **ABOUT)
    text = EXAMPLE.replace("us", "us, etf").replace("symbol: SPY", "symbol: SPY\n  name: Fund")
    before = tables()
    tried = import_documents(text, dry_run=True, **ABOUT)
    assert tables() == before
    done = import_documents(text, **ABOUT)
    assert tried.fingerprint() == done.fingerprint()
    assert done.changed == ["instrument SPY", "watchlist tech"]


REFUSED = {
    "watchlist: [{name: x, member: [SPY]}]": "watchlist 'x': unknown field 'member'; did you mean 'members'",
    "watchlsit: []": "unknown kind of configuration 'watchlsit'; did you mean 'watchlist'",
    "watchlist: [{name: x, members: [SPY, QQQQ]}]": "watchlist 'x': members, number 2: unknown instrument 'QQQQ'",
    "watchlist: [{name: x, members: [SPY, SPY]}]": "watchlist 'x': members: SPY listed twice",
    "watchlist: [{name: x}, {name: x}]": "watchlist 'x': given twice",
    "watchlist: [{name: 2020}]": "watchlist number 1: name: must be a text; put 2020 in quotes",
    "watchlist: [{tags: x}]": "watchlist number 1: name: Field required",
    "watchlist: [x]": "watchlist number 1: expected lines like `name: …`",
    "watchlist: {x: 1}": "watchlist: expected a list of documents",
    'watchlist: [{name: ""}]': "watchlist '': name: This field cannot be blank",
    'watchlist: [{name: "a\\0b"}]': "holds a character that no text may hold",
    'risk_profile: [{name: x, limits: {"\\ud800": 1}}]': "holds a character that no text may hold",
    'risk_profile: [{name: x, notes: "\\udfff"}]': "holds a character that no text may hold",
    "watchlist: [&a {name: x}, *a]": "anchors and aliases",
    "risk_profile: [{name: x, limits: {daily_loss: .nan}}]": "limits: daily_loss",
    "risk_profile: [{name: x, limits: {daily_loss: 1e999}}]": "limits: daily_loss",
    "risk_profile: [{name: x, limits: {dayly_loss: 1}}]": "risk_profile 'x': limits: unknown field 'dayly_loss'; did",
    "instrument: [{symbol: A/B}]": "instrument 'A/B': 'A/B' is not a symbol",
    "instrument: [{symbol: ABC, tick: -1}]": "instrument 'ABC': Constraint “instrument_steps_positive” is violated",
    "instrument: [{symbol: ABC, tick: 1e400}]": "instrument 'ABC': tick",
    "instrument: [{symbol: ABC, tick: true}]": "instrument 'ABC': tick: must be a number",
    "instrument: [{symbol: ABC, active: 1}]": "instrument 'ABC': active",
    "instrument: [{symbol: ABC, con_id: 99999999999999999999}]": "instrument 'ABC': con_id",
    "instrument: [{symbol: ABC, calendar: XNYX}]": "instrument 'ABC': unknown",
    "instrument: [{symbol: ABC, number: 2}]": "instrument 'ABC#2'",
    "strategy_config: [{name: x, strategy: ma_crossver, symbols: SPY}]": "unknown strategy 'ma_crossver'; did you mean",
    "strategy_config: [{name: x, strategy: ma_crossover}]": "strategyconfig_symbols_or_watchlist",
    "strategy_config: [{name: x, strategy: ma_crossover, watchlist: tec}]": "watchlist: unknown watchlist 'tec'",
    "strategy_config: [{name: x, strategy: ma_crossover, symbols: SPY, params: {fast: -1}}]": "fast",
    "strategy_config: [{name: x, strategy: ma_crossover, symbols: SPY, execution: {slipage_bps: 1}}]": "slippage_bps",
    "scheduled_backtest: [{name: x, strategy_config: cross, every: day}]": "scheduled_backtest 'x': every",
    "scheduled_backtest: [{name: x, strategy_config: cros}]": "strategy_config: unknown strategy_config 'cros'; did",
    "scheduled_backtest: [{name: x, strategy_config: cross, next_run_at: 2020-01-01}]": "unknown field 'next_run_at'",
    "corporate_action: [{instrument: SPY, actions: [{ex_date: 2020-13-01, kind: split}]}]": "number 1: ex_date",
    "corporate_action: [{instrument: SPY, actions: [{ex_date: 2020-01-01, kind: split}]}]": "value_fits_kind",
    "corporate_action: [{instrument: SPY, actions: [{ex_date: 2020-01-01, kid: split}]}]": "did you mean 'kind'",
    "corporate_action: [{instrument: XXX, actions: []}]": "corporate_action 'XXX': unknown instrument",
    "load_plan: [{name: x}]": "load_plan 'x': watchlist: Field required",
    "load_plan: [{name: x, watchlist: tec}]": "load_plan 'x': watchlist: unknown watchlist 'tec'; did you mean 'tech'",
    "load_plan: [{name: x, watchlist: tech, timeframe: 2m}]": "load_plan 'x': timeframe",
    "load_plan: [{name: x, watchlist: tech, mode: rebuild}]": "load_plan 'x': mode",
    "load_plan: [{name: x, watchlist: tech, start: 2020-13-01}]": "load_plan 'x': start",
    "load_plan: [{name: x, watchlist: tech, every_minutes: 0}]": "load_plan 'x': every_minutes",
    "load_plan: [{name: x, watchlist: tech, every_minutes: 99999}]": "load_plan 'x': every_minutes",
    "load_plan: [{name: x, watchlist: tech, timeframe: 1m, what: ADJUSTED_LAST}]": "ADJUSTED_LAST is loaded for 1d",
    "load_plan: [{name: x, watchlist: tech, next_run_at: 2020-01-01}]": "unknown field 'next_run_at'",
    "request_length: [{timeframe: 2m, duration: 1 D}]": "request_length '2m': timeframe",
    "request_length: [{timeframe: 1m, duration: a day}]": "request_length '1m': duration",
    "halt: [{instrument: XXX, halts: []}]": "halt 'XXX': unknown instrument",
    "halt: [{instrument: SPY, halts: [{start: noon, end: '2020-01-02T15:00Z'}]}]": "number 1: start: 'noon' is no",
    "halt: [{instrument: SPY, halts: [{start: '2020-01-02T15:00', end: x}]}]": "has no zone",
    "halt: [{instrument: SPY, halts: [{start: '2020-01-02T15:00Z', end: '2020-01-02T14:00Z'}]}]": "end_after_start",
    "pacing_profile: [{login: '127.0.0.1:4002', profile: fast}]": "pacing_profile '127.0.0.1:4002': profile",
    "3": "holds no configuration",
    "watchlist: [": "line",
    "1: []": "a name must be a text",
    "a: " + "[" * 100: "nested deeper",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_bad_document_is_refused_by_name_and_leaves_nothing_changed(text):
    import_documents(EXAMPLE, **ABOUT)
    before = tables()
    with pytest.raises(BadInput) as refusal:
        import_documents(text, **ABOUT)
    assert REFUSED[text] in str(refusal.value)
    assert tables() == before


def test_a_bad_document_in_the_middle_undoes_what_came_before_and_after_it():
    import_documents(EXAMPLE, **ABOUT)
    before = tables()
    bad = EXAMPLE.replace("symbol: SPY", "symbol: SPY\n  name: New name").replace("daily_loss: 1000", "daily_loss: -1")
    with pytest.raises(BadInput, match="risk_profile 'careful': limits: daily_loss"):
        import_documents(bad, **ABOUT)
    assert tables() == before
    bad = EXAMPLE.replace("symbol: SPY", "symbol: SPY\n  name: New name").replace("strategy: ma_", "strategy: na_")
    with pytest.raises(BadInput, match="strategy_config 'cross': unknown strategy"):
        import_documents(bad, prune=True, **ABOUT)
    assert tables() == before


@settings(max_examples=3 * EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_rubbish_in_any_place_is_refused_or_imported_whole(data):
    rubbish = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=300),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    with put_back():
        import_documents(EXAMPLE + LOADING, **ABOUT)
        before = tables()
        values = parse_yaml(EXAMPLE + LOADING)
        kind = data.draw(st.sampled_from(sorted(values)))
        document = data.draw(st.sampled_from(values[kind]))
        fields = sorted({*document, *next(each for each in kinds() if each.name == kind).schema.model_fields})
        document[data.draw(st.sampled_from(fields))] = data.draw(rubbish)
        try:
            import_documents(as_json(values), **ABOUT)
        except BadInput:
            assert tables() == before
        else:
            text = export_all()
            assert import_documents(text, **ABOUT).changes == []


def as_json(values) -> str:
    """As JSON, which is YAML too, NaN and all."""
    return json.dumps(values)


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path):
    with pytest.raises(BadInput, match="longer than"):
        parse_documents("#" * (MAX_BYTES + 1))
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(BadInput, match=r"huge\.yaml: is larger than 5 MB"):
        read_documents(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"huge\.yaml: is not UTF-8"):
        read_documents(path)


def test_a_folder_has_a_file_a_kind_and_reads_back(tmp_path):
    import_documents(EXAMPLE, **ABOUT)
    held = tables()
    written = export_to(tmp_path / "config")
    assert sorted(path.name for path in written) == sorted(f"{kind.name}.yaml" for kind in kinds())
    assert sorted(path.name for path in (tmp_path / "config").iterdir()) == sorted(path.name for path in written)
    wipe()
    apply_documents(read_documents(tmp_path / "config"), **ABOUT)
    assert tables() | {"changes": []} == held | {"changes": []}
    (tmp_path / "config" / "more.yaml").write_text("watchlist: []")
    with pytest.raises(BadInput, match="watchlist: is in another file"):
        read_documents(tmp_path / "config")


def test_kinds_come_after_those_that_they_name_and_an_unknown_one_is_refused():
    names = [kind.name for kind in kinds()]
    for kind in kinds():
        assert all(names.index(each) < names.index(kind.name) for each in kind.after)
    assert [kind.name for kind in kinds(["strategy_config", "watchlist"])] == ["watchlist", "strategy_config"]
    with pytest.raises(UnknownName):
        export_all(["instruments"])


def test_an_export_names_rows_and_no_ids_nor_facts():
    import_documents(EXAMPLE, **ABOUT)
    text = export_all()
    assert "id:" not in text
    assert "run_at" not in text
    assert ScheduledBacktest.objects.get().next_run_at is not None
    assert parse_yaml(text)["scheduled_backtest"][0]["strategy_config"] == "cross"


@pytest.mark.parametrize(
    ("text", "written"),
    [("0.0100000000", 0.01), ("100.0000000000", 100), ("0.1234567891", 0.1234567891), ("1e-10", 1e-10)],
)
def test_numbers_are_written_short(text, written):
    assert from_number(Decimal(text)) == written
    assert type(from_number(Decimal(text))) is type(written)
    assert from_number(Decimal("12345678.1234567891")) == "12345678.1234567891"  # more digits than a float has


def test_an_approval_can_refuse_what_the_report_says():
    before = tables()

    def refuse(report):
        raise BadInput(f"not {report.created[0]}")

    with pytest.raises(BadInput, match="not risk_profile x"):
        import_documents("risk_profile: [{name: x}]", approve=refuse, **ABOUT)
    assert tables() == before
