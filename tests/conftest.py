"""No test fails for being slow: other work shares the machine. A failing random test prints how to repeat it."""

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None, print_blob=True)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _no_beats_inside_a_transaction(request, monkeypatch):
    """A run's watching thread has a connection of its own, which on a server does not see the transaction of a test:
    it would take the run for lost. Tests of the beats themselves set them."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        from tradingsite import attempts

        monkeypatch.setattr(attempts, "BEAT_SECONDS", 600.0)
