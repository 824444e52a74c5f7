"""`load_dotenv`: real files, read as python-dotenv documents it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from intccms.utils.tools import load_dotenv

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What a test sets is gone after it."""
    before = dict(os.environ)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED", raising=False)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def loaded(folder: Path, text: str) -> dict[str, str]:
    """Return the variables that a file adds."""
    before = dict(os.environ)
    (folder / ".env").write_text(text)
    load_dotenv(folder / ".env")
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


LINES = {
    "plain": ("T_A=b c", {"T_A": "b c"}),
    "spaces around": ("  T_A  =  b  ", {"T_A": "b"}),
    "single quotes, without escapes": (r"T_A='a\nb $T # c'", {"T_A": r"a\nb $T # c"}),
    "an escaped single quote": (r"T_A='it\'s'", {"T_A": "it's"}),
    "double quotes with escapes": (r'T_A="a\nb\t\"c\" \\"', {"T_A": 'a\nb\t"c" \\'}),
    "several lines": ('T_A="first\nsecond"\nT_B=x', {"T_A": "first\nsecond", "T_B": "x"}),
    "an escape without quotes is none": (r"T_A=a\nb", {"T_A": r"a\nb"}),
    "comments": ("# T_C=1\nT_A=b # c\nT_B='b#c' # d\n#", {"T_A": "b", "T_B": "b#c"}),
    "a hash inside a word": ("T_A=b#c", {"T_A": "b#c"}),
    "export": ("export T_A=b\nexport T_B='c'", {"T_A": "b", "T_B": "c"}),
    "empty values": ("T_A=\nT_B=''", {"T_A": "", "T_B": ""}),
    "a name alone sets nothing": ("T_A\nT_B=c", {"T_B": "c"}),
    "an equals sign in the value": ("T_A=b=c==", {"T_A": "b=c=="}),
    "a value of base64 and slashes": ("T_A=wJalr/XUtn+FEMI/K7MDENG==", {"T_A": "wJalr/XUtn+FEMI/K7MDENG=="}),
    # unlike a shell, in single quotes too
    "interpolation": (
        "T_A=x\nT_B=${T_A}/y\nT_C=${T_NONE:-z}\nT_D=$T_A\nT_E='${T_A}'\nT_F=${T_NONE}",
        {"T_A": "x", "T_B": "x/y", "T_C": "z", "T_D": "$T_A", "T_E": "x", "T_F": ""},
    ),
    "the last of several": ("T_A=b\nT_A=c", {"T_A": "c"}),
    "a line that is none": ("T_A=b\n= ? !\nT_B=c", {"T_A": "b", "T_B": "c"}),
    "ends of lines of Windows": ("T_A=b\r\nT_B='c'\r\n", {"T_A": "b", "T_B": "c"}),
}


@pytest.mark.parametrize("case", LINES)
def test_lines_mean_what_python_dotenv_says(case, tmp_path):
    """Expected values follow the documentation of python-dotenv ("File format", "Variable expansion")."""
    text, expected = LINES[case]
    assert loaded(tmp_path, text) == expected


def test_variables_that_are_set_win_also_in_what_refers_to_them(tmp_path, monkeypatch):
    monkeypatch.setenv("T_SET", "before")
    assert loaded(tmp_path, "T_SET=after\nT_NEW=${T_SET}!") == {"T_NEW": "before!"}
    assert os.environ["T_SET"] == "before"


def test_a_variable_that_is_set_to_nothing_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("T_SET", "")
    assert loaded(tmp_path, "T_SET=after") == {}


def test_whether_there_was_a_file_with_variables_is_returned(tmp_path):
    assert load_dotenv(tmp_path / "absent") is False
    (tmp_path / "empty").write_text("# nothing\n")
    assert load_dotenv(tmp_path / "empty") is False
    (tmp_path / "full").write_text("T_A=b")
    assert load_dotenv(str(tmp_path / "full")) is True
    assert load_dotenv(tmp_path / "full") is True


def test_by_default_it_is_the_file_of_the_current_folder_or_of_the_nearest_above(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("T_A=project")
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "deep")
    assert load_dotenv()
    assert os.environ.pop("T_A") == "project"
    Path(".env").write_text("T_A=here")
    assert load_dotenv()
    assert os.environ["T_A"] == "here"


def test_without_any_file_nothing_happens(monkeypatch):
    monkeypatch.chdir("/")
    assert load_dotenv() is False


def test_the_values_are_not_logged(tmp_path, caplog):
    with caplog.at_level("DEBUG", logger="intccms"):
        loaded(tmp_path, "T_A=not-for-logs")
    assert str(tmp_path) in caplog.text
    assert "not-for-logs" not in caplog.text


def test_it_can_be_switched_off_as_python_dotenv_can(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "1")
    assert loaded(tmp_path, "T_A=b") == {}


def test_a_cell_of_a_notebook_finds_the_file_of_its_project(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    (tmp_path / ".env").write_text("T_NOTEBOOK='from the project'\n")
    (tmp_path / "notebooks").mkdir()
    source = "from intccms.utils.tools import load_dotenv\nload_dotenv()"
    cells = [
        nbformat.v4.new_code_cell(source),
        nbformat.v4.new_code_cell("import os; os.environ['T_NOTEBOOK']"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(tmp_path / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    shown = [cell.outputs[-1]["data"]["text/plain"] for cell in notebook.cells]
    assert shown == ["True", "'from the project'"]


def test_the_command_line_reads_it_before_anything_looks_at_the_variables(tmp_path):
    (tmp_path / ".env").write_text("INTCCMS_PATIENCE=17\n")
    (tmp_path / "conf.py").write_text(
        "from intccms.utils.patience import PATIENCE\n"
        "config = {'datasets': {'datasets': [{'name': f'waits_{PATIENCE:.0f}', 'files': ['a.root'],"
        " 'is_data': True}]}, 'channels': [{'name': 'c'}]}\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "INTCCMS_PATIENCE"}
    done = subprocess.run(
        [sys.executable, "-m", "intccms", "config", "show", "conf.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "waits_17" in done.stdout


class TestExample:
    """`.env.example`, as it is and with its lines filled in."""

    def test_a_copy_of_it_sets_nothing(self, tmp_path):
        assert loaded(tmp_path, EXAMPLE.read_text()) == {}

    def test_every_line_can_be_filled_in(self, tmp_path):
        names = re.findall(r"^#(\w+)=$", EXAMPLE.read_text(), flags=re.MULTILINE)
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} <= set(names)
        for name in names:
            os.environ.pop(name, None)
        text = re.sub(r"^#(\w+)=$", r"\1=value-of-\1", EXAMPLE.read_text(), flags=re.MULTILINE)
        assert loaded(tmp_path, text) == {name: f"value-of-{name}" for name in names}

    def test_it_holds_no_values(self):
        lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("# ")]
        assert all(re.fullmatch(r"#\w+=", line) for line in lines)
