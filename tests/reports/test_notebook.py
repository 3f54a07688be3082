"""The notebook is valid, the same for the same run, and runs to its end beside the ledgers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.errors import BadInput
from reports.notebook import write_notebook
from tests.reports.factory import edit_summary, make_run


def test_a_notebook_is_valid_and_the_same_each_time(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    run = make_run(tmp_path)
    path = write_notebook(run)
    first = path.read_bytes()
    assert path == run / "report.ipynb"
    nbformat.validate(nbformat.read(path, as_version=4))
    assert write_notebook(run).read_bytes() == first
    assert not list(run.glob("*.partial"))


def test_a_hostile_name_is_plain_text_in_the_notebook(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    edit_summary(run, strategy={"name": "<img src=x onerror=alert(1)>\n# Other", "params": {}})
    title = json.loads(write_notebook(run).read_bytes())["cells"][0]["source"]
    assert title[0] == "# \\<img src\\=x onerror\\=alert\\(1\\)\\> \\# Other: a backtest\n"


def test_a_directory_without_summary_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"summary\.json is missing"):
        write_notebook(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [{"bars": 300}, {"bars": 1, "instruments": ("AAPL",)}, {"bars": 500, "timeframe": "1m"}]
)
def test_the_notebook_runs_to_its_end(tmp_path: Path, case: dict[str, object]) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    run = make_run(tmp_path, **case)  # type: ignore[arg-type]
    notebook = nbformat.read(write_notebook(run), as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(run)}})
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    figures = [output for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(figures) == 2
