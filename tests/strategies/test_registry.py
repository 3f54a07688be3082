import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import BadInput, UnknownName
from domain.strategy import Strategy

PLUGIN = """
from domain import strategy
from strategies.registry import register

@register
class {title}(strategy.Strategy):
    name = "{name}"
    def on_bar(self, context):
        return None
"""


def plugin(folder: Path, stem: str, text: str = PLUGIN, name: str = "") -> Path:
    path = folder / f"{stem}.py"
    path.write_text(text.format(name=name or stem, title=stem.title()))
    return path


def test_the_library_is_known(known):
    assert {"ma_crossover", "momentum", "breakout", "mean_reversion"} <= set(known.entries())
    assert known.get("momentum").name == "momentum"


def test_an_unknown_name_suggests_the_nearest(known):
    with pytest.raises(UnknownName, match="did you mean 'momentum'"):
        known.get("momentun")


def test_a_dotted_path_is_only_an_unknown_name(known):
    with pytest.raises(UnknownName):
        known.get("os.system")


def test_files_in_the_plugins_folder_are_loaded_and_their_tests_are_not(known, tmp_path):
    path = plugin(tmp_path, "mine")
    plugin(tmp_path, "test_mine", "raise RuntimeError('a test must not be loaded')")
    assert known.load(tmp_path) == []
    assert known.entries()["mine"].source == str(path)
    again = known.get("mine")
    known.load(tmp_path)
    assert known.get("mine") is again


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name' (line 1)"),
        ("x = 1\ny = x / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (PLUGIN.replace('"{name}"', '"Not A Name"'), "name 'Not A Name' must be lower-case"),
        (PLUGIN.replace("on_bar", "on_tick"), "neither signals() nor on_bar()"),
        (PLUGIN + "\nraise RuntimeError('too late')", "RuntimeError: too late"),
    ],
)
def test_a_broken_plugin_is_reported_and_the_others_still_load(known, tmp_path, text, error):
    plugin(tmp_path, "alpha")
    broken = plugin(tmp_path, "broken", text)
    plugin(tmp_path, "omega")
    (fault,) = known.load(tmp_path)
    assert fault.source == str(broken)
    assert error in fault.error
    assert {"alpha", "omega"} <= set(known.entries())
    assert "broken" not in known.entries()


def test_a_mended_plugin_loads_the_next_time(known, tmp_path):
    plugin(tmp_path, "mine", "1 / 0")
    assert known.load(tmp_path)
    plugin(tmp_path, "mine")
    assert known.load(tmp_path) == []
    assert "mine" in known.entries()


def test_two_sources_of_one_name_are_an_error_that_names_both(known, tmp_path):
    path = plugin(tmp_path, "mine", name="momentum")
    (fault,) = known.load(tmp_path)
    with pytest.raises(BadInput) as error:
        known.get("momentum")
    for text in (fault.error, str(error.value)):
        assert str(path) in text
        assert known.entries()["momentum"].source in text
    path.unlink()
    assert known.load(tmp_path) == []
    assert known.get("momentum").__module__ == "strategies.library.momentum"


def test_entry_points_are_loaded_and_a_broken_one_is_reported(known, monkeypatch):
    class FromPackage(Strategy):
        name = "from_package"

        def on_bar(self, context):
            return None

    class Point:
        def __init__(self, name, found):
            self.name, self.value, self.found = name, f"package:{name}", found

        def load(self):
            if self.found is None:
                raise ImportError("gone")
            return self.found

    monkeypatch.setattr(known, "entry_points", lambda group: [Point("good", FromPackage), Point("bad", None)])
    (fault,) = known.load()
    assert (fault.source, fault.error) == ("entry point bad = package:bad", "ImportError: gone")
    assert known.get("from_package") is FromPackage


def test_the_registry_needs_no_django():
    code = "import sys; from strategies import registry; registry.load(); assert 'django' not in sys.modules"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=60)
