"""Addresses of the pages."""

from django.urls import path

from reports.pages import search

urlpatterns = [
    path("search/", search.search, name="search"),
]
