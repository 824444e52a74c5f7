"""The reference inputs: real files that are not part of the project, in a folder that a variable names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "INTCCMS_REFERENCE_DATA"


def reference_data() -> Path:
    """Return the folder of the reference inputs, or skip the test that asks for it.

    Where ``CI`` is ``true`` a missing folder is a failure, so that no test is skipped unnoticed; a variable that is
    set and empty says that the inputs cannot be had there, and skips.
    """
    value = os.environ.get(VARIABLE)
    if value:
        folder = Path(value)
        if not folder.is_dir():
            pytest.fail(f"{VARIABLE}={value}: there is no such folder", pytrace=False)
        return folder
    reason = f"set {VARIABLE} to the folder of the reference inputs"
    if value is None and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, or to nothing where they cannot be had", pytrace=False)
    pytest.skip(reason)
