"""An account as IB describes it: (key, value, currency) rows for account updates, and the tags of its summary."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.simulator.books import Books, Worth

Row = tuple[str, str, str]
SIMULATED = "SIMULATED"
SUMMARY_TAGS = (
    "AccountType",
    "NetLiquidation",
    "TotalCashValue",
    "SettledCash",
    "AccruedCash",
    "BuyingPower",
    "EquityWithLoanValue",
    "PreviousDayEquityWithLoanValue",
    "GrossPositionValue",
    "ReqTEquity",
    "ReqTMargin",
    "SMA",
    "InitMarginReq",
    "MaintMarginReq",
    "AvailableFunds",
    "ExcessLiquidity",
    "Cushion",
    "FullInitMarginReq",
    "FullMaintMarginReq",
    "FullAvailableFunds",
    "FullExcessLiquidity",
    "LookAheadNextChange",
    "LookAheadInitMarginReq",
    "LookAheadMaintMarginReq",
    "LookAheadAvailableFunds",
    "LookAheadExcessLiquidity",
    "HighestSeverity",
    "DayTradesRemaining",
    "Leverage",
)
_LEDGER = "$LEDGER"


def account_values(books: Books, account: str, now_ns: int) -> list[Row]:
    rows = [("AccountCode", account, ""), ("AccountReady", "true", ""), *_totals(books, account, now_ns)]
    return rows + _by_currency(books, account, now_ns)


def summary(books: Books, account: str, tags: Iterable[str], now_ns: int) -> list[Row]:
    """`$LEDGER` asks for the base currency's ledger, `$LEDGER:USD` for another's, `$LEDGER:ALL` for all."""
    totals = {row[0]: row for row in _totals(books, account, now_ns)}
    found: list[Row] = []
    for tag in tags:
        name, _, currency = tag.partition(":")
        if name == _LEDGER:
            wanted = currency or "BASE"
            rows = _by_currency(books, account, now_ns)
            found += [row for row in rows if wanted in ("ALL", row[2])]
        elif tag.lower() == "all":
            found += [totals[known] for known in SUMMARY_TAGS]
        elif tag in totals and tag in SUMMARY_TAGS:
            found.append(totals[tag])
    return found


def _totals(books: Books, account: str, now_ns: int) -> list[Row]:
    worth = books.worth(account, now_ns)
    base = books.settings[account].currency
    equity = worth.equity
    available, excess = equity - worth.initial, equity - worth.maintenance
    leverage = 1 / books.settings[account].stock_margin
    money = {
        "NetLiquidation": equity,
        "TotalCashValue": worth.cash,
        "SettledCash": worth.cash,
        "AccruedCash": 0.0,
        "AccruedDividend": 0.0,
        "BuyingPower": max(available, 0.0) * leverage,
        "EquityWithLoanValue": equity,
        "PreviousDayEquityWithLoanValue": equity - worth.daily,
        "GrossPositionValue": worth.gross,
        "RegTEquity": equity,
        "RegTMargin": worth.initial,
        "ReqTEquity": equity,
        "ReqTMargin": worth.initial,
        "SMA": available,
        "InitMarginReq": worth.initial,
        "MaintMarginReq": worth.maintenance,
        "AvailableFunds": available,
        "ExcessLiquidity": excess,
        "FullInitMarginReq": worth.initial,
        "FullMaintMarginReq": worth.maintenance,
        "FullAvailableFunds": available,
        "FullExcessLiquidity": excess,
        "LookAheadInitMarginReq": worth.initial,
        "LookAheadMaintMarginReq": worth.maintenance,
        "LookAheadAvailableFunds": available,
        "LookAheadExcessLiquidity": excess,
    }
    plain = {
        "AccountType": SIMULATED,
        "Cushion": _ratio(excess, equity),
        "DayTradesRemaining": "-1",
        "HighestSeverity": "",
        "Leverage": _ratio(worth.gross, equity),
        "LookAheadNextChange": "0",
        "TradingType-S": "STKNOPT",
        "WhatIfPMEnabled": "false",
    }
    rows: list[Row] = [(key, value, "") for key, value in plain.items()]
    return rows + [(key, f"{value:.2f}", base) for key, value in money.items()]


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.4f}" if whole > 0 else "0"


def _by_currency(books: Books, account: str, now_ns: int) -> list[Row]:
    """The ledger of each currency, and of all in the base currency as BASE."""
    base = books.settings[account].currency
    worth = books.worth(account, now_ns)
    rows = _ledger("BASE", 1.0, worth)
    for currency in books.currencies(account):
        rows += _ledger(currency, books.rate(currency, base, now_ns), _part(books, account, currency, now_ns))
    return rows


def _part(books: Books, account: str, currency: str, now_ns: int) -> Worth:
    """What the account has in one currency, in it."""
    cash = books.cash.get((account, currency), 0.0)
    stocks = gross = unsettled = unrealized = realized = daily = 0.0
    for position in books.held(account):
        if position.currency != currency:
            continue
        price = books.mark(position.listing, now_ns)
        if position.is_future:
            unsettled += position.unsettled(price)
        elif not position.is_forex:
            stocks += position.value(price)
            gross += abs(position.value(price))
        unrealized += position.unrealized(price)
        realized += position.realized
        daily += position.day_pnl(price)
    return Worth(cash, stocks, gross, unsettled, unrealized, realized, daily, 0.0, 0.0)


def _ledger(currency: str, rate: float, worth: Worth) -> list[Row]:
    values = {
        "CashBalance": worth.cash,
        "TotalCashBalance": worth.cash,
        "NetLiquidationByCurrency": worth.equity,
        "StockMarketValue": worth.stocks,
        "FuturesPNL": worth.unsettled,
        "UnrealizedPnL": worth.unrealized,
        "RealizedPnL": worth.realized,
        "FxCashBalance": worth.cash,
    }
    rows = [("Currency", currency, currency), ("ExchangeRate", f"{rate:.6f}", currency)]
    return rows + [(key, f"{value:.2f}", currency) for key, value in values.items()]


__all__ = ["SIMULATED", "SUMMARY_TAGS", "account_values", "summary"]
