"""Digests of functions: a change of what the code does changes them, a change of its looks does not.

Modules are written to disk, imported, edited and reloaded, as an analyst does it in a session.
"""

from __future__ import annotations

import importlib
import linecache
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from intccms import errors
from intccms.errors import ConfigError
from intccms.schema import Config
from intccms.schema.digest import digest, function_digest, own, syntax
from tests.configurations import minimal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

HELPER = "digest_helper_module"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder on the search path whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    # bytecode is taken for fresh when an edit keeps the second and the size
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("digest_"):
            del sys.modules[name]


@pytest.fixture
def load(folder: Path) -> Callable[..., ModuleType]:
    """Give a function that writes a module and imports it, or reloads it."""

    def load_module(text: str, name: str = "digest_user_module") -> ModuleType:
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        module = sys.modules.get(name)
        return importlib.import_module(name) if module is None else importlib.reload(module)

    return load_module


SAME = {
    "comment": (
        "def cut(pt):\n    return pt > 30\n",
        "# new\ndef cut(pt):  # note\n    # why\n    return pt > 30\n",
    ),
    "docstring": (
        "def cut(pt):\n    return pt > 30\n",
        'def cut(pt):\n    """Select."""\n    return pt > 30\n',
    ),
    "layout": (
        "def cut(pt, eta):\n    return (pt > 30) & (eta < 2)\n",
        "\n\n\ndef cut(\n    pt,\n    eta,\n):\n    return (\n        (pt > 30)\n        & (eta < 2)\n    )\n",
    ),
    "quotes": ("def cut(x):\n    return x['pt']\n", 'def cut(x):\n    return x["pt"]\n'),
    "annotations": (
        "def cut(pt):\n    limit = 30\n    return pt > limit\n",
        "def cut(pt: float) -> bool:\n    limit: int = 30\n    return pt > limit\n",
    ),
    "annotations of an inner function": (
        "class Array: ...\ndef cut(pt):\n    def inner(x):\n        return x > 30\n    return inner(pt)\n",
        "class Array: ...\ndef cut(pt):\n    def inner(x: Array) -> Array:\n        return x > 30\n    return inner(pt)\n",
    ),
    "idle statements": (
        "def cut(pt):\n    return pt > 30\n",
        "def cut(pt):\n    pass\n    'note'\n    return pt > 30\n",
    ),
    "unrelated code": (
        "def cut(pt):\n    return pt > 30\n",
        "PT = 5\ndef other(): ...\ndef cut(pt):\n    return pt > 30\n",
    ),
    "unused constant": (
        "PT, ETA = 30, 2\ndef cut(pt):\n    return pt > PT\n",
        "PT, ETA = 30, 3\ndef cut(pt):\n    return pt > PT\n",
    ),
    "default written otherwise": (
        "def cut(pt, m=30):\n    return pt > m\n",
        "PT = 30\ndef cut(pt, m=PT):\n    return pt > m\n",
    ),
    "docstring of a helper": (
        "def h(pt):\n    return pt\ndef cut(pt):\n    return h(pt)\n",
        "def h(pt):\n    '''Doc.'''\n    return pt\ndef cut(pt):\n    return h(pt)\n",
    ),
    "lambda layout": ("cut = lambda pt: pt > 30\n", "cut = (\n    lambda pt:\n    # why\n    pt > 30\n)\n"),
    "lambda moved into a dict": (
        "cut = lambda pt: pt > 30\n",
        "d = {'a': lambda pt: pt, 'b': lambda pt: pt > 30}\ncut = d['b']\n",
    ),
    "docstring of a class": (
        "class C:\n    def m(self):\n        return 1\ndef cut(pt):\n    return C().m()\n",
        "class C:\n    '''Doc.'''\n    def m(self):\n        '''Doc.'''\n        return 1\ndef cut(pt):\n    return C().m()\n",
    ),
    "module constant read through its file": (
        "def cut(pt):\n    return __name__, __file__\n",
        "# moved\ndef cut(pt):\n    return __name__, __file__\n",
    ),
}

DIFFERENT = {
    "operator": ("def cut(pt):\n    return pt > 30\n", "def cut(pt):\n    return pt < 30\n"),
    "constant": ("def cut(pt):\n    return pt > 30\n", "def cut(pt):\n    return pt > 40\n"),
    "type of a constant": ("def cut(pt):\n    return pt > 1\n", "def cut(pt):\n    return pt > True\n"),
    "text": ("def cut(x):\n    return x['pt']\n", "def cut(x):\n    return x['et']\n"),
    "attribute": ("def cut(x):\n    return x.pt\n", "def cut(x):\n    return x.et\n"),
    "order of statements": (
        "def cut(x):\n    x = x + 1\n    x = x * 2\n    return x\n",
        "def cut(x):\n    x = x * 2\n    x = x + 1\n    return x\n",
    ),
    "default": ("def cut(pt, m=30):\n    return pt > m\n", "def cut(pt, m=31):\n    return pt > m\n"),
    "keyword default": ("def cut(pt, *, m=30):\n    return pt > m\n", "def cut(pt, *, m=31):\n    return pt > m\n"),
    "kind of a parameter": ("def cut(pt, m=1):\n    return pt > m\n", "def cut(pt, *, m=1):\n    return pt > m\n"),
    "order of parameters": ("def cut(a, b):\n    return a > b\n", "def cut(b, a):\n    return a > b\n"),
    "global": ("PT = 30\ndef cut(pt):\n    return pt > PT\n", "PT = 55\ndef cut(pt):\n    return pt > PT\n"),
    "global in a comprehension": (
        "PT = 30\ndef cut(pts):\n    return [p for p in pts if p > PT]\n",
        "PT = 55\ndef cut(pts):\n    return [p for p in pts if p > PT]\n",
    ),
    "global in a generator": (
        "PT = 30\ndef cut(pts):\n    return any(p > PT for p in pts)\n",
        "PT = 55\ndef cut(pts):\n    return any(p > PT for p in pts)\n",
    ),
    "global in an inner lambda": (
        "PT = 30\ndef cut(pts):\n    return list(filter(lambda p: p > PT, pts))\n",
        "PT = 55\ndef cut(pts):\n    return list(filter(lambda p: p > PT, pts))\n",
    ),
    "global of a class in a function": (
        "PT = 30\ndef cut(pts):\n    class A:\n        x = PT\n    return A\n",
        "PT = 55\ndef cut(pts):\n    class A:\n        x = PT\n    return A\n",
    ),
    "private name in a method": (
        "_C__pt = 30\nclass C:\n    def m(self):\n        return __pt\ncut = C().m\n",
        "_C__pt = 55\nclass C:\n    def m(self):\n        return __pt\ncut = C().m\n",
    ),
    "content of a global": (
        "CUTS = {'a': [1, 2]}\ndef cut(pt):\n    return CUTS['a']\n",
        "CUTS = {'a': [1, 3]}\ndef cut(pt):\n    return CUTS['a']\n",
    ),
    "global that appears": ("def cut(pt):\n    return pt > PT\n", "PT = 1\ndef cut(pt):\n    return pt > PT\n"),
    "builtin that is shadowed": ("def cut(pt):\n    return abs(pt)\n", "def abs(x):\n    return x\ndef cut(pt):\n    return abs(pt)\n"),
    "helper": (
        "def h(pt):\n    return pt > 30\ndef cut(pt):\n    return h(pt)\n",
        "def h(pt):\n    return pt > 40\ndef cut(pt):\n    return h(pt)\n",
    ),
    "helper of a helper": (
        "PT = 1\ndef g(x):\n    return x > PT\ndef h(x):\n    return g(x)\ndef cut(x):\n    return h(x)\n",
        "PT = 2\ndef g(x):\n    return x > PT\ndef h(x):\n    return g(x)\ndef cut(x):\n    return h(x)\n",
    ),
    "functions that call each other": (
        "def a(n):\n    return n or b(n - 1)\ndef b(n):\n    return n and a(n - 1)\ncut = a\n",
        "def a(n):\n    return n or b(n - 1)\ndef b(n):\n    return n and a(n - 2)\ncut = a\n",
    ),
    "recursion": ("def cut(n):\n    return n and cut(n - 1)\n", "def cut(n):\n    return n and cut(n - 2)\n"),
    "closure value": (
        "def make(m):\n    def cut(pt):\n        return pt > m\n    return cut\ncut = make(30)\n",
        "def make(m):\n    def cut(pt):\n        return pt > m\n    return cut\ncut = make(40)\n",
    ),
    "closure value of an inner function": (
        "def make(m):\n    return lambda pt: (lambda x: x > m)(pt)\ncut = make(30)\n",
        "def make(m):\n    return lambda pt: (lambda x: x > m)(pt)\ncut = make(40)\n",
    ),
    "attribute of the function": (
        "def cut(pt):\n    return pt > cut.limit\ncut.limit = 1\n",
        "def cut(pt):\n    return pt > cut.limit\ncut.limit = 2\n",
    ),
    "decorator": (
        ("import functools\ndef twice(f):\n    @functools.wraps(f)\n    def w(*a):\n        return f(*a) * 2\n    return w\n"
        "@twice\ndef cut(pt):\n    return pt\n"),
        ("import functools\ndef twice(f):\n    @functools.wraps(f)\n    def w(*a):\n        return f(*a) * 3\n    return w\n"
        "@twice\ndef cut(pt):\n    return pt\n"),
    ),
    "cached function": (
        "import functools\n@functools.lru_cache\ndef cut(pt):\n    return pt > 1\n",
        "import functools\n@functools.lru_cache\ndef cut(pt):\n    return pt > 2\n",
    ),
    "context manager": (
        "import contextlib\n@contextlib.contextmanager\ndef cut(pt):\n    yield pt > 1\n",
        "import contextlib\n@contextlib.contextmanager\ndef cut(pt):\n    yield pt > 2\n",
    ),
    "single dispatch": (
        "import functools\n@functools.singledispatch\ndef cut(x):\n    return 0\n@cut.register\ndef _(x: int):\n    return 1\n",
        "import functools\n@functools.singledispatch\ndef cut(x):\n    return 0\n@cut.register\ndef _(x: int):\n    return 2\n",
    ),
    "partial": (
        "import functools\ndef f(pt, m):\n    return pt > m\ncut = functools.partial(f, m=1)\n",
        "import functools\ndef f(pt, m):\n    return pt >= m\ncut = functools.partial(f, m=1)\n",
    ),
    "arguments of a partial": (
        "import functools\ndef f(m, pt):\n    return pt > m\ncut = functools.partial(f, 1)\n",
        "import functools\ndef f(m, pt):\n    return pt > m\ncut = functools.partial(f, 2)\n",
    ),
    "keywords of a partial": (
        "import functools\ndef f(pt, m):\n    return pt > m\ncut = functools.partial(f, m=1)\n",
        "import functools\ndef f(pt, m):\n    return pt > m\ncut = functools.partial(f, m=2)\n",
    ),
    "state of a callable object": (
        "class C:\n    def __init__(self, m):\n        self.m = m\n    def __call__(self, pt):\n        return pt > self.m\ncut = C(1)\n",
        "class C:\n    def __init__(self, m):\n        self.m = m\n    def __call__(self, pt):\n        return pt > self.m\ncut = C(2)\n",
    ),
    "state in slots of a callable object": (
        "class C:\n    __slots__ = ('m',)\n    def __call__(self, pt):\n        return pt > self.m\ncut = C()\ncut.m = 1\n",
        "class C:\n    __slots__ = ('m',)\n    def __call__(self, pt):\n        return pt > self.m\ncut = C()\ncut.m = 2\n",
    ),
    "name of the function": (
        "def cut(pt):\n    return pt > 1\n",
        "def selection(pt):\n    return pt > 1\ncut = selection\n",
    ),
    "numba function": (
        "import numba\n@numba.njit\ndef cut(pt):\n    return pt > 1\n",
        "import numba\n@numba.njit\ndef cut(pt):\n    return pt > 2\n",
    ),
    "global of a numba function": (
        "import numba\nPT = 1\n@numba.njit\ndef cut(pt):\n    return pt > PT\n",
        "import numba\nPT = 2\n@numba.njit\ndef cut(pt):\n    return pt > PT\n",
    ),
    "vectorised function": (
        "import numpy as np\n@np.vectorize\ndef cut(pt):\n    return pt > 1\n",
        "import numpy as np\n@np.vectorize\ndef cut(pt):\n    return pt > 2\n",
    ),
    "numba helper": (
        "import numba\n@numba.njit\ndef h(pt):\n    return pt > 1\ndef cut(pt):\n    return h(pt)\n",
        "import numba\n@numba.njit\ndef h(pt):\n    return pt > 2\ndef cut(pt):\n    return h(pt)\n",
    ),
    "other function of a library": (
        "import numpy as np\nf = np.abs\ndef cut(pt):\n    return f(pt)\n",
        "import numpy as np\nf = np.sin\ndef cut(pt):\n    return f(pt)\n",
    ),
    "method": (
        "class C:\n    def __call__(self, pt):\n        return self.h(pt)\n    def h(self, pt):\n        return pt > 1\ncut = C()\n",
        "class C:\n    def __call__(self, pt):\n        return self.h(pt)\n    def h(self, pt):\n        return pt > 2\ncut = C()\n",
    ),
    "inherited method": (
        "class B:\n    def h(self, pt):\n        return pt > 1\nclass C(B):\n    pass\ndef cut(pt):\n    return C().h(pt)\n",
        "class B:\n    def h(self, pt):\n        return pt > 2\nclass C(B):\n    pass\ndef cut(pt):\n    return C().h(pt)\n",
    ),
    "property": (
        "class C:\n    @property\n    def h(self):\n        return 1\ndef cut(pt):\n    return C().h\n",
        "class C:\n    @property\n    def h(self):\n        return 2\ndef cut(pt):\n    return C().h\n",
    ),
    "static method": (
        "class C:\n    @staticmethod\n    def h():\n        return 1\ndef cut(pt):\n    return C.h()\n",
        "class C:\n    @staticmethod\n    def h():\n        return 2\ndef cut(pt):\n    return C.h()\n",
    ),
    "constant of a class": (
        "class C:\n    PT = 1\ndef cut(pt):\n    return pt > C.PT\n",
        "class C:\n    PT = 2\ndef cut(pt):\n    return pt > C.PT\n",
    ),
    "method with super": (
        "class B:\n    def h(self):\n        return 1\nclass C(B):\n    def h(self):\n        return super().h() + 1\ncut = C().h\n",
        "class B:\n    def h(self):\n        return 1\nclass C(B):\n    def h(self):\n        return super().h() + 2\ncut = C().h\n",
    ),
    "default of a dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass C:\n    pt: int = 1\ndef cut(pt):\n    return C().pt\n",
        "import dataclasses\n@dataclasses.dataclass\nclass C:\n    pt: int = 2\ndef cut(pt):\n    return C().pt\n",
    ),
    "method of a dataclass": (
        ("import dataclasses\n@dataclasses.dataclass(order=True)\nclass C:\n    pt: int = 1\n    def h(self):\n        return 1\n"
        "c = C()\ndef cut(pt):\n    return c.h()\n"),
        ("import dataclasses\n@dataclasses.dataclass(order=True)\nclass C:\n    pt: int = 1\n    def h(self):\n        return 2\n"
        "c = C()\ndef cut(pt):\n    return c.h()\n"),
    ),
    "default of a named tuple": (
        "from typing import NamedTuple\nclass C(NamedTuple):\n    pt: int = 1\ndef cut(pt):\n    return C().pt\n",
        "from typing import NamedTuple\nclass C(NamedTuple):\n    pt: int = 2\ndef cut(pt):\n    return C().pt\n",
    ),
    "method of a named tuple": (
        "from typing import NamedTuple\nclass C(NamedTuple):\n    pt: int\n    def h(self):\n        return 1\ndef cut(pt):\n    return C(1).h()\n",
        "from typing import NamedTuple\nclass C(NamedTuple):\n    pt: int\n    def h(self):\n        return 2\ndef cut(pt):\n    return C(1).h()\n",
    ),
    "value of an enum": (
        "import enum\nclass C(enum.Enum):\n    A = 1\ndef cut(pt):\n    return C.A.value\n",
        "import enum\nclass C(enum.Enum):\n    A = 2\ndef cut(pt):\n    return C.A.value\n",
    ),
    "method of an enum": (
        "import enum\nclass C(enum.Enum):\n    A = 1\n    def h(self):\n        return 1\na = C.A\ndef cut(pt):\n    return a.h()\n",
        "import enum\nclass C(enum.Enum):\n    A = 1\n    def h(self):\n        return 2\na = C.A\ndef cut(pt):\n    return a.h()\n",
    ),
    "default of a model": (
        "import pydantic\nclass C(pydantic.BaseModel):\n    pt: int = 1\ndef cut(pt):\n    return C().pt\n",
        "import pydantic\nclass C(pydantic.BaseModel):\n    pt: int = 2\ndef cut(pt):\n    return C().pt\n",
    ),
    "validator of a model": (
        ("import pydantic\nclass C(pydantic.BaseModel):\n    pt: int = 1\n    @pydantic.field_validator('pt')\n    @classmethod\n"
        "    def v(cls, x):\n        return x\ndef cut(pt):\n    return C().pt\n"),
        ("import pydantic\nclass C(pydantic.BaseModel):\n    pt: int = 1\n    @pydantic.field_validator('pt')\n    @classmethod\n"
        "    def v(cls, x):\n        return -x\ndef cut(pt):\n    return C().pt\n"),
    ),
    "lambda": ("cut = lambda pt: pt > 30\n", "cut = lambda pt: pt > 40\n"),
    "lambda among others": (
        "a, cut = (lambda x: x > 1), (lambda x: x > 2)\n",
        "a, cut = (lambda x: x > 1), (lambda x: x > 3)\n",
    ),
    "method of a literal": ("cut = 'a'.join\n", "cut = 'b'.join\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_change_of_looks_keeps_the_digest(name: str, load: Callable[..., ModuleType]) -> None:
    before, after = SAME[name]
    first = function_digest(load(before).cut)

    assert function_digest(load(after).cut) == first
    assert function_digest(load(after, "digest_copied_module").cut) == first, (
        "the name of the module is not content"
    )


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_change_of_behaviour_changes_the_digest(name: str, load: Callable[..., ModuleType]) -> None:
    before, after = DIFFERENT[name]
    first = function_digest(load(before).cut)

    assert function_digest(load(after).cut) != first
    assert function_digest(load(before, "digest_copied_module").cut) == first


USER_OF_HELPERS = {
    "module attribute": "import {0}\ndef cut(pt):\n    return {0}.h(pt) > {0}.PT\n",
    "alias": "import {0} as lib\ndef cut(pt):\n    return lib.h(pt) > lib.PT\n",
    "from import": "from {0} import h, PT\ndef cut(pt):\n    return h(pt) > PT\n",
    "import in the function": "def cut(pt):\n    import {0}\n    return {0}.h(pt) > {0}.PT\n",
    "from import in the function": "def cut(pt):\n    from {0} import h, PT\n    return h(pt) > PT\n",
    "module in a closure": (
        "def make():\n    import {0} as lib\n    def cut(pt):\n        return lib.h(pt) > lib.PT\n    return cut\ncut = make()\n"
    ),
    "module passed on": "import {0}\ndef cut(pt):\n    return getattr({0}, 'h')(pt) > getattr({0}, 'PT')\n",
    "module in a default": "import {0}\ndef cut(pt, lib={0}):\n    return lib.h(pt) > lib.PT\n",
}


@pytest.mark.parametrize("name", USER_OF_HELPERS)
def test_a_change_in_another_module_of_the_user_counts(name: str, load: Callable[..., ModuleType]) -> None:
    text = USER_OF_HELPERS[name].format(HELPER)
    helper = "import numpy as np\nPT = {pt}\n{note}def h(pt):\n    return np.abs(pt) {op} 1\n"
    digests = []
    for options in (
        {"pt": 30, "op": "*", "note": ""},
        {"pt": 30, "op": "*", "note": "# note\n"},
        {"pt": 55, "op": "*", "note": ""},
        {"pt": 30, "op": "+", "note": ""},
    ):
        load(helper.format(**options), HELPER)
        digests.append(function_digest(load(text).cut))

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_only_the_attributes_of_a_module_that_are_used_count(load: Callable[..., ModuleType]) -> None:
    text = f"import {HELPER}\ndef cut(pt):\n    return pt > {HELPER}.PT\n"
    load("import threading\nPT, ETA, LOCK = 30, 2.4, threading.Lock()\n", HELPER)
    first = function_digest(load(text).cut)
    load("import threading\nPT, ETA, LOCK = 30, 2.5, threading.Lock()\n", HELPER)

    assert function_digest(load(text).cut) == first


def test_relative_imports_in_packages_are_followed(folder: Path, load: Callable[..., ModuleType]) -> None:
    (folder / "digest_package").mkdir()
    (folder / "digest_package" / "__init__.py").touch()
    digests = set()
    for limit in (1, 2):
        (folder / "digest_package" / "cuts.py").write_text(f"def h(pt):\n    return pt > {limit}\n")
        (folder / "digest_package" / "main.py").write_text(
            "from . import cuts\ndef cut(pt):\n    return cuts.h(pt)\ndef late(pt):\n    from .cuts import h\n    return h(pt)\n"
        )
        for name in [name for name in sys.modules if name.startswith("digest_package")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        main = importlib.import_module("digest_package.main")
        digests |= {function_digest(main.cut), function_digest(main.late)}

    assert len(digests) == 4


def test_lambdas_on_one_line_are_told_apart(load: Callable[..., ModuleType]) -> None:
    module = load(
        "def call(*functions, **named):\n    return [*functions, *named.values()]\n"
        "cuts = call(lambda x: x.a, lambda x: x.b, key=lambda x: x.c) + [lambda x: lambda y: x + y, lambda x: (\n"
        "    x.d +\n    x.e), lambda é: é, lambda: 1, lambda: 2]\n"
        "inner = cuts[3](1)\n"
    )
    functions = [*module.cuts, module.inner]

    found = [syntax.syntax_of(function.__code__) for function in functions]
    assert None not in found, "every lambda has its syntax tree"
    assert len({function_digest(function) for function in functions}) == len(functions)
    alone = load("first = lambda x: x.b\nsecond = lambda x: (x.d + x.e)\n", "digest_copied_module")
    assert function_digest(alone.first) == function_digest(module.cuts[1])
    assert function_digest(alone.second) == function_digest(module.cuts[4])


def test_a_stale_line_cache_does_not_give_the_old_source(load: Callable[..., ModuleType]) -> None:
    module = load("def cut(pt):\n    return pt > 30\n")
    linecache.getlines(module.__file__)
    first = function_digest(module.cut)

    assert function_digest(load("def cut(pt):\n    return pt > 40\n").cut) != first


def test_an_edit_that_keeps_time_and_size_of_the_file_is_seen(load: Callable[..., ModuleType]) -> None:
    module = load("def cut(pt):\n    return pt > 30\n")
    status = os.stat(module.__file__)  # noqa: PTH116
    first = function_digest(module.cut)
    path = module.__file__
    with open(path, "w") as stream:  # noqa: PTH123
        stream.write("def cut(pt):\n    return pt > 40\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert function_digest(importlib.reload(module).cut) != first


def test_an_edit_without_reload_is_not_taken_for_the_running_code(
    load: Callable[..., ModuleType], folder: Path
) -> None:
    old = load("def cut(pt):\n    return pt > 30\n").cut
    edited = "def cut(pt):\n    return pt > 40\n"
    (folder / "digest_user_module.py").write_text(edited)

    assert function_digest(old) != function_digest(load(edited, "digest_copied_module").cut)
    assert syntax.syntax_of(old.__code__) is None
    (folder / "digest_user_module.py").write_text("def cut(pt:\n")
    assert len(function_digest(old)) == 64, "a file that is being edited need not be valid"


def _execute(text: str, **names: Any) -> Any:
    scope = {"__name__": "digest_executed", **names}
    exec(text, scope)  # noqa: S102
    return scope["cut"]


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("# moved\n\ndef cut(pt):\n    return [p > PT for p in pt]\n", True),
        ("def cut(pt):\n    return [p < PT for p in pt]\n", False),
        ("def cut(pt):\n    return [p > PT for p in pt if (lambda: p + 1)]\n", False),
        ("def cut(pt, m=1):\n    return [p > PT for p in pt]\n", False),
    ],
)
def test_a_function_without_source_counts_by_its_code(text: str, is_same: bool) -> None:
    original = _execute("def cut(pt):\n    return [p > PT for p in pt]\n", PT=1)

    assert (function_digest(_execute(text, PT=1)) == function_digest(original)) is is_same
    assert function_digest(_execute(text, PT=2)) != function_digest(original)


def test_functions_of_notebook_cells_have_their_source() -> None:
    def cell(number: int, text: str) -> Any:
        filename = f"<ipython-input-{number}>"
        # as IPython does it: entries without a time are kept by linecache.checkcache
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        scope: dict[str, Any] = {"__name__": "__main__", "PT": 30}
        exec(compile(text, filename, "exec"), scope)  # noqa: S102
        return scope["cut"]

    first = cell(1, "def cut(pt):\n    return pt > PT\n")
    second = cell(2, "def cut(pt: float):\n    '''Select.'''\n    return pt > PT  # note\n")
    third = cell(3, "def cut(pt):\n    return pt >= PT\n")

    assert syntax.syntax_of(first.__code__) is not None
    assert function_digest(first) == function_digest(second)
    assert function_digest(first) != function_digest(third)


def test_calls_of_a_function_do_not_change_its_digest(load: Callable[..., ModuleType]) -> None:
    cut = load("def cut(pt):\n    return pt + 1\n").cut
    first = function_digest(cut)
    for _ in range(2000):  # the interpreter specialises bytecode that runs often
        cut(1)

    assert function_digest(cut) == first
    assert syntax.syntax_of(cut.__code__) is not None


def test_an_installed_package_counts_by_its_version(
    load: Callable[..., ModuleType], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = folder / "site-packages"
    monkeypatch.syspath_prepend(site)

    def install(name: str, version: str, limit: int) -> Any:
        information = site / f"{name}-{version}.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (information / "RECORD").touch()
        (site / f"{name}.py").write_text(f"def h(pt):\n    return pt > {limit}\n")
        importlib.invalidate_caches()
        return f"import {name} as lib\ndef cut(pt):\n    return lib.h(pt)\n"

    text = install("digest_installed", "1.0", 1)
    first = load(text)
    before = function_digest(first.cut)
    first.lib.h = lambda pt: pt  # not read: name and version stand for the code
    assert function_digest(first.cut) == before

    other = load(install("digest_installed_too", "2.0", 1), "digest_copied_module")
    assert function_digest(other.cut) != before


def test_a_library_that_is_imported_late_is_not_imported_by_the_digest(
    load: Callable[..., ModuleType], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = folder / "site-packages"
    site.mkdir()
    (site / "digest_heavy.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(site)
    module = load(
        "def cut(pt):\n    import digest_heavy\n    import digest_absent\n    return digest_heavy\n"
    )

    assert len(function_digest(module.cut)) == 64
    assert "digest_heavy" not in sys.modules


def test_code_of_intccms_counts_with_what_it_imports_wherever_it_is_installed(
    load: Callable[..., ModuleType], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("from intccms.schema.base import Model\ndef cut(pt):\n    return Model(pt=pt)\n")
    first = function_digest(module.cut)
    copy = folder / "elsewhere" / "intccms"
    shutil.copytree(Path(errors.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(own, "ROOT", copy)
    monkeypatch.setattr(own, "_known", {})
    monkeypatch.setattr(own, "_paths", {})
    assert function_digest(module.cut) == first, "where intccms is installed does not count"

    for file, counts in (("errors.py", True), ("cli.py", False), ("schema/base.py", True)):
        before = function_digest(module.cut)
        with (copy / file).open("a") as stream:
            stream.write("# comment\n")
        assert function_digest(module.cut) == before
        with (copy / file).open("a") as stream:
            stream.write("EDITED = True\n")
        assert (function_digest(module.cut) != before) is counts, file


def test_the_error_names_the_global_that_cannot_be_digested(load: Callable[..., ModuleType]) -> None:
    module = load(
        "import threading\nLOCK = threading.Lock()\ndef h(pt):\n    with LOCK:\n        return pt\n"
        "def cut(pt):\n    return h(pt)\n"
    )

    with pytest.raises(
        ConfigError, match=r"cannot digest cut > global 'h' > global 'LOCK': a '_thread.lock'"
    ):
        function_digest(module.cut)
    with pytest.raises(ConfigError, match=r"cannot digest channels\[SR\]\.selection\.function > global 'h'"):
        digest(module.cut, where="channels[SR].selection.function")


def test_each_of_six_hundred_observables_has_a_digest_of_its_own(
    load: Callable[..., ModuleType],
) -> None:
    body = (
        "def cut{0}(jets, pt=30):\n    sel = (np.abs(jets.eta) < ETA) & (jets.pt > pt + {0})\n"
        "    for i in range(3):\n        sel = sel & (jets.mass > i)\n    return sel & h(jets)\n"
    )
    text = (
        "import numpy as np\nfrom intccms.errors import ConfigError\nPT, ETA = 3, 2.4\n"
        "def h(x):\n    if x is None:\n        raise ConfigError\n    return x > PT\n"
        + "".join(body.format(i) for i in range(500))
    )
    module = load(text, "digest_module_of_many")
    config = Config(**minimal() | {"channels": [_channel(module, number) for number in range(20)]})
    functors = [one for channel in config.channels for one in channel.observables]
    digests = [digest(value) for value in functors]
    assert len(set(digests)) == 600
    assert [digest(value) for value in functors] == digests


def _channel(module: ModuleType, number: int) -> dict[str, Any]:
    binning = {"bins": 10, "start": 0, "stop": 1}
    names = [f"cut{(30 * number + i) % 500}" for i in range(30)]
    observables = [
        {
            "name": f"{number}_{name}",
            "function": getattr(module, name),
            "use": [("Jet", None)],
            "binning": binning,
        }
        for name in names
    ]
    return {"name": f"c{number}", "observables": observables}
