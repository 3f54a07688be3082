"""Addresses of the pages."""

from django.urls import path

from reports.pages import dashboard, favicon, halts, health, imports, instruments, runs, search, watchlists

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("favicon.ico", favicon.favicon),
    path("search/", search.search, name="search"),
    path("halts/", halts.engage_switch, name="halt_engage"),
    path("halts/<int:pk>/release/", halts.release_switch, name="halt_release"),
    path("alerts/seen/", halts.mark_seen, name="alerts_seen"),
    path("instruments/", instruments.instrument_list, name="instruments"),
    path("watchlists/", watchlists.watchlist_list, name="watchlists"),
    path("watchlists/new/", watchlists.watchlist_new, name="watchlist_new"),
    path("watchlists/<int:pk>/", watchlists.watchlist_detail, name="watchlist"),
    path("watchlists/<int:pk>/edit/", watchlists.watchlist_edit, name="watchlist_edit"),
    path("imports/new/", imports.import_new, name="import_new"),
    path("runs/", runs.run_list, name="runs"),
    path("runs/<slug:kind>/<uuid:pk>/", runs.run_detail, name="run"),
    path("runs/<slug:kind>/<uuid:pk>/cancel/", runs.run_cancel, name="run_cancel"),
    path("runs/<slug:kind>/<uuid:pk>/retry/", runs.run_retry, name="run_retry"),
    path("health/", health.health, name="health"),
]
