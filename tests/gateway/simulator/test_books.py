"""Money and positions: what is paid when, what it is worth, and what corrections, splits and settlements change."""

from dataclasses import replace

import pytest

from domain.adjustments import Dividend, Split
from domain.costs import Commission, Tier
from domain.errors import BadInput
from gateway.contract import Contract
from gateway.simulator.account_values import SUMMARY_TAGS
from gateway.simulator.books import exposure
from gateway.simulator.corrections import replayed
from gateway.simulator.records import Charged, Executed, Told
from tests.gateway.simulator.exchange_checks import check
from tests.gateway.simulator.exchange_words import ACCOUNT, CLIENT, START, make, order, place, short, values, wait
from tests.gateway.simulator.fake_market import (
    AAA,
    BASE,
    BBB,
    CLOSE,
    DAY,
    EURUSD,
    EXTENDED,
    FIRST_DAY,
    FUT,
    MINUTE,
    OPEN,
    SECOND,
    FakeMarket,
    stock,
)


def bought(market=None, quantity=100, **more):
    exchange = make(market, **more)
    place(exchange, 1, quantity=quantity)
    wait(exchange, 1)
    return exchange


def cash(exchange, currency="USD"):
    return exchange.books.cash.get((ACCOUNT, currency), 0.0)


# Profit


def test_profit_is_unrealised_until_it_is_realised_and_daily_is_both_less_commissions():
    market = FakeMarket()
    market.write(AAA, START + 5 * SECOND, 103.0)
    exchange = bought(market)
    wait(exchange, 10)
    assert exchange.pnl(ACCOUNT, exchange.now_ns) == pytest.approx((299, 300, 0))
    assert exchange.pnl_single(ACCOUNT, 1, exchange.now_ns) == pytest.approx((100, 299, 300, 0, 10_300))
    place(exchange, 2, "SELL", 40)
    facts = exchange.advance(exchange.now_ns + SECOND)
    (report,) = [fact.report for fact in facts if isinstance(fact, Charged)]
    assert report.realized_pnl == pytest.approx(40 * 3 - 1)
    assert exchange.pnl(ACCOUNT, exchange.now_ns) == pytest.approx((298, 180, 120))
    assert exchange.holdings(ACCOUNT)[0].realized_pnl == pytest.approx(120)
    assert exchange.pnl_single(ACCOUNT, 99, exchange.now_ns) == (0, 0, 0, 0, 0)


def test_an_execution_that_opens_realises_nothing():
    exchange = make()
    place(exchange)
    facts = exchange.advance(exchange.now_ns + SECOND)
    (report,) = [fact.report for fact in facts if isinstance(fact, Charged)]
    assert report.realized_pnl != report.realized_pnl


def test_the_days_profit_starts_anew_at_midnight_and_flat_positions_are_forgotten():
    market = FakeMarket()
    market.write(AAA, START + 5 * SECOND, 103.0)
    market.write(AAA, OPEN + DAY + MINUTE, 104.0)
    exchange = bought(market)
    place(exchange, 2, listing=BBB)
    wait(exchange, 1)
    place(exchange, 3, "SELL", listing=BBB)
    wait(exchange, 1)
    assert [holding.quantity for holding in exchange.holdings(ACCOUNT)] == [100, 0]
    exchange.advance(OPEN + DAY + 2 * MINUTE)
    assert exchange.pnl(ACCOUNT, exchange.now_ns) == pytest.approx((100, 400, 0))
    assert [holding.quantity for holding in exchange.holdings(ACCOUNT)] == [100]


def test_a_short_position_earns_when_the_price_falls():
    market = FakeMarket()
    market.write(AAA, START + 5 * SECOND, 97.0)
    exchange = make(market)
    place(exchange, action="SELL")
    wait(exchange, 10)
    assert exchange.pnl(ACCOUNT, exchange.now_ns)[1] == pytest.approx(300)
    assert values(exchange)["GrossPositionValue"] == "9700.00"
    assert values(exchange)["NetLiquidation"] == "100299.00"


# Kinds of instruments


def test_a_pair_moves_cash_in_both_currencies_and_pays_its_commission_in_the_accounts():
    exchange = make()
    place(exchange, listing=EURUSD, quantity=20_000)
    wait(exchange, 1)
    assert cash(exchange, "EUR") == 20_000
    assert cash(exchange) == pytest.approx(100_000 - 22_000 - 2)
    rows = exchange.account_values(ACCOUNT, exchange.now_ns)
    assert ("CashBalance", "20000.00", "EUR") in rows
    assert ("ExchangeRate", "1.100000", "EUR") in rows
    assert values(exchange)["NetLiquidation"] == "99998.00"
    assert exchange.holdings(ACCOUNT)[0].quantity == 20_000


def test_a_pair_quoted_in_another_currency_is_converted():
    yen = replace(
        EURUSD, contract=Contract(6, "USD", "CASH", exchange="IDEALPRO", currency="JPY", local_symbol="USD.JPY")
    )
    BASE[6] = 150.0
    market = FakeMarket(listed=(AAA, EURUSD, yen))
    exchange = make(market)
    place(exchange, listing=yen, quantity=30_000)
    wait(exchange, 1)
    assert cash(exchange, "JPY") == -30_000 * 150
    assert cash(exchange) == 130_000 - 2
    assert values(exchange)["NetLiquidation"] == "99998.00"
    (execution,) = exchange.executions()
    assert exchange.commission_of(execution.exec_id).currency == "USD"
    assert exchange.books.rate("EUR", "JPY", exchange.now_ns) == pytest.approx(165)
    with pytest.raises(BadInput, match="no market quotes CHF in USD"):
        exchange.books.rate("CHF", "USD", exchange.now_ns)


def test_an_instrument_whose_currency_nothing_quotes_is_refused():
    swiss = stock(7, "CCC")
    swiss = replace(swiss, contract=swiss.contract._replace(currency="CHF"))
    BASE[7] = 10.0
    exchange = make(FakeMarket(listed=(AAA, swiss)))
    facts = exchange.place(CLIENT, order(listing=swiss), exchange.now_ns)
    assert [(fact.code, "no market quotes CHF" in fact.text) for fact in facts if isinstance(fact, Told)] == [
        (201, True)
    ]


def test_a_future_costs_margin_and_is_settled_at_the_end_of_its_day():
    market = FakeMarket()
    market.write(FUT, START + 5 * SECOND, 5_010.0)
    market.write(FUT, OPEN + DAY, 5_002.0)
    exchange = make(market)
    place(exchange, listing=FUT, quantity=2)
    wait(exchange, 10)
    assert cash(exchange) == pytest.approx(100_000 - 1.7)
    now = values(exchange)
    assert now["NetLiquidation"] == "100998.30"
    assert (now["InitMarginReq"], now["MaintMarginReq"]) == ("10000.00", "8000.00")
    exchange.advance(int(EXTENDED.close[0]))
    assert cash(exchange) == pytest.approx(100_000 - 1.7 + 1_000)
    assert values(exchange)["NetLiquidation"] == "100998.30"
    exchange.advance(OPEN + DAY + MINUTE)
    place(exchange, 2, "SELL", listing=FUT, quantity=2)
    wait(exchange, 1)
    exchange.advance(int(EXTENDED.close[1]))
    assert cash(exchange) == pytest.approx(100_000 + 200 - 3.4)
    settled = [entry["amount"] for entry in exchange.ledger.of("cash", reason="settlement")]
    assert settled == pytest.approx([1_000, -800])
    check(exchange, market)


def test_too_little_money_for_a_futures_margin_is_refused():
    exchange = make(cash=9_000)
    assert place(exchange, 1, listing=FUT, quantity=2) == ["201 1"]
    assert place(exchange, 1, listing=FUT, quantity=1)[0] == "open 1 PreSubmitted"


# Corporate actions


def test_a_split_changes_positions_and_what_works_before_the_days_first_trade():
    market = FakeMarket(corporate={1: (Split(FIRST_DAY + 1, 2.0),)})
    market.write(AAA, OPEN + DAY - 5 * MINUTE, 50.0)
    exchange = bought(market)
    place(exchange, 2, "SELL", kind="LMT", limit_price=110, tif="GTC")
    exchange.advance(int(EXTENDED.open[1]) - 1)
    assert exchange.holdings(ACCOUNT)[0].quantity == 100
    words = short(exchange.advance(int(EXTENDED.open[1])))
    assert words == ["open 2 Submitted", "status 2 Submitted 0/200"]
    assert exchange.find_order(CLIENT, 2).request.limit_price == 55
    (holding,) = exchange.holdings(ACCOUNT)
    assert (holding.quantity, holding.average_price) == (200, 50)
    assert values(exchange)["NetLiquidation"] == "99999.00"
    check(exchange, market)


def test_a_reverse_split_pays_what_is_left_over_and_ends_orders_of_less_than_a_share():
    market = FakeMarket(corporate={1: (Split(FIRST_DAY + 1, 0.1),)})
    market.write(AAA, OPEN + DAY - 5 * MINUTE, 1_000.0)
    exchange = bought(market, quantity=105)
    place(exchange, 2, "SELL", 5, kind="LMT", limit_price=110, tif="GTC")
    words = short(exchange.advance(int(EXTENDED.open[1])))
    assert words == ["status 2 Cancelled 0/5", "202 2"]
    assert exchange.holdings(ACCOUNT)[0].quantity == 10
    assert cash(exchange) == pytest.approx(100_000 - 10_500 - 1 + 500)
    check(exchange, market)


def test_a_dividend_pays_the_holder_and_charges_the_short():
    for action, gain in (("BUY", 50), ("SELL", -50)):
        market = FakeMarket(corporate={1: (Dividend(FIRST_DAY + 1, 0.5),)})
        exchange = make(market)
        place(exchange, action=action)
        wait(exchange, 1)
        before = cash(exchange)
        exchange.advance(OPEN + 3 * DAY)
        assert cash(exchange) - before == gain
        check(exchange, market)


# Corrections


def test_a_correction_is_the_next_revision_and_moves_money_and_average():
    exchange = bought()
    (execution,) = exchange.executions()
    facts = exchange.correct(execution.exec_id, 90, 99.0, exchange.now_ns)
    assert short(facts) == ["exec BOT 90 @ 99", "status 1 Filled 90/10", "fee 1"]
    assert facts[0].execution.exec_id == execution.exec_id[:-2] + "02"
    assert cash(exchange) == pytest.approx(100_000 - 90 * 99 - 1)
    (holding,) = exchange.holdings(ACCOUNT)
    assert (holding.quantity, holding.average_price) == (90, 99)
    assert len(exchange.executions()) == 1
    exchange.correct(execution.exec_id, 100, 100.0, exchange.now_ns)
    assert exchange.executions()[0].exec_id.endswith(".03")
    assert cash(exchange) == pytest.approx(89_999)


def test_a_bust_undoes_the_fill_and_its_commission():
    exchange = bought()
    (execution,) = exchange.executions()
    facts = exchange.bust(execution.exec_id, exchange.now_ns)
    assert facts[0] == Executed(exchange.executions()[0])
    assert exchange.executions()[0].quantity == 0
    assert cash(exchange) == pytest.approx(100_000)
    assert exchange.holdings(ACCOUNT)[0].quantity == 0
    assert values(exchange)["RealizedPnL"] == "0.00"


def test_a_correction_of_an_early_fill_changes_what_a_later_one_realised():
    market = FakeMarket()
    market.write(AAA, START + 2 * SECOND, 103.0)
    exchange = bought(market)
    wait(exchange, 5)
    place(exchange, 2, "SELL", 100)
    wait(exchange, 1)
    opening, closing = exchange.executions()
    exchange.correct(opening.exec_id, 100, 101.0, exchange.now_ns)
    assert exchange.pnl(ACCOUNT, exchange.now_ns)[2] == pytest.approx(200)
    held = replayed(exchange.ledger, ACCOUNT, AAA, 0)
    assert held.by_execution[closing.exec_id[:-3]] == pytest.approx(200)
    check(exchange, market)


def test_a_correction_may_fill_the_rest_of_an_order_and_start_its_children():
    exchange = make(part_size=60)
    place(exchange, 1, transmit=False)
    place(exchange, 2, "SELL", kind="LMT", limit_price=110, parent_id=1)
    wait(exchange, 1)
    (execution,) = exchange.executions()
    words = short(exchange.correct(execution.exec_id, 100, 100.0, exchange.now_ns))
    assert "status 1 Filled 100/0" in words
    assert "status 2 Submitted 0/100" in words


@pytest.mark.parametrize("what", [(-1, 100.0), (100, 0.0), (float("nan"), 100.0)])
def test_a_correction_that_cannot_be_is_refused(what):
    exchange = bought()
    with pytest.raises(BadInput, match="cannot be corrected"):
        exchange.correct(exchange.executions()[0].exec_id, *what, exchange.now_ns)
    with pytest.raises(BadInput, match="no execution"):
        exchange.correct("0000.0001.01.01", 1, 1.0, exchange.now_ns)


# What an account says


def test_an_account_says_all_that_ib_says_and_that_it_is_simulated():
    exchange = bought()
    rows = exchange.account_values(ACCOUNT, exchange.now_ns)
    assert ("AccountCode", ACCOUNT, "") in rows
    assert ("AccountType", "SIMULATED", "") in rows
    wanted = {
        "NetLiquidation", "TotalCashValue", "BuyingPower", "ExcessLiquidity", "AvailableFunds", "InitMarginReq",
        "MaintMarginReq", "GrossPositionValue", "RealizedPnL", "UnrealizedPnL", "EquityWithLoanValue", "CashBalance",
        "ExchangeRate", "AccountReady", "Currency", "StockMarketValue",
    }  # fmt: skip
    assert wanted <= {key for key, _, _ in rows}
    now = values(exchange)
    assert now["BuyingPower"] == "189998.00"
    assert now["AvailableFunds"] == "94999.00"
    assert now["ExcessLiquidity"] == "97499.00"
    totals = [row for row in rows if row[2] == "BASE" and row[0] == "NetLiquidationByCurrency"]
    assert totals == [("NetLiquidationByCurrency", "99999.00", "BASE")]


def test_a_summary_gives_the_tags_that_were_asked_for():
    exchange = bought()
    rows = exchange.summary(ACCOUNT, ("NetLiquidation", "AccountType", "Nonsense"), exchange.now_ns)
    assert rows == [("NetLiquidation", "99999.00", "USD"), ("AccountType", "SIMULATED", "")]
    assert [row[0] for row in exchange.summary(ACCOUNT, ("All",), exchange.now_ns)] == list(SUMMARY_TAGS)
    assert {row[2] for row in exchange.summary(ACCOUNT, ("$LEDGER",), exchange.now_ns)} == {"BASE"}
    assert {row[2] for row in exchange.summary(ACCOUNT, ("$LEDGER:ALL",), exchange.now_ns)} == {"BASE", "USD"}
    assert {row[2] for row in exchange.summary(ACCOUNT, ("$LEDGER:USD",), exchange.now_ns)} == {"USD"}


def test_accounts_do_not_share_money():
    exchange = make(accounts=("DU1", "DU2"))
    place(exchange, account="DU2")
    wait(exchange, 1)
    assert exchange.holdings("DU1") == []
    assert values(exchange, "DU1")["TotalCashValue"] == "100000.00"
    assert values(exchange, "DU2")["TotalCashValue"] == "89999.00"


def test_a_commission_with_tiers_falls_with_the_months_units():
    tiered = Commission(tiers=(Tier(100, 0.01), Tier(float("inf"), 0.001)))
    cheap = replace(stock(1, "AAA"), commission=tiered)
    exchange = make(FakeMarket(listed=(cheap,)))
    fees = []
    for n in (1, 2):
        place(exchange, n, listing=cheap, quantity=100)
        wait(exchange, 1)
        fees.append(exchange.commission_of(exchange.executions()[-1].exec_id).commission)
    assert fees == pytest.approx([1.0, 0.1])


def test_exposure_is_the_most_that_working_orders_can_make_of_a_position():
    assert exposure(100, [50, -30]) == 150
    assert exposure(100, [-300]) == 200
    assert exposure(0, []) == 0


def test_positions_close_over_the_books_of_many_days():
    market = FakeMarket(seed=5)
    exchange = make(market)
    for n in range(1, 12):
        place(exchange, n, "BUY" if n % 2 else "SELL", listing=(AAA, BBB, FUT)[n % 3], quantity=3)
        exchange.advance(exchange.now_ns + 3 * 3600 * SECOND)
        check(exchange, market)
    assert exchange.now_ns > CLOSE + DAY
