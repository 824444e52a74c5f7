"""One chunk (processor) and all chunks (runner, executors, report)."""

from __future__ import annotations

from intccms.analysis.processor import AnalysisProcessor
from intccms.analysis.report import RunReport
from intccms.analysis.runner import AnalysisRunner, RunResult

__all__ = ["AnalysisProcessor", "AnalysisRunner", "RunReport", "RunResult"]
