"""Reads chunks, and compares all variations of the engine with one variation at a time in plain awkward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.analysis import AnalysisProcessor
from intccms.datasets import SourceFile, open_source
from intccms.schema import Config
from intccms.skimming import ColumnPlan
from tests.systematics.one_by_one import one_variation

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.analysis.results import DatasetSums

__all__ = ["assert_as_one_by_one", "assert_same_bits", "chunk", "sums_of"]

PRECISION = 1e-12
"""Of the sum of the absolute weights in a bin."""


def chunk(config: Config, path: Path, start: int = 0, stop: int | None = None) -> Any:
    """Return the events of a file as the engine gets them."""
    dataset = config.selected_datasets()[0]
    source = open_source(SourceFile(str(path), (str(path),)), "Events")
    branches = ColumnPlan(config).branches(source.branches, dataset, where=str(path))
    metadata = {
        "dataset": dataset.name,
        "absent_triggers": branches.absent_triggers,
        "absent_corrections": branches.absent_corrections,
    }
    return source.events(branches.names, start, source.entries if stop is None else stop, metadata)


def sums_of(config: Config, path: Path, *limits: int) -> DatasetSums:
    """Return what the engine makes of a file, or of a part of it."""
    return AnalysisProcessor(config).sums(chunk(config, path, *limits))


def assert_as_one_by_one(config: Config, path: Path, *limits: int) -> DatasetSums:
    """Compare every variation of every histogram with the loop, and return the sums of the engine.

    Counts are compared exactly: as nominal entries, and in variations as sums of weights of one.
    """
    events = chunk(config, path, *limits)
    dataset = config.selected_datasets()[0]
    absent = frozenset(events.metadata["absent_triggers"] + events.metadata["absent_corrections"])
    processor = AnalysisProcessor(config)
    sums, counted = processor.sums(events), _counted(config, events)
    plan = processor.plan(dataset.name)
    assert len(sums.histograms) == sum(len(one.observables) for one in config.selected_channels())
    of_channel = {one.name: plan.of_channel(one) for one in config.selected_channels()}
    for (channel, _), found in sums.histograms.items():
        assert tuple(found.varied) == of_channel[channel]
    for variation in ("nominal", *plan.weight_variations, *plan.object_variations):
        expected = one_variation(config, dataset, events, variation, absent)
        assert set(expected) == set(sums.histograms)
        for key, (sumw, sumw2, entries) in expected.items():
            where = f"{variation} of {key}"
            if variation == "nominal":
                assert np.array_equal(sums.histograms[key].entries, entries), where
                assert np.array_equal(counted.histograms[key].sumw, entries), where
                _assert_close(
                    sums.histograms[key].sumw, sums.histograms[key].sumw2, sumw, sumw2, entries, where
                )
            elif variation in sums.histograms[key].varied:
                found, found2 = sums.histograms[key].varied[variation]
                _assert_close(found, found2, sumw, sumw2, entries, where)
                if variation in counted.histograms[key].varied:
                    assert np.array_equal(counted.histograms[key].varied[variation][0], entries), where
                else:
                    assert variation in plan.weight_variations, where
    return sums


def _counted(config: Config, events: Any) -> DatasetSums:
    """Return the sums of the same events with weights of one."""
    dump = {name: getattr(config, name) for name in type(config).model_fields}
    corrections = config.corrections
    if isinstance(corrections, dict):
        kept: Any = {year: _without_weights(one) for year, one in corrections.items()}
    else:
        kept = _without_weights(corrections)
    unweighted = Config(**{**dump, "corrections": kept})
    metadata = events.metadata
    events = ak.with_field(events, np.ones(len(events)), "genWeight")
    events.metadata.update(metadata)
    return AnalysisProcessor(unweighted).sums(events)


def _without_weights(corrections: list[Any]) -> list[Any]:
    """Return the list with event corrections that give 1, so that what leads and follows stays as it is."""
    return [one if one.type != "event" else _of_one(one) for one in corrections]


def _of_one(correction: Any) -> Any:
    def one(*arguments: Any) -> Any:
        first = next(x for x in arguments if isinstance(x, ak.Array))
        return np.ones(len(first))

    def none(*arguments: Any) -> Any:
        return 0.0 * one(*arguments)

    sources = [
        source.model_copy(
            update={
                "up_function": none if source.is_delta else one,
                "down_function": source.down_function and one,
                "key": None,
                "file": None,
                "transform_in": None,
                "transform_out": None,
            }
        )
        for source in correction.uncertainty_sources
    ]
    return correction.model_copy(
        update={
            "file": None,
            "key": None,
            "use_correctionlib": None,
            "nominal_function": one,
            "op": "mult",
            "transform_in": None,
            "transform_out": None,
            "uncertainty_sources": sources,
        }
    )


def _assert_close(
    sumw: np.ndarray,
    sumw2: np.ndarray,
    expected: np.ndarray,
    expected2: np.ndarray,
    entries: np.ndarray,
    where: str,
) -> None:
    bound = np.sqrt(entries * expected2)  # at least the sum of absolute weights (Cauchy and Schwarz)
    assert np.all(np.abs(sumw - expected) <= PRECISION * bound), where
    assert np.all(np.abs(sumw2 - expected2) <= PRECISION * expected2), where


def assert_same_bits(found: DatasetSums, expected: DatasetSums, keys: Any = None) -> None:
    """Compare histograms with all their variations, or some of the histograms."""
    keys = expected.histograms.keys() if keys is None else keys
    assert keys
    for key in keys:
        one, other = found.histograms[key], expected.histograms[key]
        assert list(one.varied) == list(other.varied), key
        assert np.array_equal(one.entries, other.entries), key
        assert one.nan == other.nan, key
        pairs = [((one.sumw, one.sumw2), (other.sumw, other.sumw2), "nominal")]
        pairs += [(one.varied[name], other.varied[name], name) for name in one.varied]
        for mine, theirs, name in pairs:
            assert mine[0].tobytes() == theirs[0].tobytes(), (key, name)
            assert mine[1].tobytes() == theirs[1].tobytes(), (key, name)
