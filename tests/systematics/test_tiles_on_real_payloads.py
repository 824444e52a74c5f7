"""All variations of the CMS example, on CMS's own payloads, against one variation at a time with correctionlib itself."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from intccms.demo.full import write_full_nanoaod
from intccms.schema import Config
from tests.reference import reference_data
from tests.systematics.tiled import assert_as_one_by_one, assert_same_bits, sums_of

YEAR, PROCESS = "2018", "ttbar_semilep"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("events") / "full.root"
    write_full_nanoaod(file, process=PROCESS, year=YEAR, events=1500, seed=13)
    return file


@pytest.fixture(scope="module")
def example():
    """Return a function that imports a module of the example with our payloads, whoever imported it before."""
    payloads = reference_data() / "corrections" / "POG"

    def imported(name: str) -> dict[str, Any]:
        kept = {one: module for one, module in sys.modules.items() if one.partition(".")[0] == "example_cms"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INTCCMS_PAYLOADS", str(payloads))
            for one in kept:
                del sys.modules[one]
            try:
                return dict(importlib.import_module(name).config)
            finally:
                for one in [one for one in sys.modules if one.partition(".")[0] == "example_cms"]:
                    del sys.modules[one]
                sys.modules.update(kept)

    return imported


def of_one_file(config: dict[str, Any], path: Any, **general: Any) -> Config:
    """Return the analysis of one file of one year, with all corrections that simulation can have."""
    corrections = []
    for one in config["corrections"][YEAR]:
        applies = {"applies_to": ["simulation"]} if "applies_to" in one else {}
        corrections.append({**one, **applies})
    dataset = {"name": PROCESS, "files": [str(path)], "cross_sections": [364.0], "years": [YEAR]}
    return Config(
        **{
            **config,
            "general": {**config["general"], "executor": "iterative", "lumi": {YEAR: 59_830.0}, **general},
            "datasets": {"datasets": [dataset]},
            "corrections": {YEAR: corrections},
            "plotting": {},
        }
    )


@pytest.mark.parametrize("module", ["example_cms", "example_cms.with_theory"])
def test_the_example_varies_as_one_by_one(module, example, path):
    config = of_one_file(example(module), path)
    # with theory, the variations of objects are the same, so that fewer events tell enough
    sums = assert_as_one_by_one(config, path, *((0, 400) if module.endswith("theory") else ()))
    filled = [one for one in sums.histograms.values() if one.entries.sum() > 0]
    assert len(filled) > 3


def test_the_budget_of_rows_changes_no_bit(example, path):
    config = example("example_cms")
    few, many = (sums_of(of_one_file(config, path, tile_rows=rows), path) for rows in (700, 10**9))
    assert_same_bits(few, many)
