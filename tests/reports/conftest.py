import pytest

from tradingsite.health import Check


@pytest.fixture
def healthy(monkeypatch) -> None:
    """The health page's questions answered at once: they ask the world, each in a thread with a deadline, which a slow
    machine misses."""
    monkeypatch.setattr("reports.pages.health.checks", lambda: [Check("database", True, "answers")])
