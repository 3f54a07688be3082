from pathlib import Path

import pytest

from strategies import registry
from tests.strategies import make


@pytest.fixture
def places(tmp_path: Path, settings) -> Path:
    """Empty folders for bars, runs and plugins."""
    settings.BARS_URL = str(tmp_path / "bars")
    settings.RUNS_DIR = tmp_path / "runs"
    settings.PLUGINS_DIR = tmp_path / "plugins"
    return tmp_path


@pytest.fixture
def market(db, places: Path) -> Path:
    """Two daily instruments, ABC and XYZ, of 2019 and 2020."""
    make.instrument("ABC", make.bars(seed=1))
    make.instrument("XYZ", make.bars(seed=2))
    return places


@pytest.fixture
def known(monkeypatch):
    """The registry with the library alone; what a test adds is gone after it."""
    registry.load()
    for name in ("_entries", "_clashes", "_loaded"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())
    return registry
