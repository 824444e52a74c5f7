"""Digests of one content are the same in every process: other hash seeds, other folders, other ways in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import collections, functools, re
from pathlib import Path
import numba
import numpy as np
from intccms.schema.base import ObjVar

HERE = Path(__file__).parent
PAYLOAD = HERE / "sf.json"
NAMES = {"Muon", "Electron", "Jet", "Tau", "Photon"}

def select(muons, *, names=frozenset({"a", "b", "c", "d"})):
    kept = [name for name in names if name in NAMES]
    return kept, re.compile("x"), np.abs(muons), ObjVar("Muon"), PAYLOAD
class Names(set):
    pass
class Holder:
    def __init__(self, items=None):
        self.items = items or {"x": {1, 2, "y"}}
    def method(self):
        return super().__repr__(), Holder, select(self)
    def __call__(self, pt):
        return self.items[pt]
@numba.njit
def compiled(x):
    return x + 1.0
def late(x):
    import json
    return compiled(x), json, a(x)
def a(n):
    return n and b(n - 1)
def b(n):
    return n or a(n - 1)

VALUES = {
    "function": select, "object": Holder(), "class": Holder, "dict": {"a": 1, ("b", 2): {"c", "d", "e"}},
    "set": NAMES, "subclass of set": Names(NAMES), "array": np.arange(3), "counter": collections.Counter("hello"),
    "lambda": lambda: select, "partial": functools.partial(select, names=NAMES), "method": Holder().method,
    "numba": compiled, "circle": late, "other object": Holder({"y": NAMES}),
}
"""

REPORT = """
import json
from intccms.schema.digest import digest
print(json.dumps({name: digest(value) for name, value in VALUES.items()}))
"""


def _digests(arguments: list[str], folder: Path, seed: int, text: str = "") -> dict[str, str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    if "PYTHONPATH" in environment:
        paths = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in paths)
    run = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, str] = json.loads(run.stdout)
    return found


def test_a_module_has_the_same_digests_with_other_seeds_from_other_folders_and_elsewhere(
    tmp_path: Path,
) -> None:
    found = []
    for seed, (lies_in, runs_in) in enumerate([("one", "."), ("one", "one"), ("other/deep", "one")], 1):
        folder = tmp_path / lies_in
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "digest_module.py").write_text(MODULE)
        (folder / "sf.json").write_text("1.05")
        program = (
            f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom digest_module import VALUES\n{REPORT}"
        )
        found.append(_digests(["-c", program], tmp_path / runs_in, seed))
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].values())) == len(found[0])


WAYS_IN: dict[str, Any] = {
    "python -c": lambda text, path: (["-c", text], ""),
    "standard input": lambda text, path: (["-"], text),
    "prompt": lambda text, path: (
        ["-q", "-i", "-c", "import sys; sys.ps1 = sys.ps2 = ''"],
        # a prompt takes one statement at a time; the file is read by exec as the prompt would compile it
        f"exec(compile(open({str(path)!r}).read(), '<stdin>', 'exec'))\n",
    ),
    "exec": lambda text, path: (["-c", f"exec({text!r})"], ""),
    "script": lambda text, path: ([path.name], ""),
}


@pytest.mark.parametrize("way", WAYS_IN)
def test_functions_of_the_main_program_have_the_same_digests_with_other_seeds(
    way: str, tmp_path: Path
) -> None:
    """Where Python keeps no source the code object counts; other code then has another digest as well."""
    program = MODULE.replace("__file__", "'.'") + REPORT
    (tmp_path / "sf.json").write_text("1.05")
    found = []
    for seed, text in enumerate([program, program, program.replace("np.abs(muons)", "np.sign(muons)")]):
        path = tmp_path / "digest_script.py"
        path.write_text(text)
        arguments, given = WAYS_IN[way](text, path)
        found.append(_digests(arguments, tmp_path, seed, given))
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(found[0])
    changed = {name for name in found[0] if found[0][name] != found[2][name]}
    # by hand: what is 'select', is made with it, or calls it through its class
    assert changed == {"function", "object", "class", "lambda", "partial", "method", "other object"}
