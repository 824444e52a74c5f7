"""The truth about a run: what was expected, what was processed, what was not and why."""

from __future__ import annotations

from intccms.analysis.report.build import make_report
from intccms.analysis.report.model import DatasetReport, Failure, FailureGroup, RunReport, Skipped
from intccms.analysis.report.page import html_page
from intccms.analysis.report.storage import json_text, read_report, write_report

__all__ = [
    "DatasetReport",
    "Failure",
    "FailureGroup",
    "RunReport",
    "Skipped",
    "html_page",
    "json_text",
    "make_report",
    "read_report",
    "write_report",
]
