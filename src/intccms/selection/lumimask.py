"""Certified lumi sections (golden JSON files)."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intccms.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["certified", "check_golden_json"]


def certified(path: str, runs: Any, sections: Any) -> NDArray[np.bool_]:
    """Return which events lie in certified lumi sections, shape ``(n_events,)``.

    Parameters
    ----------
    path
        Golden JSON, ``{"run": [[first, last], ...]}``, both ends included.
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
    # the compiled mask takes NanoAOD's own type only; files of other tools have wider ones
    return np.asarray(
        mask(np.asarray(runs, dtype=np.uint32), np.asarray(sections, dtype=np.uint32)), dtype=bool
    )


def check_golden_json(path: str) -> None:
    """Check that a file is a golden JSON, without the library that applies it.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not ``{"run": [[first, last], ...]}``.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        message = f"lumi mask {path!r} cannot be read: {type(exc).__name__}: {exc}. Correct lumi_mask."
        raise ConfigError(message) from exc
    ranges = content.items() if isinstance(content, dict) else [("", None)]
    for run, sections in ranges:
        if not run.isdigit() or not _are_ranges(sections):
            message = (
                f"lumi mask {path!r} is no golden JSON: run {run!r} has {str(sections)[:60]!r}; expected "
                '{"run": [[first, last], ...]}. Correct lumi_mask.'
            )
            raise ConfigError(message)


def _are_ranges(sections: Any) -> bool:
    return isinstance(sections, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, int) for one in pair)
        for pair in sections
    )


@lru_cache(maxsize=16)
def _load(path: str, state: tuple[int, int] | None) -> Any:
    del state  # part of the key: a file that was written anew is read anew
    check_golden_json(path)
    from coffea.lumi_tools import LumiMask  # compiles for 5 s on import

    return LumiMask(path)
