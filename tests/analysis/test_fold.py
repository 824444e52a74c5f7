"""Records add up to the same bits however they came about, and missing chunks take their share of the weights.

Expected sums are those of the plain loops in `tests.analysis.ledgers`, compared without tolerance.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intccms.analysis.ledger import Ledger, compact_file, find_missing, fold_dataset
from intccms.analysis.ledger.records import encode, record_of
from intccms.analysis.normalise import normalise
from intccms.analysis.processing import Processing
from intccms.analysis.results import ChunkFailure, DatasetSums, Receipt
from intccms.schema import load_config
from intccms.selection import Cutflow
from intccms.utils.storage import Storage
from tests.analysis.ledgers import STEP, as_rows, commit, drawn, expected, metadata_of, plan_of, units_of
from tests.configurations import analysis_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from intccms.analysis.ledger import DatasetPlan
    from intccms.analysis.results import Chunk, Work

FILES = {"tt": [300, 40, None, 250], "dy": [220]}
UNITS = units_of(SR="cut 1", CR="cut 2")
CHUNKS = 6 + 1 + 5 + 5


class InterruptedRunError(Exception):
    """The process was killed."""


@dataclass
class Scripted:
    """An executor that delivers drawn results in a drawn order, some of them late, never, or as failures."""

    rng: random.Random
    failing: Collection[tuple[str, int, int]] = ()
    delivers: int = 10**6
    """Results after which the run is killed."""
    plans: dict[str, DatasetPlan] = field(default_factory=dict)
    done: list[Chunk] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    """Those that the run told of."""
    workers: int = 2
    can_finish: bool = False

    def map(self, sharing: Any, items: Any, **_: Any) -> Iterator[tuple[list[Any], dict[str, Any]]]:
        groups = [group for _, group in items]
        self.rng.shuffle(groups)
        for group in groups:
            yield [self._outcome(sharing.function, work) for work in group], {}

    def _outcome(self, task: Any, work: Work) -> Receipt | ChunkFailure:
        if self.delivers == 0:
            raise InterruptedRunError
        self.delivers -= 1
        chunk = work.chunk
        if (chunk.dataset, chunk.file_index, chunk.start) in self.failing:
            return ChunkFailure(chunk, "OSError: gone", "", 1.0)
        self.done.append(chunk)
        sums = drawn(chunk, [self.plans[chunk.dataset].units[name] for name in work.channels])
        contents = ((work.record, encode(record_of(sums), str(work.record))),)
        if self.rng.random() < 0.5:
            contents = task.place.commit(contents)  # by the worker; else the client has to
        return Receipt(work, contents)

    def close(self) -> None:
        pass


def plans(units=UNITS) -> list[DatasetPlan]:
    return [plan_of(metadata_of(entries, name=name), units) for name, entries in FILES.items()]


def run(folder: Path | str, executor: Scripted, units=UNITS) -> dict[str, Any]:
    """Run all datasets in a process of its own: nothing but the folder is left of an earlier one."""
    wanted = plans(units)
    executor.plans = {plan.name: plan for plan in wanted}
    config = load_config(analysis_of([{"name": n, "files": ["x"], "cross_sections": [1.0]} for n in FILES]))
    processing = Processing(config, wanted, Ledger(Storage(str(folder))), lambda: executor)
    return processing.run(processing.missing(), title="run", show=False, on_receipt=executor.receipts.append)


def rows_of(folds: dict[str, Any]) -> dict[str, dict[Any, float]]:
    return {name: as_rows(fold.sums) for name, fold in folds.items()}


def expected_rows(failing=frozenset()) -> dict[str, dict[Any, float]]:
    return {
        plan.name: expected(plan, lambda chunk: (chunk.dataset, chunk.file_index, chunk.start) in failing)
        for plan in plans()
    }


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 12), max_size=4))
def test_neither_order_of_arrival_nor_kills_change_a_bit_and_nothing_is_done_twice(rng, kills):
    with tempfile.TemporaryDirectory() as folder:
        done = 0
        for delivers in kills:
            executor = Scripted(rng, delivers=delivers)
            with contextlib.suppress(InterruptedRunError):
                run(folder, executor)
            done += len(executor.done)
        last, again = Scripted(rng), Scripted(rng)
        assert rows_of(run(folder, last)) == expected_rows()
        # a kill costs what the client had not written yet of the group of two that was on its way
        assert CHUNKS <= done + len(last.done) <= CHUNKS + len(kills)
        assert [receipt.chunk for receipt in last.receipts] == last.done
        assert rows_of(run(folder, again)) == expected_rows()
        assert again.done == []


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sets(st.integers(0, CHUNKS - 1), max_size=5))
def test_failures_leave_out_their_chunks_and_nothing_else_and_a_later_run_makes_good(rng, chosen):
    keys = [
        (c.dataset, c.file_index, c.start) for plan in plans() for file in plan.files for c in file.chunks
    ]
    failing = {keys[index] for index in chosen}
    with tempfile.TemporaryDirectory() as folder:
        folds = run(folder, Scripted(rng, failing))
        expectation = expected_rows(failing)
        for name, fold in folds.items():
            mine = sorted((index, start) for dataset, index, start in failing if dataset == name)
            assert [(one.chunk.file_index, one.chunk.start) for one in fold.failures] == mine
            assert as_rows(fold.sums).items() >= expectation[name].items()
            assert fold.reused == 0
        repair = Scripted(rng)
        assert rows_of(run(folder, repair)) == expected_rows()
        assert {(c.dataset, c.file_index, c.start) for c in repair.done} == failing


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, CHUNKS - 1))
def test_channels_that_are_computed_one_after_the_other_are_those_computed_together(rng, failing):
    keys = [
        (c.dataset, c.file_index, c.start) for plan in plans() for file in plan.files for c in file.chunks
    ]
    with tempfile.TemporaryDirectory() as folder:
        run(folder, Scripted(rng), units_of(CR="cut 2"))
        # the records of whole files cannot serve while one chunk of a file is missing for the other channel
        folds = run(folder, Scripted(rng, {keys[failing]}))
        expectation = expected_rows({keys[failing]})
        assert all(as_rows(fold.sums).items() >= expectation[name].items() for name, fold in folds.items())
        assert rows_of(run(folder, Scripted(rng))) == expected_rows()


def test_chunks_that_are_computed_anew_for_the_sake_of_a_failure_count_once(tmp_path):
    run(tmp_path, Scripted(random.Random(1)), units_of(CR="cut 2"))
    fold = run(tmp_path, Scripted(random.Random(1), {("tt", 0, 100)}))["tt"]
    assert (fold.chunks, fold.computed, len(fold.failures), fold.reused) == (12, 11, 1, 0)


def in_ledger(folder: Path, *, order: Any = None, units=UNITS) -> tuple[DatasetPlan, Ledger]:
    """Commit all chunks of `tt`, and compact nothing."""
    plan, ledger = plans(units)[0], Ledger(Storage(str(folder)))
    work = find_missing([plan], ledger).work
    for one in sorted(work, key=order) if order else work:
        commit(one, plan, ledger)
    assert find_missing([plan], ledger).work == []
    return plan, ledger


def folded(plan: DatasetPlan, ledger: Ledger, failures: Any = ()) -> dict[Any, float]:
    lost = {(one.chunk.file_index, one.chunk.start): one for one in failures}
    return as_rows(fold_dataset(plan, lost, ledger).sums)


@pytest.mark.parametrize("compacted", [(), (0,), (3,), (0, 1, 3)], ids=str)
@pytest.mark.parametrize("whole", [False, True])
def test_compaction_and_the_record_of_the_whole_dataset_change_no_bit(tmp_path, compacted, whole):
    plan, ledger = in_ledger(tmp_path, order=lambda work: -work.chunk.start)
    for index in compacted:
        compact_file(plan, plan.file(index), ledger)
        kinds = {name.kind for name in ledger.names("tt") if name.key == plan.file(index).key}
        assert kinds == ({"file"} if len(plan.file(index).chunks) > 1 else {"chunk"})
    rows = folded(plan, ledger)
    assert rows == expected(plan)
    assert ledger.storage.size(str(plan.whole)) is not None
    if not whole:
        ledger.delete([plan.whole])
    assert folded(plan, ledger) == rows


def test_the_order_would_show_if_chunks_were_added_as_they_come():
    # without this the tests above could not fail; `sum` would not show it, because it compensates
    plan = plans()[0]
    rows = [as_rows(drawn(chunk, UNITS.values())) for file in plan.files for chunk in file.chunks]
    forwards, backwards = {}, {}
    for total, ordered in ((forwards, rows), (backwards, rows[::-1])):
        for one in ordered:
            for key, value in one.items():
                total[key] = total.get(key, 0) + value
    differ = [key for key, value in expected(plan).items() if value != forwards[key]]
    assert {key[2] for key in differ if len(key) == 4} >= {"sumw", "sumw2"}, "files count as well"
    assert any(forwards[key] != backwards[key] for key in forwards)


def test_the_sums_are_the_exact_ones_but_for_rounding(tmp_path):
    plan, ledger = in_ledger(tmp_path)
    rows = folded(plan, ledger)
    chunks = [dict(as_rows(drawn(c, UNITS.values()))) for file in plan.files for c in file.chunks]
    for key, value in rows.items():
        exact = sum(Fraction(one[key]) for one in chunks)
        size = sum(abs(Fraction(one[key])) for one in chunks)
        assert abs(Fraction(value) - exact) <= size * len(chunks) * Fraction(2) ** -53, key


def test_the_record_of_the_whole_dataset_is_of_no_use_where_a_chunk_is_missing(tmp_path):
    plan, ledger = in_ledger(tmp_path)
    folded(plan, ledger)
    chunk = plan.file(0).chunks[1]
    rows = folded(plan, ledger, [ChunkFailure(chunk, "gone", "")])
    assert rows.items() >= expected(plan, lambda one: one == chunk).items()


def test_adding_up_leaves_the_records_as_they_were(tmp_path):
    plan, ledger = in_ledger(tmp_path)
    before = {str(name): ledger.storage.get(str(name)) for name in ledger.names("tt")}
    folded(plan, ledger)
    assert {name: ledger.storage.get(name) for name in before} == before
    assert len(before) == 12


def test_the_sums_name_what_was_absent_and_the_channels_in_the_order_of_the_configuration(tmp_path):
    plan, ledger = in_ledger(tmp_path)
    sums = fold_dataset(plan, {}, ledger).sums
    assert (list(sums.channels), sums.absent_triggers) == (["SR", "CR"], {"HLT_A"})
    assert sums.absent_of == {"SR": {"HLT_A"}, "CR": {"HLT_A"}}
    turned = plan_of(plan.metadata, dict(reversed(plan.units.items())))
    assert list(fold_dataset(turned, {}, ledger).sums.channels) == ["CR", "SR"]


LUMIS = [{"1": [[0, 149]]}, {"1": [[0, 99]], "2": [[7, 9]]}]


@pytest.mark.parametrize("missing", [[], [(0, 50)], [(1, 0), (1, 50)]], ids=str)
def test_the_lumi_sections_are_those_of_the_files_and_of_the_chunks_where_some_are_missing(tmp_path, missing):
    # the chunk from entry i to j has the sections i to j-1 of run 1; run 2 is in no chunk, as a section without events
    metadata = metadata_of([150, 100], data=True, lumis=LUMIS)
    plan, ledger = plan_of(metadata, UNITS), Ledger(Storage(str(tmp_path)))
    for work in find_missing([plan], ledger).work:
        commit(work, plan, ledger, data=True)
    chunks = {(chunk.file_index, chunk.start): chunk for file in plan.files for chunk in file.chunks}
    failures = {key: ChunkFailure(chunks[key], "gone", "") for key in missing}
    found = fold_dataset(plan, failures, ledger).lumis
    answers = {
        (): {"1": [[0, 149]], "2": [[7, 9]]},
        ((0, 50),): {"1": [[0, 149]], "2": [[7, 9]]},
        ((1, 0), (1, 50)): {"1": [[0, 149]]},
    }
    assert found == answers[tuple(missing)]
    only_first = {key: failure for key, failure in failures.items() if key[0] == 0}
    if only_first:
        gone = {(1, start): ChunkFailure(chunks[1, start], "gone", "") for start in (0, 50)}
        assert fold_dataset(plan, only_first | gone, ledger).lumis == {"1": [[0, 49], [100, 149]]}


def test_lumi_sections_of_files_without_events_count_in_every_run(tmp_path):
    metadata = metadata_of([150, 0, 100], data=True, lumis=[LUMIS[0], {"3": [[1, 4]]}, LUMIS[1]])
    plan, ledger = plan_of(metadata, UNITS), Ledger(Storage(str(tmp_path)))
    for work in find_missing([plan], ledger).work:
        commit(work, plan, ledger, data=True)
    first, second = (fold_dataset(plan, {}, ledger).lumis for _ in range(2))
    assert second == {"1": [[0, 149]], "2": [[7, 9]], "3": [[1, 4]]}
    assert first == second


def test_a_run_that_only_skims_survives_a_failed_chunk(tmp_path):
    plan, ledger = plans({})[0], Ledger(Storage(str(tmp_path)))
    assert find_missing([plan], ledger).work == []
    chunk = plan.file(0).chunks[1]
    fold = fold_dataset(plan, {(0, 50): ChunkFailure(chunk, "gone", "")}, ledger)
    assert [one.chunk for one in fold.failures] == [chunk]


def test_observables_that_change_places_between_two_runs_are_not_mixed_up(tmp_path):
    plan, ledger = in_ledger(tmp_path)
    first = next(name for name in ledger.names("tt") if name.key == plan.file(0).key)
    (work,) = (w for w in _without(plan, ledger, first))
    sums = drawn(work.chunk, plan.units.values())
    sums.histograms = dict(reversed(sums.histograms.items()))  # the digest does not see the order
    ledger.put(work.record, encode(record_of(sums), str(work.record)))
    assert folded(plan, ledger) == expected(plan)


def _without(plan: DatasetPlan, ledger: Ledger, name: Any) -> list[Work]:
    ledger.delete([name])
    return find_missing([plan], ledger).work


def counted_run(folder: Path, failures: dict[tuple[int, int], float | None], **facts: Any) -> Any:
    """Normalise chunks of one unit of generator weight per entry; those that failed have the given sum of weights."""
    plan = plan_of(metadata_of([300, 100, 250], **facts), units_of(all="every event"))
    ledger = Ledger(Storage(str(folder)))
    lost = {
        (chunk.file_index, chunk.start): ChunkFailure(
            chunk, "gone", "", failures[chunk.file_index, chunk.start]
        )
        for file in plan.files
        for chunk in file.chunks
        if (chunk.file_index, chunk.start) in failures
    }
    for work in find_missing([plan], ledger, without={"tt": lost.keys()}).work:
        sums = DatasetSums(entries=STEP, sumw=float(STEP), channels={"all": Cutflow()})
        ledger.put(work.record, encode(record_of(sums), str(work.record)))
    config = load_config(analysis_of([{"name": "tt", "files": ["x"], "cross_sections": [2.0]}]))
    return normalise(config, plan.metadata, fold_dataset(plan, lost, ledger))


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
def test_missing_chunks_take_their_share_out_of_the_sum_of_weights(case: str, tmp_path):
    failures, factor, note = CASES[case]
    result = counted_run(tmp_path, failures, sumw=(600.0, 400.0, 1000.0))
    assert result.factor == pytest.approx(factor, rel=1e-12)
    assert any(note in one for one in result.notes) if note else result.notes == ()


def test_sums_counted_from_events_are_noted(tmp_path):
    result = counted_run(tmp_path, {}, sumw_from="Events")
    assert result.notes == ("sum of weights of tt counted from Events: right only if its files are no skims",)


@pytest.mark.parametrize("sumw", [(0.0, 0.0, 0.0), (1.0, -1.0, 0.0), (float("nan"), 1.0, 1.0)])
def test_a_sum_of_weights_that_divides_badly_is_an_error_not_an_exception(sumw, tmp_path):
    result = counted_run(tmp_path, {}, sumw=sumw)
    assert result.factor == 0.0
    assert result.error is not None
    assert "expected a finite non-zero number" in result.error
