"""Outcomes add up to the same bits in whatever order they arrive."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intccms.analysis.fold import Fold
from intccms.analysis.normalise import normalise
from intccms.analysis.results import Chunk, ChunkFailure, ChunkResult, DatasetSums
from intccms.datasets import SourceFile
from intccms.histograms import Sums
from intccms.metadata import DatasetMetadata, FileMetadata
from intccms.schema import load_config
from intccms.selection import Cutflow
from tests.configurations import analysis_of

FILES = {"tt": [300, 100, 250], "dy": [220]}
STEP = 50


def all_chunks() -> list[Chunk]:
    return [
        Chunk(
            name,
            index,
            SourceFile(f"{name}{index}", (f"{name}{index}",)),
            "Events",
            None,
            start,
            start + STEP,
        )
        for name, lengths in FILES.items()
        for index, length in enumerate(lengths)
        for start in range(0, length, STEP)
    ]


def outcomes() -> list[ChunkResult | ChunkFailure]:
    """Results whose sums differ by many orders of magnitude, so that the order shows in the last bits."""
    rng = np.random.default_rng(8)
    made: list[ChunkResult | ChunkFailure] = []
    for number, chunk in enumerate(all_chunks()):
        if number in (2, 9):
            made.append(ChunkFailure(chunk, "OSError: gone", "", sumw=float(rng.normal())))
            continue
        sumw = rng.normal(size=7) * 10.0 ** rng.integers(-8, 8, 7)
        content = Sums(sumw, sumw**2, rng.integers(0, 9, 7), nan=number)
        weight = float(rng.normal() * 10.0 ** rng.integers(-8, 8))
        made.append(
            ChunkResult(
                chunk,
                DatasetSums(
                    entries=STEP,
                    sumw=weight,
                    common=Cutflow({"all": (STEP, weight)}),
                    channels={"SR": Cutflow({"cut": (number, weight / 3)})},
                    histograms={("SR", "x"): content},
                    absent_triggers=frozenset({"HLT_A"} if number == 4 else ()),
                ),
            )
        )
    return made


def folded(parts) -> dict[str, DatasetSums]:
    fold = Fold(all_chunks(), list(FILES))
    for part in parts:
        fold.put(part)
    return fold.datasets


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_change_a_bit(rng: random.Random):
    parts = outcomes()
    reference = folded(parts)
    shuffled = list(parts)
    rng.shuffle(shuffled)
    other = folded(shuffled)
    for name in FILES:
        one, two = reference[name], other[name]
        assert np.array_equal(one.sums.histograms["SR", "x"].sumw, two.sums.histograms["SR", "x"].sumw)
        assert np.array_equal(one.sums.histograms["SR", "x"].sumw2, two.sums.histograms["SR", "x"].sumw2)
        assert np.array_equal(one.sums.histograms["SR", "x"].entries, two.sums.histograms["SR", "x"].entries)
        assert (one.sums.common, one.sums.channels, one.sums.sumw) == (
            two.sums.common,
            two.sums.channels,
            two.sums.sumw,
        )
        assert one.failures == two.failures
        assert one.files == two.files


def test_the_order_would_show_if_parts_were_added_as_they_come():
    # without this the test above could not fail
    contents = [one.sums.histograms["SR", "x"].sumw for one in outcomes() if isinstance(one, ChunkResult)]
    assert not np.array_equal(sum(contents), sum(reversed(contents)))


def test_the_sums_are_those_of_the_parts_and_failures_are_kept_in_order():
    parts = outcomes()
    result = folded(reversed(parts))
    mine = [one for one in parts if one.chunk.dataset == "tt" and isinstance(one, ChunkResult)]
    sums = result["tt"].sums
    assert sums.entries == STEP * len(mine)
    entries = sum(one.sums.histograms["SR", "x"].entries for one in mine)
    assert np.array_equal(sums.histograms["SR", "x"].entries, entries)
    assert sums.histograms["SR", "x"].nan == sum(one.sums.histograms["SR", "x"].nan for one in mine)
    assert sums.absent_triggers == {"HLT_A"}
    assert [(one.chunk.file_index, one.chunk.start) for one in result["tt"].failures] == [(0, 100), (2, 50)]
    assert result["dy"].failures == []


def test_adding_up_leaves_the_parts_as_they_were():
    parts = outcomes()
    before = [one.sums.histograms["SR", "x"].sumw.copy() for one in parts if isinstance(one, ChunkResult)]
    folded(parts)
    after = [one.sums.histograms["SR", "x"].sumw for one in parts if isinstance(one, ChunkResult)]
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def metadata(*, sumw: tuple[float, ...] = (600.0, 400.0, 1000.0), sumw_from: str = "Runs") -> DatasetMetadata:
    entry = {"name": "tt", "files": ["x"], "cross_sections": [2.0]}
    config = load_config(analysis_of([entry]))
    files = tuple(
        FileMetadata(f"tt{i}", (f"tt{i}",), entries=n, sumw=w, sumw_from=sumw_from)
        for i, (n, w) in enumerate(zip(FILES["tt"], sumw, strict=True))
    )
    return DatasetMetadata(config.selected_datasets()[0], files)


def run_with(failures: dict[tuple[int, int], float | None]):
    """Fold chunks of one unit of generator weight per entry; those that failed have the given sum of weights."""
    fold = Fold([one for one in all_chunks() if one.dataset == "tt"], ["tt"])
    for chunk in all_chunks():
        if chunk.dataset == "tt":
            key = (chunk.file_index, chunk.start)
            lost = ChunkFailure(chunk, "gone", "", failures.get(key))
            done = ChunkResult(chunk, DatasetSums(entries=STEP, sumw=float(STEP)))
            fold.put(lost if key in failures else done)
    config = load_config(analysis_of([{"name": "tt", "files": ["x"], "cross_sections": [2.0]}]))
    return lambda facts: normalise(config, facts, fold.datasets["tt"])


# luminosity 1000 / pb, cross-section 2 pb: 2000 expected events over the sums of weights 600 + 400 + 1000
CASES = {
    "nothing is missing": ({}, 2000 / 2000, None),
    "a third of the first file": ({(0, 0): 50.0, (0, 50): 50.0}, 2000 / (600 * 2 / 3 + 1400), None),
    "a part of larger weight": ({(0, 0): 250.0}, 2000 / (600 * 250 / 500 + 1400), None),
    "a whole file": ({(1, 0): 50.0, (1, 50): 50.0}, 2000 / 1600, None),
    "weights that cannot be read": ({(0, 0): None}, 2000 / (600 * 250 / 300 + 1400), "fraction of entries"),
    "a whole file that cannot be read": ({(1, 0): None, (1, 50): None}, 2000 / 1600, None),
}


@pytest.mark.parametrize("case", CASES)
def test_missing_chunks_take_their_share_out_of_the_sum_of_weights(case: str):
    failures, factor, note = CASES[case]
    result = run_with(failures)(metadata())
    assert result.factor == pytest.approx(factor, rel=1e-12)
    assert any(note in one for one in result.notes) if note else result.notes == ()


def test_sums_counted_from_events_are_noted():
    result = run_with({})(metadata(sumw_from="Events"))
    assert result.notes == ("sum of weights of tt counted from Events: right only if its files are no skims",)


@pytest.mark.parametrize("sumw", [(0.0, 0.0, 0.0), (1.0, -1.0, 0.0), (float("nan"), 1.0, 1.0)])
def test_a_sum_of_weights_that_divides_badly_is_an_error_not_an_exception(sumw):
    result = run_with({})(metadata(sumw=sumw))
    assert result.factor == 0.0
    assert result.error is not None
    assert "expected a finite non-zero number" in result.error
