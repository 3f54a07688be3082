"""The admin's sidebar: by what people do, not by which app a table is in."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

# (title, icon, (app, model)); who may not view a model does not see its entry.
Entry = tuple[str, str, tuple[str, str]]

SECTIONS: dict[str, tuple[Entry, ...]] = {
    "Data": (
        ("Instruments", "sell", ("marketdata", "instrument")),
        ("Watchlists", "list_alt", ("marketdata", "watchlist")),
        ("Corporate actions", "call_split", ("marketdata", "corporateaction")),
        ("Bar files", "database", ("marketdata", "barfile")),
        ("Imports", "upload_file", ("marketdata", "barimport")),
        ("Live tape", "timeline", ("marketdata", "bar")),
    ),
    "Loading from IB": (
        ("Load plans", "event_repeat", ("marketdata", "loadplan")),
        ("Loads", "cloud_download", ("marketdata", "loadrun")),
        ("Fetches", "swap_vert", ("marketdata", "fetch")),
        ("Questions to IB", "help", ("marketdata", "gatewayquestion")),
        ("Request lengths", "straighten", ("marketdata", "requestlength")),
        ("Request budget", "speed", ("marketdata", "pacingbudget")),
        ("Requests of ten minutes", "hourglass_top", ("marketdata", "pacingslot")),
    ),
    "Truth of data": (
        ("Halts", "pause_circle", ("marketdata", "halt")),
        ("Proven ranges", "verified", ("marketdata", "provenrange")),
        ("Beginnings of histories", "first_page", ("marketdata", "headtime")),
        ("Instrument details", "info", ("marketdata", "instrumentdetails")),
        ("Restatements", "published_with_changes", ("marketdata", "restatement")),
        ("Quality notes", "fact_check", ("marketdata", "qualitynote")),
        ("Tape checks", "compare_arrows", ("marketdata", "tapecheck")),
    ),
    "Research": (
        ("Strategy configurations", "tune", ("strategies", "strategyconfig")),
        ("Risk profiles", "shield", ("strategies", "riskprofile")),
        ("Backtests", "science", ("strategies", "backtest")),
        ("Scheduled backtests", "event_repeat", ("strategies", "scheduledbacktest")),
        ("Reports", "lab_profile", ("reports", "report")),
    ),
    "Trading": (
        ("Kill switch", "front_hand", ("execution", "killswitch")),
        ("Positions", "account_balance_wallet", ("execution", "position")),
        ("Orders", "receipt_long", ("execution", "order")),
        ("Fills", "done_all", ("execution", "fill")),
        ("Accounts", "account_balance", ("execution", "account")),
        ("Account values", "monitoring", ("execution", "accountvalue")),
    ),
    "Watch": (
        ("Alerts", "notifications", ("reports", "alert")),
        ("Gateway connections", "cable", ("tradingsite", "gatewaylink")),
        ("Leases", "key_vertical", ("tradingsite", "lease")),
        ("Signs of life", "ecg_heart", ("tradingsite", "heartbeat")),
        ("Background ticks", "schedule", ("django_celery_beat", "periodictask")),
        ("Changes of configuration", "history", ("tradingsite", "configchange")),
    ),
    "People": (
        ("Users", "person", ("auth", "user")),
        ("Roles", "group", ("auth", "group")),
        ("API tokens", "key", ("tradingsite", "apitoken")),
        ("Second factors", "phonelink_lock", ("otp_totp", "totpdevice")),
        ("Recovery codes", "pin", ("otp_static", "staticdevice")),
        ("Failed logins", "gpp_maybe", ("axes", "accessattempt")),
    ),
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The sections with what this person may view and the site shows."""
    groups: list[dict[str, Any]] = [
        {"items": [{"title": "Back to the desk", "icon": "arrow_back", "link": "/", "active": False}]}
    ]
    for title, entries in SECTIONS.items():
        items = []
        for name, icon, (app, model) in entries:
            if request.user.has_perm(f"{app}.view_{model}"):
                with suppress(NoReverseMatch):  # a site of fewer models
                    items.append({"title": name, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")})
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups
