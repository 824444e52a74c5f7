"""From NanoAOD files to histograms and plots: one configuration, nothing lost, nothing done twice."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intccms.analysis import AnalysisRunner
    from intccms.schema import SYS, Config, ObjVar, Payload, WorkerEval, load_config
    from intccms.utils.tools import load_dotenv

__all__ = [
    "SYS",
    "AnalysisRunner",
    "Config",
    "ObjVar",
    "Payload",
    "WorkerEval",
    "__version__",
    "load_config",
    "load_dotenv",
]

try:
    __version__ = version("intccms")
except PackageNotFoundError:  # used from the source tree, as pixi does
    __version__ = "0+unknown"

_HOMES = {
    "AnalysisRunner": "intccms.analysis",
    "Config": "intccms.schema",
    "ObjVar": "intccms.schema",
    "Payload": "intccms.schema",
    "SYS": "intccms.schema",
    "WorkerEval": "intccms.schema",
    "load_config": "intccms.schema",
    "load_dotenv": "intccms.utils.tools",
}


def __getattr__(name: str) -> Any:
    """Import the short names when they are first used, so that the command line starts at once."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
