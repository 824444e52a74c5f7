"""The form of NumPy's arrays, scalars and functions, and of histogram axes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from intccms.schema.digest.forms import Form, UndigestibleError, leaf, sequence

__all__ = ["describe_array", "describe_axis", "describe_ufunc", "is_axis"]

_UFUNC_MODULES = ("numpy", "scipy.special")


def describe_array(value: np.ndarray[Any, Any] | np.generic | np.dtype[Any]) -> Form:
    """Return the form of an array or scalar: its dtype, shape and bytes; or of a dtype."""
    if isinstance(value, np.dtype):
        return leaf("dtype", _dtype_name(value))
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    atoms = (kind, type(value).__name__, _dtype_name(value.dtype), str(value.shape))
    if isinstance(value, np.ma.MaskedArray):
        parts = [
            (".data", np.asarray(value.data)),
            (".mask", np.asarray(value.mask)),
            (".fill_value", value.fill_value),
        ]
        return sequence("numpy", parts, *atoms)
    if value.dtype.hasobject:
        # the bytes of such arrays are addresses
        return sequence("numpy", [("", value.tolist())], *atoms)
    return leaf("numpy", *atoms, value.tobytes())


def describe_ufunc(value: np.ufunc) -> Form:
    """Return the form of a universal function: its name and the version of the package that defines it."""
    for name in _UFUNC_MODULES:
        module = sys.modules.get(name)
        if module is not None and getattr(module, value.__name__, None) is value:
            return sequence("ufunc", [("", module)], value.__name__)
    message = f"the universal function '{value.__name__}' is neither of {' nor of '.join(_UFUNC_MODULES)}"
    raise UndigestibleError(message)


def is_axis(value: object) -> bool:
    """Tell whether a value is an axis of a histogram; a look-up of modules, for nothing imports them here."""
    module = sys.modules.get("boost_histogram")
    return module is not None and isinstance(value, module.axis.Axis)


def describe_axis(axis: Any) -> Form:
    """Return the form of an axis: class, bins, traits, transform and metadata, not the library's own state."""
    traits = axis.traits
    bins = np.asarray(axis.edges) if traits.continuous else list(axis)
    flags = {name: getattr(traits, name) for name in dir(traits) if isinstance(getattr(traits, name), bool)}
    parts = [
        (" > bins", bins),
        (" > traits", flags),
        (".transform", getattr(axis, "transform", None)),
        (" > metadata", dict(vars(axis))),
    ]
    return sequence("axis", parts, type(axis).__name__)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return repr(dtype.descr) if dtype.names is not None else f"{dtype.str} {dtype!r}"
