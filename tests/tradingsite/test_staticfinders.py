"""plotly.js is served as one file, and nothing imports plotly for it."""

import subprocess
import sys
from pathlib import Path

from django.contrib.staticfiles import finders

from tradingsite.staticfinders import PLOTLY, PlotlyFinder


def test_the_script_is_found_by_its_name_and_nothing_else_is():
    assert Path(finders.find(PLOTLY)).name == "plotly.min.js"
    assert PlotlyFinder().find("ibdesk/other.js") == []
    assert PlotlyFinder().find(PLOTLY, find_all=True) == [finders.find(PLOTLY)]


def test_it_is_collected_alone_under_its_name():
    ((name, storage),) = PlotlyFinder().list(None)
    assert f"{storage.prefix}/{name}" == PLOTLY
    with storage.open(name) as file:
        assert len(file.read()) > 1_000_000


def test_finding_it_imports_nothing_of_plotly():
    code = """import sys; from tradingsite import staticfinders
staticfinders.plotly_script(); print("plotly" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
