from pathlib import Path

import pytest


@pytest.fixture
def bars_root(tmp_path: Path, settings) -> Path:
    """An empty bar store; returns its folder."""
    settings.BARS_URL = str(tmp_path / "bars")
    return tmp_path / "bars"


@pytest.fixture
def give(tmp_path: Path):
    """Writes a file of this text or these bytes; returns its path."""

    def write(text: str | bytes, name: str = "SPY.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write
