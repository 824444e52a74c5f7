"""Certified lumi sections (golden JSON files)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["certified"]


def certified(path: str, runs: Any, sections: Any) -> NDArray[np.bool_]:
    """Return which events lie in certified lumi sections, shape ``(n_events,)``.

    Parameters
    ----------
    path
        Golden JSON, ``{"run": [[first, last], ...]}``.
    runs, sections
        ``run`` and ``luminosityBlock`` of the events.

    Raises
    ------
    ConfigError
        If the file cannot be read as a golden JSON.
    """
    if len(runs) == 0:
        return np.zeros(0, dtype=bool)
    state = Path(path).stat() if Path(path).exists() else None
    mask = _load(path, None if state is None else (state.st_size, state.st_mtime_ns))
    return np.asarray(mask(np.asarray(runs), np.asarray(sections)), dtype=bool)


@lru_cache(maxsize=16)
def _load(path: str, state: tuple[int, int] | None) -> Any:
    del state  # part of the key: a file that was written anew is read anew
    from coffea.lumi_tools import LumiMask  # compiles for 5 s on import

    try:
        return LumiMask(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        message = f"lumi mask {path}: cannot be read as golden JSON ({type(exc).__name__}: {exc})."
        raise ConfigError(message) from exc
