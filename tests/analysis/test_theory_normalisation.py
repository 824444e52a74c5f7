"""Factors of variations that are normalised with sums of their own, calculated by hand, and kept by skims."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from intccms.analysis import AnalysisRunner
from intccms.analysis.chunks import files_of
from intccms.analysis.fold import DatasetFold, FileFact
from intccms.analysis.ledger import Units
from intccms.analysis.normalise import Normalisation, check_weight_sums, normalise
from intccms.analysis.results import ChunkFailure, DatasetSums
from intccms.analysis.skimbook import SkimReader
from intccms.errors import ConfigError
from intccms.metadata import DatasetMetadata
from intccms.schema import Config, load_config
from intccms.schema.base import SYS, ObjVar
from tests.analysis.ledgers import metadata_of
from tests.configurations import above, analysis_of
from tests.nanofiles import gen_weight, theory_weight, write_nano

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMW = (600.0, 400.0, 1000.0)
SCALES = [[500.0, 600.0, 900.0], [300.0, 400.0, 450.0], [800.0, 1000.0, 0.0]]
EXPECTED_EVENTS = 2000.0  # 2 pb * 1000 / pb


def first_column(weights: Any, _key: Any) -> Any:
    return weights[:, 0]


def theory(name: str = "scale", branch: str = "LHEScaleWeight", **keys: Any) -> dict[str, Any]:
    """Return a correction with one source, normalised with the sums of a branch."""
    source = {"name": name, "weight_sums": branch, **(keys or {"up_and_down_idx": [2, 0]})}
    args = [ObjVar("event", branch), SYS]
    return {
        "name": f"theory_{name}",
        "type": "event",
        "ignore_missing": True,
        "uncertainty_sources": [source | {"args": args, "up_function": first_column}],
    }


def config_of(*corrections: dict[str, Any], **general: Any) -> Config:
    datasets = [{"name": "tt", "files": ["x"], "cross_sections": [2.0]}]
    return load_config({**analysis_of(datasets, **general), "corrections": list(corrections)})


def with_sums(
    sums: Sequence[list[float] | None], branch: str = "LHEScaleWeight", origin: str = "Runs"
) -> DatasetMetadata:
    """Return the facts of three files of 300, 100 and 250 entries; None is a file that tells no sums."""
    metadata = metadata_of([300, 100, 250], sumw=SUMW)
    files = [
        replace(record, weight_sums={branch: one or []}, weight_sums_from={branch: origin} if one else {})
        for record, one in zip(metadata.files, sums, strict=True)
    ]
    return DatasetMetadata(metadata.dataset, tuple(files))


def scaled(metadata: DatasetMetadata, *corrections: dict[str, Any], **general: Any) -> Normalisation:
    fold = DatasetFold(DatasetSums(entries=650))
    return normalise(config_of(*(corrections or (theory(),)), **general), metadata, fold)


def test_a_variation_is_scaled_with_the_sum_of_its_position():
    result = scaled(with_sums(SCALES))
    assert result.error is None
    assert result.notes == ()
    assert result.factor == EXPECTED_EVENTS / 2000
    assert result.scale("LHEScaleWeight", 0) == pytest.approx(EXPECTED_EVENTS / (500 + 300 + 800), rel=1e-14)
    assert result.scale("LHEScaleWeight", 2) == pytest.approx(EXPECTED_EVENTS / (900 + 450), rel=1e-14)
    assert result.scale(None, None) == result.factor


def test_members_have_a_factor_each():
    result = scaled(with_sums(SCALES), theory(members=[0, 1, 2]))
    factors = [result.scale("LHEScaleWeight", position) for position in range(3)]
    assert factors == pytest.approx([2000 / 1600, 2000 / 2000, 2000 / 1350], rel=1e-14)


def lost(metadata: DatasetMetadata, sumw: float | None) -> Any:
    chunk = next(iter(files_of(metadata, 50))).chunks[0]
    return ChunkFailure(chunk, "gone", "", sumw)


@pytest.mark.parametrize(
    ("processed", "missing", "fraction"),
    [(250.0, 250.0, 0.5), (250.0, None, 250 / 300), (None, 50.0, 250 / 300)],
    ids=["weights", "entries", "skims only"],
)
def test_missing_chunks_take_the_same_share_out_of_all_sums(processed, missing, fraction):
    metadata = with_sums(SCALES)
    fact = FileFact(250, processed, (lost(metadata, missing),))
    result = normalise(config_of(theory()), metadata, DatasetFold(DatasetSums(entries=600), {0: fact}))
    assert result.factor == pytest.approx(2000 / (600 * fraction + 1400), rel=1e-12)
    assert result.scale("LHEScaleWeight", 0) == pytest.approx(2000 / (500 * fraction + 1100), rel=1e-12)
    assert result.scale("LHEScaleWeight", 2) == pytest.approx(2000 / (900 * fraction + 450), rel=1e-12)


def test_files_without_sums_count_with_the_nominal_one_and_that_is_noted():
    result = scaled(with_sums([SCALES[0], None, SCALES[2]]))
    assert result.scale("LHEScaleWeight", 0) == pytest.approx(2000 / (500 + 400 + 800), rel=1e-14)
    assert result.notes == (
        "1 of 3 files of tt have no sums of LHEScaleWeight: they count with the nominal sum",
    )


def test_a_file_that_cannot_be_read_counts_nowhere():
    metadata = with_sums(SCALES)
    bad = replace(metadata.files[1], error="gone", weight_sums={}, sumw=None)
    result = scaled(DatasetMetadata(metadata.dataset, (metadata.files[0], bad, metadata.files[2])))
    assert (result.factor, result.notes) == (2000 / 1600, ())
    assert result.scale("LHEScaleWeight", 0) == pytest.approx(2000 / 1300, rel=1e-14)


def test_without_any_sums_variations_are_scaled_as_nominal_and_that_is_noted():
    result = scaled(with_sums([None, None, None]))
    assert result.scale("LHEScaleWeight", 2) == result.factor == 1.0
    assert result.notes == (
        "files of tt have no sums of LHEScaleWeight: its variations are scaled as nominal",
    )
    assert result.error is None


def test_the_single_dummy_of_samples_without_shower_weights_is_no_weight():
    isr = theory("isr", "PSWeight")
    result = scaled(with_sums([[value] for value in SUMW], "PSWeight"), isr)
    assert result.scale("PSWeight", 2) == result.scale("PSWeight", 0) == result.factor
    assert result.notes == ("files of tt have no sums of PSWeight: its variations are scaled as nominal",)
    some = [[500.0, 600.0, 900.0, 700.0], [400.0], [800.0, 1000.0, 700.0, 1000.0]]
    result = scaled(with_sums(some, "PSWeight"), isr)
    assert result.scale("PSWeight", 2) == pytest.approx(2000 / (900 + 400 + 700), rel=1e-14)


def test_sums_counted_from_events_are_noted():
    (note,) = scaled(with_sums(SCALES, origin="Events")).notes
    assert note.startswith("sums of LHEScaleWeight of tt counted from Events: right only if its files are no")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"up_and_down_idx": [1, 3]},
            r"position 3 of LHEScaleWeight is outside the sums of tt\d.root, .*are 3 \(",
        ),
        ({"members": [0, 8]}, r"position 8 of LHEScaleWeight is outside .*positions 0 to 2"),
    ],
    ids=["up and down", "members"],
)
def test_a_position_beyond_the_sums_is_an_error_that_names_source_dataset_and_length(keys, words):
    result = scaled(with_sums(SCALES), theory(**keys))
    assert result.factor == result.scale("LHEScaleWeight", 0) == 0.0
    assert result.error is not None
    with pytest.raises(ConfigError, match=f"cannot normalise source 'scale' of dataset 'tt': {words}"):
        raise ConfigError(result.error)


def test_the_shortest_sums_of_the_files_decide():
    result = scaled(with_sums([[1.0, 2.0, 3.0], [1.0, 2.0], [1.0, 2.0, 3.0]]))
    assert "position 2 of LHEScaleWeight is outside the sums of tt1.root, of which there are 2" in (
        result.error or ""
    )


@pytest.mark.parametrize("last", [-7.0, float("nan"), float("inf")])
def test_a_sum_of_zero_or_not_finite_is_an_error(last):
    result = scaled(with_sums([[1.0, 1.0, 3.0], [1.0, 1.0, 4.0], [1.0, 1.0, last]]))
    assert "position 2 of LHEScaleWeight has the sum" in (result.error or "")
    assert scaled(with_sums(SCALES), theory(up_and_down_idx=[0, 1])).error is None, "what is unused may be 0"


def test_a_run_without_variations_looks_at_no_sums():
    result = scaled(with_sums(SCALES), theory(up_and_down_idx=[0, 9]), run_systematics=False)
    assert (result.error, result.notes, dict(result.variation_factors)) == (None, (), {})


def test_data_and_datasets_without_processed_events_have_one_factor():
    data = normalise(config_of(), metadata_of([10], data=True), DatasetFold(DatasetSums(entries=10)))
    assert data.scale("LHEScaleWeight", 0) == 1.0
    nothing = normalise(config_of(theory()), with_sums(SCALES), DatasetFold())
    assert nothing.scale("LHEScaleWeight", 0) == 0.0


def test_sums_of_files_as_they_are_give_unit_factors_for_weights_that_only_change_shapes(tmp_path):
    # the variation of all generated events, scaled with its own sum, integrates to xsec * lumi
    written = write_nano(tmp_path / "a.root", 30, n_generated=95, theory={"LHEScaleWeight": 9})
    entry = {"name": "tt", "files": [written.name], "cross_sections": [2.0]}
    settings = analysis_of([entry], output_dir=str(tmp_path / "out"))
    runner = AnalysisRunner(load_config(settings), progress=False)
    (metadata,) = runner.metadata()
    result = normalise(config_of(theory(members=[0, 8])), metadata, DatasetFold(DatasetSums(entries=30)))
    for position in (0, 8):
        total = sum(gen_weight(event) * theory_weight(event, position) for event in range(1, 96))
        assert total * result.scale("LHEScaleWeight", position) == pytest.approx(2000.0, rel=1e-12)


class TestSkims:
    """A run on skims normalises as the run on the source does, which need not be there any more."""

    PS = theory("isr", "PSWeight", up_and_down_idx=[0, 2])

    @pytest.fixture
    def source(self, tmp_path):
        # 'Runs' tells of scales, the parton shower is counted from the events
        scales = write_nano(tmp_path / "scales.root", 30, theory={"LHEScaleWeight": 9, "PSWeight": 4})
        return [
            scales,
            write_nano(tmp_path / "b.root", 33, first=50, theory={"PSWeight": 4}, theory_in_runs=False),
        ]

    def config(self, source, **general: Any) -> Config:
        folder = source[0].path.parent
        entry = {"name": "tt", "files": [one.name for one in source], "cross_sections": [2.0]}
        places = {"output_dir": str(folder / "out"), "skimmed_dir": str(folder / "skims")}
        return load_config(
            {
                **analysis_of([entry], **places, **general),
                "preprocess": {
                    "skimming": {"function": above, "use": [("MET", "pt")], "static_kwargs": {"cut": 20.0}}
                },
                "corrections": [theory(), self.PS],
            }
        )

    def skim(self, source) -> dict[Any, int]:
        """Write the skims, and return when their parts were written."""
        runner = AnalysisRunner(
            self.config(source, save_skimmed_output=True, run_analysis=False), progress=False
        )
        assert runner.skim().succeeded
        return {path: path.stat().st_mtime_ns for path in source[0].path.parent.rglob("skims/**/*.parquet")}

    def on_skims(self, source, **general: Any) -> Normalisation:
        config = self.config(source, use_skimmed_input=True, **general)
        (plan,) = SkimReader(config, Units(config)).plans()
        return normalise(config, plan.metadata, DatasetFold(DatasetSums(entries=63)))

    def forget_sums(self, source) -> None:
        """Make the contract one that was written before there were such sums."""
        path = source[0].path.parent / "skims/tt/manifest.json"
        content = json.loads(path.read_text())
        for file in content["files"]:
            del file["weight_sums"], file["weight_sums_from"]
        path.write_text(json.dumps(content))

    def test_the_contract_keeps_the_sums_when_the_source_is_gone(self, source):
        config = self.config(source)
        (metadata,) = AnalysisRunner(config, progress=False).metadata()
        direct = normalise(config, metadata, DatasetFold(DatasetSums(entries=63)))
        assert direct.scale("LHEScaleWeight", 2) != direct.factor
        self.skim(source)
        for one in source:
            one.path.unlink()
        result = self.on_skims(source)
        assert result == direct, "to the last bit"
        # keys 2 and 0; the second file has no scale weights
        by_hand = source[0].weight_sums["LHEScaleWeight"][2] + source[1].sumw
        assert result.scale("LHEScaleWeight", 2) == pytest.approx(2000 / by_hand, rel=1e-12)
        by_hand = source[0].weight_sums["PSWeight"][2] + source[1].weight_sums["PSWeight"][2]
        assert result.scale("PSWeight", 2) == pytest.approx(2000 / by_hand, rel=1e-12)

    def test_a_contract_without_sums_is_refused_and_completed_without_writing_parts_again(self, source):
        written = self.skim(source)
        before = self.on_skims(source)
        self.forget_sums(source)
        words = r"skim of dataset 'tt' in .*skims/tt was written without the sums of LHEScaleWeight, PSWeight over"
        with pytest.raises(
            ConfigError, match=rf"{words}.*save_skimmed_output=True and .*use_skimmed_input=False"
        ):
            self.on_skims(source)
        assert self.on_skims(source, run_systematics=False).factor == before.factor
        assert self.skim(source) == written
        assert self.on_skims(source) == before


def test_what_is_known_not_to_be_told_is_no_reason_to_refuse():
    check_weight_sums(config_of(theory()), with_sums([None, SCALES[0], None]), "skims/tt")
    with pytest.raises(ConfigError, match="without the sums of LHEScaleWeight"):
        check_weight_sums(config_of(theory()), metadata_of([1, 2]), "skims/tt")
    check_weight_sums(config_of(), metadata_of([1, 2]), "skims/tt")
