"""Addresses of the pages."""

from django.urls import path

from reports.pages import (
    backtest,
    backtests,
    comparing,
    coveragemap,
    dashboard,
    favicon,
    halts,
    health,
    imports,
    instrument,
    instruments,
    loads,
    newbacktest,
    runs,
    search,
    watchlists,
)

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("favicon.ico", favicon.favicon),
    path("search/", search.search, name="search"),
    path("halts/", halts.engage_switch, name="halt_engage"),
    path("halts/<int:pk>/release/", halts.release_switch, name="halt_release"),
    path("alerts/seen/", halts.mark_seen, name="alerts_seen"),
    path("instruments/", instruments.instrument_list, name="instruments"),
    path("instruments/<int:pk>/", instrument.instrument, name="instrument"),
    path("instruments/<int:pk>/coverage/", coveragemap.coverage_map, name="instrument_coverage"),
    path("instruments/<int:pk>/load/", loads.load_instrument, name="instrument_load"),
    path("watchlists/", watchlists.watchlist_list, name="watchlists"),
    path("watchlists/new/", watchlists.watchlist_new, name="watchlist_new"),
    path("watchlists/<int:pk>/", watchlists.watchlist_detail, name="watchlist"),
    path("watchlists/<int:pk>/edit/", watchlists.watchlist_edit, name="watchlist_edit"),
    path("imports/new/", imports.import_new, name="import_new"),
    path("backtests/", backtests.backtests, name="backtests"),
    path("backtests/open/", backtests.open_rows, name="backtests_open"),
    path("backtests/selected/", backtests.selected, name="backtests_selected"),
    path("backtests/compare/", comparing.compare, name="backtest_compare"),
    path("backtests/new/", newbacktest.new, name="backtest_new"),
    path("backtests/<str:run_id>/", backtest.backtest, name="backtest"),
    path("backtests/<str:run_id>/report/", backtest.report, name="backtest_report"),
    path("backtests/<str:run_id>/files/<str:name>", backtest.download, name="backtest_file"),
    *[
        path(f"backtests/<str:run_id>/{action}/", backtest.steer, {"action": action}, name=f"backtest_{action}")
        for action in backtest.ACTIONS
    ],
    path("runs/", runs.run_list, name="runs"),
    path("runs/<slug:kind>/<uuid:pk>/", runs.run_detail, name="run"),
    path("runs/<slug:kind>/<uuid:pk>/cancel/", runs.run_cancel, name="run_cancel"),
    path("runs/<slug:kind>/<uuid:pk>/retry/", runs.run_retry, name="run_retry"),
    path("health/", health.health, name="health"),
]
