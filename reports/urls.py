"""Addresses of the pages."""

from django.urls import path

from reports.pages import instrument, search

urlpatterns = [
    path("search/", search.search, name="search"),
    path("instruments/<int:pk>/", instrument.instrument, name="instrument"),
    path("instruments/<int:pk>/coverage/", instrument.coverage_map, name="instrument_coverage"),
    path("backtests/new/", search.search, name="backtest_new"),
]
