"""Static files that lie inside packages: one file each, not the whole folder (plotly's is 25 MB)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage

from domain.errors import BadInput

PLOTLY = "ibdesk/plotly.min.js"


def plotly_script() -> Path:
    """plotly.js as its Python package carries it; found without importing the package, which takes a second."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        raise BadInput("the package plotly is not installed; reports draw with the plotly.min.js that it carries")
    return Path(spec.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


class _Folder(FileSystemStorage):
    prefix = str(Path(PLOTLY).parent)


class PlotlyFinder(BaseFinder):
    """Serves plotly.min.js under PLOTLY."""

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = [str(plotly_script())] if path == PLOTLY else []
        if find_all:
            return found
        return found[0] if found else []

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        script = plotly_script()
        yield script.name, _Folder(location=str(script.parent))
