"""The code of intccms that reaches a result: nothing that is imported is left out, nothing else counts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from intccms.errors import ConfigError
from intccms.schema.digest import own, own_closure, own_code

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSOR = "intccms.analysis.processor"

# Packages that only lie on the way are made empty, so that what Python then imports is what the modules ask for;
# something asked of an empty package would fail.
IMPORT = """
import importlib, json, sys, types
from pathlib import Path
root, target, *empty = sys.argv[1:]
for name in empty:
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [str(Path(root).parent.joinpath(*name.split(".")))]
importlib.import_module(target)
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "intccms" and name not in empty]))
"""


@pytest.mark.parametrize("module", [PROCESSOR, "intccms.selection.lumimask", "intccms.histograms.fill"])
def test_the_closure_holds_every_module_that_python_imports(module: str) -> None:
    closure = own_closure((module,))
    on_the_way = sorted({name for one in closure for name in _packages_above(one)} - closure)
    run = subprocess.run(
        [sys.executable, "-c", IMPORT, str(own.ROOT), module, *on_the_way],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stdout))
    assert module in loaded
    assert loaded <= closure


def _packages_above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def test_the_closure_of_the_processor_holds_what_fills_histograms() -> None:
    closure = own_closure((PROCESSOR,))
    assert {PROCESSOR, "intccms.histograms.fill", "intccms.selection.masks", "intccms.errors"} <= closure
    assert "intccms.analysis.runner" not in closure
    assert "intccms.cli" not in closure


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that writes modules of a package in the place of intccms."""
    root = tmp_path / "intccms"
    monkeypatch.setattr(own, "ROOT", root)
    monkeypatch.setattr(own, "_known", {})
    monkeypatch.setattr(own, "_paths", {})

    def write(**modules: str) -> None:
        for name, text in modules.items():
            path = root.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            (path.parent / "__init__.py").touch()

    write(
        a__first="from typing import TYPE_CHECKING\nimport numpy\nfrom intccms.b import second\nfrom . import near\n"
        "if TYPE_CHECKING:\n    from intccms.c.types import T\nelse:\n    import intccms.c.running\n"
        "def f(x):\n    try:\n        from ..c.late import g\n    except ImportError:\n        pass\n    return g(x)\n",
        a__near="NEAR = 1\n",
        a__unused="import intccms.a.first\n",
        b__second="import intccms.a.first\nfrom intccms.b.third import PT\n",
        b__third="PT = 30\n",
        c__late="def g(x):\n    return x\n",
        c__running="R = 1\n",
        c__types="T = int\n",
    )
    return write


ENTRY = ("intccms.a.first",)


def test_imports_of_every_kind_are_followed_but_those_for_type_checking(package: Callable[..., None]) -> None:
    # by hand from the modules above; 'intccms.a' and 'intccms.b' are imported from by name
    assert own_closure(ENTRY) == {
        "intccms.a",
        "intccms.a.first",
        "intccms.a.near",
        "intccms.b",
        "intccms.b.second",
        "intccms.b.third",
        "intccms.c.late",
        "intccms.c.running",
    }


CHANGES = {
    "constant in another module": ({"b__third": "PT = 31\n"}, True),
    "function that is imported late": ({"c__late": "def g(x):\n    return -x\n"}, True),
    "new import": ({"b__third": "from intccms.c.types import T\nPT = 30\n"}, True),
    "comment": ({"b__third": "# pt [GeV]\nPT = 30  # loose\n"}, False),
    "docstrings": ({"c__late": '"""Late."""\ndef g(x):\n    """Return it."""\n    return x\n'}, False),
    "annotations": ({"c__late": "def g(x: int) -> int:\n    return x\n"}, False),
    "layout": ({"c__late": "\n\n\ndef g(\n    x,\n):\n    return (x)\n"}, False),
    "module that is not imported": ({"a__unused": "X = 1\n"}, False),
    "module for type checking": ({"c__types": "T = float\n"}, False),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_code_changes_with_what_runs(change: str, package: Callable[..., None]) -> None:
    before = own_code(ENTRY)
    modules, counts = CHANGES[change]
    package(**modules)
    assert (own_code(ENTRY) != before) is counts


def test_another_module_for_type_checking_is_no_change(package: Callable[..., None]) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import intccms.{0}\ndef g(x):\n    return x\n"
    package(c__late=text.format("c.types"))
    before = own_code(ENTRY)
    package(c__late=text.format("a.unused"))
    assert own_code(ENTRY) == before


def test_what_is_exempt_does_not_count_and_what_it_imports_does(package: Callable[..., None]) -> None:
    exempt = ("intccms.b.second", "intccms.c")
    before = own_code(ENTRY, exempt)
    package(b__second="import intccms.a.first\nfrom intccms.b.third import PT\nX = 1\n", c__late="g = 1\n")
    assert own_code(ENTRY, exempt) == before
    package(b__third="PT = 31\n")
    assert own_code(ENTRY, exempt) != before
    assert own_code(ENTRY, ("intccms.b.sec",)) == own_code(ENTRY), (
        "a prefix is a name of a module, not a text"
    )


def test_a_module_that_does_not_exist_is_an_error_that_names_it() -> None:
    for name in ("intccms.analysis.procesor", "numpy"):
        with pytest.raises(ConfigError, match=f"the code of '{name}': .* holds no such module"):
            own_code((name,))


def test_a_module_that_cannot_be_read_any_more_is_an_error(package: Callable[..., None]) -> None:
    own_code(ENTRY)
    package(b__third="PT = (\n")
    with pytest.raises(ConfigError, match=r"'intccms\.b\.third': .*third\.py cannot be read"):
        own_code(ENTRY)
    (own.ROOT / "b" / "third.py").unlink()
    with pytest.raises(ConfigError, match=r"'intccms\.b\.third'"):
        own_code(ENTRY)


SESSION = """
import importlib, json, os, sys
from pathlib import Path
sys.dont_write_bytecode = True
import intccms.schema.explain as module
from intccms.errors import ConfigError
from intccms.schema.digest import own_code

def attempt():
    try:
        return own_code(("intccms.schema.explain",))
    except ConfigError as exc:
        return str(exc)

path = Path(module.__file__)
assert str(path).startswith(sys.argv[1]), path
text = path.read_text()
found = []
if "digest first" in sys.argv:
    found.append(attempt())
for edited in ("# a note\\n" + text + "# another\\n", text.replace("def did_you_mean(", "def did_you_mean(_=0, *,", 1)):
    assert edited != text
    path.write_text(edited)
    found.append(attempt())
importlib.reload(module)
found.append(attempt())
print(json.dumps(found))
"""


@pytest.mark.parametrize("digest_first", [True, False])
def test_code_that_was_edited_and_not_loaded_anew_has_no_digest(digest_first: bool, tmp_path: Path) -> None:
    shutil.copytree(own.ROOT, tmp_path / "intccms", ignore=shutil.ignore_patterns("__pycache__"))
    run = subprocess.run(
        [sys.executable, "-c", SESSION, str(tmp_path), *(["digest first"] if digest_first else [])],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *first, noted, edited, reloaded = json.loads(run.stdout)
    if digest_first:
        assert first == [noted], "a comment is no change, for one who knows what was there before"
    else:
        assert "was edited since this process loaded it" in noted
    assert "explain.py was edited since this process loaded it" in edited
    assert "restart the kernel" in edited
    assert len(reloaded) == 64
    assert reloaded not in first
