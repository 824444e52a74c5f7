"""Pickles of what users wrote, without the environment of the process that makes them."""

from __future__ import annotations

import io
import os
from collections import ChainMap
from types import CodeType
from typing import TYPE_CHECKING, Any

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["pickled_by_value"]


def pickled_by_value(data: Any) -> bytes:
    """Return a pickle that holds functions of users' modules, with what they refer to.

    A function that has ``from os import environ`` would carry all variables along; it finds those of the process that
    it is unpickled in. Code keeps the name of its file, which cloudpickle 3.1.3 drops: errors tell it.
    """
    with io.BytesIO() as buffer:
        _Pickler(buffer).dump(data)
        return buffer.getvalue()


def _environment_there(environment: Any) -> tuple[Any, tuple[Any, str]]:
    return getattr, (os, "environb" if environment is getattr(os, "environb", None) else "environ")


def _code_with_file(code: CodeType) -> tuple[Any, tuple[Any, ...]]:
    make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return _made_in, (code.co_filename, make, arguments)


def _made_in(file: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=file)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc,unused-ignore]
    dispatch_table = ChainMap(
        {type(os.environ): _environment_there, CodeType: _code_with_file}, cloudpickle.Pickler.dispatch_table
    )
