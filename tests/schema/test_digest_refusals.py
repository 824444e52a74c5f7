"""Functions that cannot be digested are errors that name them, never digests that would match something else."""

from __future__ import annotations

import ctypes
import importlib
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from intccms.errors import ConfigError
from intccms.schema.base import Functor
from intccms.schema.digest import digest, function_digest

if TYPE_CHECKING:
    from collections.abc import Callable


def _generator_in_a_closure(folder: Path) -> Any:
    del folder
    events = (number for number in range(3))
    return lambda pt: (pt, next(events))


def _open_file_in_a_closure(folder: Path) -> Any:
    stream = (folder / "table.txt").open("w")
    stream.close()  # a closed one is no better
    return lambda pt: stream.write(str(pt))


def _open_file_as_default(folder: Path) -> Any:
    stream = (folder / "table.txt").open("w")
    stream.close()

    def cut(pt: Any, table: Any = stream) -> Any:
        return table, pt

    return cut


def _state_with_a_socket(folder: Path) -> Any:
    import socket

    class Client:
        def __init__(self) -> None:
            self.server = socket.socket()
            self.server.close()

        def __call__(self, pt: Any) -> Any:
            return pt

    return Client()


class _Method(ctypes.Structure):
    """``PyMethodDef`` of the C interface of Python."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_METHOD_WITHOUT_ARGUMENTS = 0x0004  # METH_NOARGS
_IMPLEMENTATION = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.py_object)(lambda *_: 1)
_DEFINITION = _Method(
    b"scale", ctypes.cast(_IMPLEMENTATION, ctypes.c_void_p), _METHOD_WITHOUT_ARGUMENTS, None
)


def _c_function_of_no_module(folder: Path) -> Any:
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    return make(ctypes.addressof(_DEFINITION), None, None)


def _c_function_of_a_users_module(folder: Path) -> Any:
    # any will do that this build of Python has as a file of its own
    candidates = {"_struct": "calcsize", "_json": "encode_basestring", "_heapq": "heapify"}
    name = next(name for name in candidates if hasattr(importlib.import_module(name), "__file__"))
    compiled = Path(str(sys.modules[name].__file__))
    (folder / "digest_extension").mkdir()
    (folder / "digest_extension" / "__init__.py").touch()
    shutil.copy(compiled, folder / "digest_extension" / compiled.name)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return getattr(importlib.import_module(f"digest_extension.{name}"), candidates[name])
    finally:
        sys.path.remove(str(folder))


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "generator in a closure": (
        _generator_in_a_closure,
        " > closure variable 'events': reading a 'generator' would use it up",
    ),
    "file in a closure": (
        _open_file_in_a_closure,
        " > closure variable 'stream': a '_io.TextIOWrapper' has no content",
    ),
    "file as default": (_open_file_as_default, " > defaults[0]: a '_io.TextIOWrapper' has no content"),
    "socket in the state": (_state_with_a_socket, ".server: a 'socket.socket' has no content"),
    "function of a C library": (
        lambda _: ctypes.CDLL(None).abs,
        re.escape("_FuncPtr' has no content that another process could reproduce"),
    ),
    "C function of no module": (
        _c_function_of_no_module,
        ": the compiled function 'scale' belongs to no installed package, so it has no version",
    ),
    "C function of a user's module": (
        _c_function_of_a_users_module,
        "' belongs to no installed package, so it has no version",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_function_that_cannot_be_digested_is_an_error_that_names_it(kind: str, tmp_path: Path) -> None:
    make, reason = REFUSED[kind]
    function = make(tmp_path)
    functor = Functor(function=function, use=[("Muon", "pt")])
    with pytest.raises(ConfigError) as caught:
        digest(functor, where="channels.SR.selection")
    message = str(caught.value)
    assert message.startswith("cannot digest channels.SR.selection.function")
    assert re.search(reason if "\\" in reason else re.escape(reason), message)
    assert "static_kwargs" in message
    with pytest.raises(ConfigError):
        function_digest(function)


def test_a_generator_is_no_function() -> None:
    with pytest.raises(ConfigError, match="it is a 'generator', which cannot be called"):
        function_digest(number for number in range(3))
