"""Addresses of the pages."""

from django.urls import path

from reports.pages import backtest, backtests, comparing, instrument, newbacktest, search

urlpatterns = [
    path("search/", search.search, name="search"),
    path("instruments/<int:pk>/", instrument.instrument, name="instrument"),
    path("instruments/<int:pk>/coverage/", instrument.coverage_map, name="instrument_coverage"),
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
]
