from pathlib import Path

import pytest


@pytest.fixture
def bars_root(tmp_path: Path, settings) -> Path:
    """An empty bar store; returns its folder."""
    settings.BARS_URL = str(tmp_path / "bars")
    return tmp_path / "bars"
