"""What an analysis is: validated models, overrides and digests. No input or output, no arrays."""

from __future__ import annotations

from intccms.schema.base import SYS, Functor, Model, ObjVar, Payload, Sys, WorkerEval
from intccms.schema.config import Config
from intccms.schema.datasets import Dataset
from intccms.schema.loading import load_config
from intccms.schema.overrides import load_config_with_restricted_cli

__all__ = [
    "SYS",
    "Config",
    "Dataset",
    "Functor",
    "Model",
    "ObjVar",
    "Payload",
    "Sys",
    "WorkerEval",
    "load_config",
    "load_config_with_restricted_cli",
]
