"""What the real clients send is read with every value where it belongs; what does not fit is named."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from gateway.contract import Contract
from gateway.simulator import requests as rq
from gateway.simulator import wire
from tests.gateway.simulator.real_clients import Sent, load, spoken

VERSIONS = (157, 158, 159, 160, 162, 163, 164, 166, 169, 170, 171, 173, 176, 177, 178)
every_client = pytest.mark.parametrize(("library", "version"), spoken(VERSIONS))

APPLE = Contract(
    *(265598, "AAPL", "STK", "", 0.0, "", "", "SMART", "NASDAQ", "USD", "AAPL", "NMS"),
)
OPTION = Contract(*(0, "AAPL", "OPT", "20261218", 222.5, "C", "100", "SMART", "", "USD", "", ""))
LEGS = (rq.ComboLeg(1, 1, "BUY", "SMART"), rq.ComboLeg(2, 3, "SELL", "CBOE"))
BAG = Contract(symbol="AAPL", sec_type="BAG", exchange="SMART", currency="USD")


def theirs(library: str, contract: Contract) -> Any:
    """The contract as an object of the library."""
    module = load(library, "contract")
    made = module.Contract()
    names = ("conId", "symbol", "secType", "lastTradeDateOrContractMonth", "strike", "right", "multiplier", "exchange")
    names += ("primaryExchange", "currency", "localSymbol", "tradingClass")
    for name, value in zip(names, contract, strict=True):
        setattr(made, name, value)
    if contract.sec_type == "BAG":
        made.comboLegs = [_leg(module, leg) for leg in LEGS]
    return made


def _leg(module: Any, leg: rq.ComboLeg) -> Any:
    made = module.ComboLeg()
    made.conId, made.ratio, made.action, made.exchange = leg
    return made


def _tags(library: str, **pairs: str) -> list[Any]:
    if library == "ibapi":
        return [load("ibapi", "tag_value").TagValue(tag, value) for tag, value in pairs.items()]
    return [
        load(library, "objects" if library == "ib_insync" else "contract").TagValue(*pair) for pair in pairs.items()
    ]


def sent(library: str, version: int, method: str, *args: Any) -> Any:
    """The request that the library's method makes, read."""
    client = Sent(library, version)
    getattr(client.client, method)(*args)
    assert len(client.payloads) == 1, method
    return rq.parse(version, client.fields)


@every_client
def test_plain_requests_are_read(library: str, version: int) -> None:
    cases: list[tuple[str, tuple[Any, ...], Any]] = [
        ("reqIds", (1,), rq.Ids(1)),
        ("reqCurrentTime", (), rq.CurrentTime()),
        ("reqManagedAccts", (), rq.ManagedAccts()),
        ("setServerLogLevel", (5,), rq.ServerLogLevel(5)),
        ("reqPositions", (), rq.Positions()),
        ("cancelPositions", (), rq.CancelPositions()),
        ("reqPositionsMulti", (9, "DU1", "m"), rq.PositionsMulti(9, "DU1", "m")),
        ("cancelPositionsMulti", (9,), rq.CancelPositionsMulti(9)),
        ("reqOpenOrders", (), rq.OpenOrders()),
        ("reqAllOpenOrders", (), rq.AllOpenOrders()),
        ("reqAutoOpenOrders", (True,), rq.AutoOpenOrders(True)),
        ("reqCompletedOrders", (False,), rq.CompletedOrders(False)),
        ("reqAccountUpdates", (True, "DU1"), rq.AccountUpdates(True, "DU1")),
        ("reqAccountUpdatesMulti", (9, "DU1", "", True), rq.AccountUpdatesMulti(9, "DU1", "", True)),
        ("cancelAccountUpdatesMulti", (9,), rq.CancelAccountUpdatesMulti(9)),
        ("reqAccountSummary", (9, "All", "Tag,Other"), rq.AccountSummary(9, "All", "Tag,Other")),
        ("cancelAccountSummary", (9,), rq.CancelAccountSummary(9)),
        ("reqPnL", (9, "DU1", ""), rq.Pnl(9, "DU1", "")),
        ("cancelPnL", (9,), rq.CancelPnl(9)),
        ("reqPnLSingle", (9, "DU1", "", 265598), rq.PnlSingle(9, "DU1", "", 265598)),
        ("cancelPnLSingle", (9,), rq.CancelPnlSingle(9)),
        ("reqMatchingSymbols", (9, "app"), rq.MatchingSymbols(9, "app")),
        ("reqMarketRule", (26,), rq.MarketRule(26)),
        ("reqSecDefOptParams", (9, "AAPL", "", "STK", 1), rq.SecDefOptParams(9, "AAPL", "", "STK", 1)),
        ("cancelHistoricalData", (9,), rq.CancelHistoricalData(9)),
        ("cancelHeadTimeStamp", (9,), rq.CancelHeadTimestamp(9)),
        ("cancelHistogramData", (9,), rq.CancelHistogramData(9)),
        ("cancelMktData", (9,), rq.CancelMarketData(9)),
        ("reqMarketDataType", (3,), rq.MarketDataType(3)),
        ("cancelRealTimeBars", (9,), rq.CancelRealTimeBars(9)),
        ("cancelMktDepth", (9, True), rq.CancelMarketDepth(9, True)),
        ("reqMktDepthExchanges", (), rq.MarketDepthExchanges()),
        ("reqSmartComponents", (9, "a6"), rq.SmartComponents(9, "a6")),
        ("cancelTickByTickData", (9,), rq.CancelTickByTick(9)),
        ("reqNewsProviders", (), rq.NewsProviders()),
        ("reqNewsArticle", (9, "BRFG", "BRFG$1", []), rq.NewsArticle(9, "BRFG", "BRFG$1", "")),
        (
            "reqHistoricalNews",
            (9, 1, "BRFG+DJ-N", "2026-11-01 00:00:00.0", "", 10, []),
            rq.HistoricalNews(9, 1, "BRFG+DJ-N", "2026-11-01 00:00:00.0", "", 10, ""),
        ),
        ("reqNewsBulletins", (True,), rq.NewsBulletins(True)),
        ("cancelNewsBulletins", (), rq.CancelNewsBulletins()),
        ("reqScannerParameters", (), rq.ScannerParameters()),
        ("cancelScannerSubscription", (9,), rq.CancelScannerSubscription(9)),
        ("cancelFundamentalData", (9,), rq.CancelFundamentalData(9)),
        ("cancelCalculateImpliedVolatility", (9,), rq.CancelCalculateImpliedVolatility(9)),
        ("cancelCalculateOptionPrice", (9,), rq.CancelCalculateOptionPrice(9)),
        ("reqFamilyCodes", (), rq.FamilyCodes()),
        ("reqSoftDollarTiers", (9,), rq.SoftDollarTiers(9)),
        ("requestFA", (1,), rq.RequestFa(1)),
        ("replaceFA", (9, 1, "<xml/>"), rq.ReplaceFa(1, "<xml/>", 9)),
        ("queryDisplayGroups", (9,), rq.QueryDisplayGroups(9)),
        ("subscribeToGroupEvents", (9, 2), rq.SubscribeToGroupEvents(9, 2)),
        ("updateDisplayGroup", (9, "8314@SMART"), rq.UpdateDisplayGroup(9, "8314@SMART")),
        ("unsubscribeFromGroupEvents", (9,), rq.UnsubscribeFromGroupEvents(9)),
    ]
    for method, args, expected in cases:
        assert sent(library, version, method, *args) == expected, method


@every_client
def test_requests_with_a_contract_are_read(library: str, version: int) -> None:
    apple, option = theirs(library, APPLE), theirs(library, OPTION)
    nothing_else = (OPTION._replace(primary_exchange=""), 1, 2, "DU1", False)
    depth_args = (9, apple, 5, True, [])
    rth = 1 if library == "ibapi" else True
    cases: list[tuple[str, tuple[Any, ...], Any]] = [
        ("reqContractDetails", (9, option), rq.ContractDetails(9, OPTION, False, "", "")),
        ("reqHeadTimeStamp", (9, apple, "TRADES", rth, 2), rq.HeadTimestamp(9, APPLE, False, True, "TRADES", 2)),
        ("reqHistogramData", (9, apple, rth, "3 days"), rq.HistogramData(9, APPLE, False, True, "3 days")),
        ("reqRealTimeBars", (9, apple, 5, "TRADES", rth, []), rq.RealTimeBars(9, APPLE, 5, "TRADES", True, "")),
        ("reqMktDepth", depth_args, rq.MarketDepth(9, APPLE, 5, True, "")),
        ("reqTickByTickData", (9, apple, "Last", 0, False), rq.TickByTick(9, APPLE, "Last", 0, False)),
        ("exerciseOptions", (9, option, 1, 2, "DU1", 0, *_newest(library)), rq.ExerciseOptions(9, *nothing_else)),
        ("calculateImpliedVolatility", (9, option, 5.5, 220.0, []), _calculated(rq.CalculateImpliedVolatility, 5.5)),
        ("calculateOptionPrice", (9, option, 0.25, 220.0, []), _calculated(rq.CalculateOptionPrice, 0.25)),
        (
            "reqHistoricalTicks",
            (9, apple, "20261123 09:30:00 US/Eastern", "", 1000, "TRADES", rth, True, []),
            rq.HistoricalTicks(9, APPLE, False, "20261123 09:30:00 US/Eastern", "", 1000, "TRADES", True, True, ""),
        ),
        (
            "reqHistoricalData",
            (9, apple, "20261123 16:00:00 US/Eastern", "1 D", "5 mins", "TRADES", rth, 2, False, []),
            rq.HistoricalData(
                *(9, APPLE, False, "20261123 16:00:00 US/Eastern", "5 mins", "1 D", True, "TRADES", 2, (), False, "")
            ),
        ),
        (
            "reqMktData",
            (9, apple, "233,mdoff,292:BRFG", True, False, []),
            rq.MarketData(9, APPLE, (), "233,mdoff,292:BRFG", True, False, ""),
        ),
    ]
    for method, args, expected in cases:
        assert sent(library, version, method, *args) == expected, method


def _newest(library: str) -> tuple[Any, ...]:
    return ("", "", False) if library == "ibapi" else ()


def _calculated(kind: Any, first: float) -> Any:
    return kind(9, OPTION, first, 220.0, "")


@every_client
def test_legs_of_a_bag_are_read_in_data_requests(library: str, version: int) -> None:
    bag = theirs(library, BAG)
    history = sent(library, version, "reqHistoricalData", 9, bag, "", "1 D", "1 hour", "TRADES", True, 1, True, [])
    assert (history.legs, history.keep_up_to_date) == (LEGS, True)
    data = sent(library, version, "reqMktData", 9, bag, "", False, False, [])
    assert data == rq.MarketData(9, BAG, LEGS, "", False, False, "")


@every_client
def test_a_delta_neutral_contract_does_not_shift_what_follows(library: str, version: int) -> None:
    option = theirs(library, OPTION)
    option.deltaNeutralContract = load(library, "contract").DeltaNeutralContract()
    data = sent(library, version, "reqMktData", 9, option, "106", False, True, [])
    assert data == rq.MarketData(9, OPTION, (), "106", False, True, "")


@every_client
def test_executions_are_filtered_by_what_was_asked(library: str, version: int) -> None:
    chosen = load(library, "execution" if library == "ibapi" else "objects").ExecutionFilter()
    assert sent(library, version, "reqExecutions", 9, chosen) == rq.Executions(9, 0, "", "", "", "", "", "")
    for name, value in {"clientId": 3, "acctCode": "DU1", "symbol": "AAPL", "side": "BUY"}.items():
        setattr(chosen, name, value)
    got = sent(library, version, "reqExecutions", 9, chosen)
    assert got == rq.Executions(9, 3, "DU1", "", "AAPL", "", "", "BUY")


@every_client
def test_a_scan_is_read_with_its_limits(library: str, version: int) -> None:
    module = load(library, "scanner" if library == "ibapi" else "objects")
    asked = module.ScannerSubscription()
    asked.instrument, asked.locationCode, asked.scanCode = "STK", "STK.US.MAJOR", "TOP_PERC_GAIN"
    asked.numberOfRows, asked.abovePrice, asked.aboveVolume = 25, 5.5, 100000
    options = ([], _tags(library, priceAbove="10"))
    got = sent(library, version, "reqScannerSubscription", 9, asked, *options)
    assert got[:8] == (9, 25, "STK", "STK.US.MAJOR", "TOP_PERC_GAIN", 5.5, got.below_price, 100000)
    assert math.isnan(got.below_price)
    assert math.isnan(got.coupon_above)
    assert (got.filter_options, got.options) == ("priceAbove=10;", "")


@every_client
def test_fundamentals_are_read(library: str, version: int) -> None:
    got = sent(library, version, "reqFundamentalData", 9, theirs(library, APPLE), "ReportSnapshot", [])
    named = APPLE._replace(trading_class="")
    assert got == rq.FundamentalData(9, named, "ReportSnapshot", "")


@every_client
def test_a_cancel_is_read(library: str, version: int) -> None:
    if library == "ibapi":
        how = load("ibapi", "order_cancel").OrderCancel()
        how.manualOrderCancelTime = "20261123-10:00:00" if version >= 169 else ""
        assert sent(library, version, "reqGlobalCancel", how) == rq.GlobalCancel()
    else:
        how = "20261123-10:00:00"
        assert sent(library, version, "reqGlobalCancel") == rq.GlobalCancel()
    when = "20261123-10:00:00" if version >= 169 else ""
    assert sent(library, version, "cancelOrder", 17, how) == rq.CancelOrder(17, when)


@every_client
def test_the_start_is_read(library: str, version: int) -> None:
    client = Sent(library, version)
    client.client.clientId = 7
    client.client.startApi()
    assert rq.parse(version, client.fields) == rq.StartApi(7, "")


@every_client
def test_calendar_events_and_user_info_are_read(library: str, version: int) -> None:
    if library == "ibapi" and version < 173:
        pytest.skip("IB's own client does not send them to so old a server")
    module = load(library, "common" if library == "ibapi" else "objects")
    got = sent(library, version, "reqWshEventData", 9, module.WshEventData())
    assert (got.req_id, got.filter, got.fill_watchlist, got.limit) == (9, "", False, 0)
    assert sent(library, version, "reqWshMetaData", 9) == rq.WshMetaData(9)
    assert sent(library, version, "cancelWshMetaData", 9) == rq.CancelWshMetaData(9)
    assert sent(library, version, "cancelWshEventData", 9) == rq.CancelWshEventData(9)
    assert sent(library, version, "reqUserInfo", 9) == rq.UserInfo(9)


def test_the_issuer_is_read_from_176_on() -> None:
    client = Sent("ib_insync", 176)
    contract = theirs("ib_insync", APPLE)
    contract.includeExpired, contract.secIdType, contract.secId, contract.issuerId = True, "ISIN", "US03", "e123"
    client.client.reqContractDetails(9, contract)
    assert rq.parse(176, client.fields) == rq.ContractDetails(9, APPLE, True, "ISIN", "US03", "e123")


# What does not fit


def test_an_unknown_id_comes_back_with_its_fields() -> None:
    assert rq.parse(176, ["999", "a", "b"]) == rq.Unknown(999, ["999", "a", "b"])


@pytest.mark.parametrize("fields", [["x"], ["1.5"], ["99999999999"]])
def test_an_id_that_is_no_number_is_a_bad_request(fields: list[str]) -> None:
    with pytest.raises(rq.BadRequest, match="message id") as caught:
        rq.parse(176, fields)
    assert caught.value.req_id is None


def test_a_bad_request_names_itself_and_its_id() -> None:
    with pytest.raises(rq.BadRequest, match="MatchingSymbols: only 2 fields") as caught:
        rq.parse(176, ["81", "9"])
    assert (caught.value.request, caught.value.req_id) == ("MatchingSymbols", 9)
    with pytest.raises(rq.BadRequest, match="MatchingSymbols: 1 fields too many") as caught:
        rq.parse(176, ["81", "9", "app", "le"])
    assert caught.value.req_id == 9
    with pytest.raises(rq.BadRequest, match="field 3: not a whole number: 'one'") as caught:
        rq.parse(176, ["59", "1", "one"])
    assert caught.value.req_id is None


def test_a_count_that_is_a_lie_is_refused_at_once() -> None:
    history = ["20", "9", *map(str, BAG), "0", "", "1 hour", "1 D", "1", "TRADES", "1", "2000000000", "1", ""]
    with pytest.raises(rq.BadRequest, match="2000000000 groups of 4 announced"):
        rq.parse(176, history)


def test_every_request_has_one_row_and_a_class_of_its_own() -> None:
    for message, row in rq.TABLE.items():
        assert message == row.id
        assert set(get_type_hints(row.request)) == set(row.request._fields)
    assert len({row.request for row in rq.TABLE.values()}) == len(rq.TABLE)


def test_the_documentation_names_every_request() -> None:
    text = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()
    section = text.partition("## Every request")[2]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ") and line[2].isdigit()]
    ids = [int(number) for numbers, _ in rows for number in numbers.split(",")]
    assert sorted(ids) == sorted(rq.TABLE)
    for numbers, names in rows:
        first = rq.TABLE[int(numbers.split(",")[0])].request.__name__
        assert names.split(",")[0].split()[0] == first


# Fuzz

FUZZ_FRAMES = int(os.environ.get("FUZZ_FRAMES", "1000000"))
_WORDS = ("", "0", "1", "9", "-1", "3.5", "AAPL", "BAG", "STK", "PEG BENCH", "PEG BEST", "2147483647", "Infinity")
_WORDS += ("99999999999", "1e999", "nan", "é", "x" * 300, "\ufffd")


def valid_requests(version: int) -> list[list[str]]:
    """The fields of one request of each kind that ib_insync sends, and of orders with everything in them."""
    client = Sent("ib_insync", version)
    send = client.client
    bag = theirs("ib_insync", BAG)
    send.reqHistoricalData(9, bag, "", "1 D", "1 hour", "TRADES", True, 1, True, [])
    send.reqMktData(9, bag, "", False, False, [])
    send.placeOrder(17, theirs("ib_insync", APPLE), load("ib_insync", "order").LimitOrder("BUY", 100, 229.5))
    send.placeOrder(18, bag, load("ib_insync", "order").Order(action="BUY", orderType="PEG BEST", totalQuantity=1))
    rows = [wire.split(payload) for payload in client.payloads]
    for row in rq.TABLE.values():
        rows.append([str(row.id), *["1"] * 30])
    return rows


def fuzz(frames: int, seed: int) -> None:
    """Frames broken in every way, through reader, splitter and parser."""
    rng = random.Random(seed)
    rows = {version: valid_requests(version) for version in (157, 166, 176)}
    allowed = (wire.WireError,)
    reader = wire.FrameReader()
    parsed = 0
    for _ in range(frames):
        version = rng.choice((157, 166, 176))
        stream = wire.frame(_broken(rng, rng.choice(rows[version])))
        if rng.random() < 0.02:
            stream = rng.randbytes(rng.randrange(40))
        try:
            for payload in reader.feed(stream):
                request = rq.parse(version, wire.split(payload))
                parsed += not isinstance(request, rq.Unknown)
        except wire.FrameTooLong:
            reader = wire.FrameReader()
        except allowed:
            pass
        if reader.pending > 100_000:  # Random bytes announced a frame that will not come.
            reader = wire.FrameReader()
    assert parsed > frames / 1000


def _broken(rng: random.Random, fields: list[str]) -> bytes:
    fields = list(fields)
    for _ in range(rng.randrange(4)):
        match rng.randrange(5):
            case 0:
                fields = fields[: rng.randrange(len(fields)) + 1]
            case 1:
                fields.insert(rng.randrange(len(fields)), rng.choice(_WORDS))
            case 2:
                fields[rng.randrange(len(fields))] = rng.choice(_WORDS)
            case 3:
                fields[0] = str(rng.randrange(-2, 110))
            case _:
                del fields[rng.randrange(len(fields))]
                fields = fields or [""]
    payload = bytearray("\0".join(fields).encode() + b"\0")
    if rng.random() < 0.2:
        payload[rng.randrange(len(payload))] = rng.randrange(256)
    return bytes(payload)


def test_fuzzed_frames_raise_nothing_but_the_named_errors() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    fuzz(20_000, seed)


@pytest.mark.exhaustive
def test_a_million_fuzzed_frames_raise_nothing_but_the_named_errors() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    fuzz(FUZZ_FRAMES, seed)


@pytest.mark.parametrize("version", (157, 166, 176))
def test_a_request_cut_short_anywhere_is_a_bad_request(version: int) -> None:
    for fields in valid_requests(version)[:4]:
        assert type(rq.parse(version, fields)) is rq.TABLE[int(fields[0])].request
        for length in range(1, len(fields)):
            with pytest.raises(rq.BadRequest) as caught:
                rq.parse(version, fields[:length])
            assert caught.value.request == rq.TABLE[int(fields[0])].request.__name__
            assert caught.value.req_id in (None, int(fields[1]), int(fields[2] or 0))
