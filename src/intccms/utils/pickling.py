"""Pickles of what users wrote, without the environment of the process that makes them."""

from __future__ import annotations

import io
import os
from collections import ChainMap
from typing import Any

import cloudpickle

__all__ = ["pickled_by_value"]


def pickled_by_value(data: Any) -> bytes:
    """Return a pickle that holds functions of users' modules, with what they refer to.

    A function that has ``from os import environ`` would carry all variables along; it finds those of the process that
    it is unpickled in.
    """
    with io.BytesIO() as buffer:
        _Pickler(buffer).dump(data)
        return buffer.getvalue()


def _environment_there(environment: Any) -> tuple[Any, tuple[Any, str]]:
    return getattr, (os, "environb" if environment is getattr(os, "environb", None) else "environ")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc,unused-ignore]
    dispatch_table = ChainMap({type(os.environ): _environment_there}, cloudpickle.Pickler.dispatch_table)
