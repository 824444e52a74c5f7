"""Examples on the reference payloads, whoever imported them before: their paths are fixed at import."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from intccms import load_config
from tests.reference import reference_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intccms.schema import Config

__all__ = ["example_on_reference_payloads"]


def example_on_reference_payloads(name: str, overrides: Sequence[str] = ()) -> Config:
    """Load an example with the payloads of the reference inputs, or skip the test without them."""
    payloads, package = reference_data() / "corrections" / "POG", name.partition(".")[0]

    def forget() -> dict[str, object]:
        return {one: sys.modules.pop(one) for one in list(sys.modules) if one.partition(".")[0] == package}

    before = forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTCCMS_PAYLOADS", str(payloads))
        try:
            return load_config(name, list(overrides))
        finally:
            forget()
            sys.modules.update(before)
