"""Configurations are found by name, by file, by folder and in memory; what goes wrong there keeps its cause."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import Config, load_config
from intccms.schema.loading import config_modules, is_users
from tests.configurations import minimal

pytestmark = pytest.mark.usefixtures("clean_imports")

TEXT = """
from {module} import cut

def selection(met):
    return met > cut

config = {{
    "general": {{"lumi": {lumi}}},
    "datasets": {{"datasets": [{{"name": "tt", "files": ["a.root"], "cross_sections": [1.0]}}]}},
    "channels": [{{"name": "SR", "selection": {{"function": selection, "use": [("MET", "pt")]}}}}],
}}
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def analysis(folder: Path, *, lumi: float, cut: float, module: str = "cuts") -> Path:
    """Write a config.py with a neighbour that it imports."""
    write(folder / f"{module}.py", f"cut = {cut}\n")
    return write(folder / "config.py", TEXT.format(module=module, lumi=lumi))


def selects(config: Config, met: float) -> bool:
    selection: Any = config.channels[0].selection
    return bool(selection.function(met))


def test_a_dict_and_a_config_are_taken_as_they_are():
    assert load_config(minimal()).general.lumi == 1000.0
    assert load_config(Config(**minimal()), ["general.lumi=7"]).general.lumi == 7.0


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_is_loaded_with_its_neighbours_from_anywhere(tmp_path, as_text):
    path = analysis(tmp_path / "with space", lumi=5.0, cut=30)
    config = load_config(str(path) if as_text else path, ["general.workers=2"])
    assert (config.general.lumi, config.general.workers) == (5.0, 2)
    assert (selects(config, 31), selects(config, 29)) == (True, False)
    assert config.source == str(path)
    assert config.overrides == ("general.workers=2",)


def test_a_relative_path_is_loaded(tmp_path, monkeypatch):
    analysis(tmp_path / "mine", lumi=5.0, cut=30)
    monkeypatch.chdir(tmp_path)
    assert load_config("mine/config.py").general.lumi == 5.0


def test_a_module_in_the_current_folder_is_found_by_name(tmp_path, monkeypatch):
    analysis(tmp_path, lumi=6.0, cut=30)
    (tmp_path / "config.py").rename(tmp_path / "my_search.py")
    monkeypatch.chdir(tmp_path)
    assert load_config("my_search").general.lumi == 6.0


def test_a_package_is_found_by_its_folder_by_a_file_in_it_and_by_name(tmp_path, monkeypatch):
    package = tmp_path / "example_search"
    analysis(package, lumi=7.0, cut=30, module="cuts_of_package")
    config = (package / "config.py").read_text()
    write(package / "config.py", config.replace("from cuts_of_package", "from .cuts_of_package"))
    write(package / "__init__.py", "from .config import config\n")
    monkeypatch.chdir(tmp_path)
    sources = [package, str(package), package / "config.py", "example_search", "example_search.config"]
    assert [load_config(source).general.lumi for source in sources] == [7.0] * 5


def test_the_demo_is_found_by_its_name():
    assert {one.process for one in load_config("demo").selected_datasets()} > {"signal", "data"}


def test_two_files_of_one_name_do_not_get_mixed_up_in_either_order(tmp_path):
    one = analysis(tmp_path / "one", lumi=1.0, cut=10)
    two = analysis(tmp_path / "two", lumi=2.0, cut=20)
    first = load_config(one)
    found = [first, load_config(two), load_config(one), load_config(two)]
    assert [config.general.lumi for config in found] == [1.0, 2.0, 1.0, 2.0]
    assert [selects(config, 15) for config in found] == [True, False, True, False]
    assert selects(first, 15)


def test_a_changed_file_or_neighbour_counts_when_it_is_loaded_again(tmp_path):
    path = analysis(tmp_path, lumi=1.0, cut=10)
    assert load_config(path).general.lumi == 1.0
    text = path.read_text().replace("1.0}", "25.0}", 1)
    write(path, text)
    assert load_config(path).general.lumi == 25.0
    write(tmp_path / "cuts.py", "cut = 1000\n")
    assert not selects(load_config(path), 15)


def test_modules_that_a_configuration_does_not_use_are_left_alone(tmp_path, monkeypatch):
    path = analysis(tmp_path, lumi=1.0, cut=10)
    bystander = write(tmp_path / "bystander_of_config.py", "x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("bystander_of_config")
    load_config(path)
    write(bystander, "x = 1000\n")
    write(path, path.read_text().replace("1.0}", "25.0}", 1))
    assert load_config(path).general.lumi == 25.0
    assert sys.modules["bystander_of_config"] is module


def test_a_changed_module_that_was_imported_before_the_configuration_counts_too(tmp_path, monkeypatch):
    path = analysis(tmp_path, lumi=1.0, cut=10)
    write(
        path,
        path.read_text().replace("from cuts import cut\n", "import cuts\n").replace("> cut", "> cuts.cut"),
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("cuts")
    assert selects(load_config(path), 15)
    write(tmp_path / "cuts.py", "cut = 1000\n")
    assert not selects(load_config(path), 15)


def test_a_file_that_did_not_change_is_not_run_again(tmp_path):
    counter = tmp_path / "runs.txt"
    path = analysis(tmp_path, lumi=1.0, cut=10)
    write(path, path.read_text() + f"\nwith open({str(counter)!r}, 'a') as file:\n    file.write('x')\n")
    load_config(path)
    load_config(path)
    assert counter.read_text() == "x"


@pytest.mark.parametrize(
    ("text", "cause", "words"),
    [
        (
            "raise RuntimeError('no grid proxy')",
            RuntimeError,
            r"RuntimeError: no grid proxy \(.*config.py, line 1\)",
        ),
        (
            "\n\nimport no_such_module_here",
            ModuleNotFoundError,
            r"No module named 'no_such_module_here'.*line 3\)",
        ),
        ("config = {", SyntaxError, r"SyntaxError: .*line 1"),
        ("\nconfig = [][0]", IndexError, r"IndexError: list index out of range \(.*config.py, line 2\)"),
    ],
    ids=["raises", "missing import", "syntax", "index"],
)
def test_a_module_that_raises_is_a_config_error_with_the_place_and_the_cause(tmp_path, text, cause, words):
    path = write(tmp_path / "config.py", text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value.__cause__, cause)


def test_a_module_that_raises_is_read_again_once_it_is_mended(tmp_path):
    path = write(tmp_path / "config.py", "raise RuntimeError")
    with pytest.raises(ConfigError, match="RuntimeError"):
        load_config(path)
    analysis(tmp_path, lumi=3.0, cut=1)
    assert load_config(path).general.lumi == 3.0


@pytest.mark.parametrize(
    ("text", "given"),
    [("", "none"), ("config = 3", "int"), ("config = ['x']", "list"), ("Config = {}", "none")],
)
def test_a_module_without_a_usable_config_is_refused(tmp_path, text, given):
    path = write(tmp_path / "config.py", text)
    with pytest.raises(ConfigError, match=rf"must expose 'config', a dict or a Config, but has {given}"):
        load_config(path)


@pytest.mark.parametrize(
    "source", ["no_such_module_here", "no.such.module", "missing.py", "folder/missing", "demoo", ""]
)
def test_a_source_that_does_not_exist_is_refused_with_what_may_be_given(source):
    with pytest.raises(ConfigError, match=r"no configuration .*Give a module, a .py file, or 'demo'"):
        load_config(source)


def test_a_folder_that_is_no_package_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration file .*__init__.py"):
        load_config(tmp_path)


@pytest.mark.parametrize("name", ["json", "pydantic"])
def test_a_file_with_the_name_of_an_installed_module_is_refused_and_the_module_survives(tmp_path, name):
    module = sys.modules[name]
    path = analysis(tmp_path, lumi=1.0, cut=1).rename(tmp_path / f"{name}.py")
    with pytest.raises(ConfigError, match=rf"the module name '{name}' is taken by .*Rename"):
        load_config(path)
    assert sys.modules[name] is module


def test_the_users_modules_are_those_of_the_functions_and_none_that_are_installed(tmp_path):
    path = analysis(tmp_path, lumi=1.0, cut=10)
    config = load_config(
        path, ["preprocess.skimming.function=numpy:isfinite", "preprocess.skimming.use=[('a','b')]"]
    )
    assert [module.__name__ for module in config_modules(config)] == ["config"]
    assert [is_users(sys.modules[name]) for name in ("os", "numpy", "intccms.schema", "config")] == [
        False,
        False,
        False,
        True,
    ]


def test_an_invalid_configuration_in_a_module_names_the_field(tmp_path):
    path = analysis(tmp_path, lumi=-1.0, cut=1)
    with pytest.raises(ConfigError, match=r"general.lumi: should be greater than 0, not -1.0"):
        load_config(path)


def test_a_configuration_loaded_while_the_folder_is_not_the_current_one_leaves_it_alone(tmp_path):
    before = Path.cwd()
    load_config(analysis(tmp_path, lumi=1.0, cut=1))
    assert Path.cwd() == before
    assert os.fspath(tmp_path) in sys.path


def test_a_name_that_begins_with_a_dot_is_none_of_a_module():
    with pytest.raises(ConfigError, match=r"no configuration '\.py'"):
        load_config(".py")


def test_one_override_may_be_given_as_text(configuration):
    assert load_config(configuration, "general.lumi=3").general.lumi == 3
