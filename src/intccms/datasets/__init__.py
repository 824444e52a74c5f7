"""What to read: dataset definitions, listings, redirectors, and how a source is opened."""

from __future__ import annotations

from intccms.datasets.manager import DatasetManager
from intccms.datasets.replicas import SourceFile
from intccms.datasets.sources import EventSource, open_source

__all__ = ["DatasetManager", "EventSource", "SourceFile", "open_source"]
