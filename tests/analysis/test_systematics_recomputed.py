"""What a change of corrections costs: the chunks whose content it changes, and nothing else.

Whether a chunk is computed is seen by the functions of the user, which note their calls.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from intccms.analysis import AnalysisRunner
from intccms.schema import SYS, Config, ObjVar
from tests.analysis.breaking import assert_same_bits, bits, calls_in
from tests.analysis.test_systematics_run import analysis, keyed, member, toys, view_of, weight
from tests.analysis.toys import write_toy

__all__ = ["toys"]

CHUNKS = {"tt_2017_2017": 3, "tt_2018_2018": 3, "dy_2018_2018": 3, "data_2018": 2}
"""Of 300, 260, 310 and 200 events, at most 110 in each."""
SIMULATION = tuple(name for name in CHUNKS if name != "data_2018")
OF_2018 = ("tt_2018_2018", "dy_2018_2018")
OF_TT = ("tt_2017_2017", "tt_2018_2018")


class Run:
    """An analysis that was run once."""

    def __init__(self, toys, folder):
        self.folder = folder
        self.config = analysis(toys, folder)
        assert self.run() == dict.fromkeys(("SR", "CR"), sum(CHUNKS.values()))
        assert self.counted == {name: (number, 0) for name, number in CHUNKS.items()}

    def run(self):
        """Return how many chunks each channel computed."""
        for path in self.folder.glob("calls *"):
            path.unlink()
        result = AnalysisRunner(Config(**self.config), progress=False).histogram()
        assert result.output["report"]["failures"] == ()
        self.output = result.output
        self.counted = {
            one["name"]: (one["computed"], one["reused"]) for one in result.output["report"]["datasets"]
        }
        calls = {one: len(calls_in(self.folder / f"calls {one}")) for one in ("SR", "CR")}
        return {name: number for name, number in calls.items() if number}

    def computed(self):
        """Return the datasets of which chunks were computed."""
        self.run()
        return {name for name, (number, _) in self.counted.items() if number}

    def assert_as_new(self):
        """Compare with a run that has no ledger."""
        general = {**self.config["general"], "output_dir": str(self.folder / "anew")}
        AnalysisRunner(Config(**{**self.config, "general": general}), progress=False).histogram()
        assert_same_bits(bits(self.folder / "out"), bits(self.folder / "anew"))
        shutil.rmtree(self.folder / "anew")

    def correction(self, year, name):
        return next(one for one in self.config["corrections"][year] if one["name"] == name)


@pytest.fixture
def made(toys, tmp_path):
    return Run(toys, tmp_path)


def rename_a_source(run):
    run.correction("2018", "sf")["uncertainty_sources"][1]["name"] = "other"


def change_keys(run):
    run.correction("2018", "met")["uncertainty_sources"][0]["up_and_down_idx"] = ["down", "up"]


def add_a_source(run):
    run.correction("2017", "sf")["uncertainty_sources"].append(keyed("more"))


def remove_a_source(run):
    run.correction("2017", "met")["uncertainty_sources"].pop()


def change_a_nominal_key(run):
    run.correction("2018", "sf")["nominal_idx"] = "up"


def let_theory_apply_to_all(run):
    for year in ("2017", "2018"):
        run.correction(year, "theory")["applies_to"] = ["simulation"]


def change_members(run):
    run.correction("2017", "theory")["uncertainty_sources"][0]["members"] = [2, 1, 0]


def without_variations(run):
    run.config["general"]["run_systematics"] = False


COSTS = {
    "another name of a source": (rename_a_source, OF_2018),
    "other keys of a source": (change_keys, OF_2018),
    "a further source": (add_a_source, ("tt_2017_2017",)),
    "a source less": (remove_a_source, ("tt_2017_2017",)),
    "another nominal key": (change_a_nominal_key, OF_2018),
    "theory for one process more": (let_theory_apply_to_all, ("dy_2018_2018",)),
    "members in another order": (change_members, ("tt_2017_2017",)),
    "no variations": (without_variations, SIMULATION),
}


@pytest.mark.parametrize("what", COSTS)
def test_a_changed_correction_costs_the_datasets_that_it_applies_to(what, made):
    change, datasets = COSTS[what]
    change(made)
    assert made.computed() == set(datasets)
    assert all(made.counted[name] == (CHUNKS[name], 0) for name in datasets)
    made.assert_as_new()


def sizes(run):
    run.correction("2018", "yield")["uncertainty_sources"][0]["up_and_down_idx"] = [1.5, 0.5]


def a_further_yield(run):
    run.config["corrections"]["2017"].append(
        {"name": "lumi", "type": "normalisation", "uncertainty_sources": [keyed("lumi", 1.02, 0.98)]}
    )


def combinations(run):
    for year in ("2017", "2018"):
        run.correction(year, "theory")["uncertainty_sources"][0]["combine"] = "replicas"


def applies_by_dataset(run):
    run.correction("2017", "theory")["applies_to"] = ["tt_2017_2017"]


def sums_of_weights(run):
    for year in ("2017", "2018"):
        for source in run.correction(year, "theory")["uncertainty_sources"]:
            source["weight_sums"] = "LHEScaleWeight"


def rows(run):
    run.config["general"]["tile_rows"] = 50


def order_of_years(run):
    run.config["corrections"] = dict(reversed(run.config["corrections"].items()))


FREE = {
    "nothing": lambda run: None,
    "sizes of yields": sizes,
    "a further yield": a_further_yield,
    "combinations of members": combinations,
    "the same datasets by other names": applies_by_dataset,
    "sums of weights": sums_of_weights,
    "rows of a tile": rows,
    "order of years": order_of_years,
}


@pytest.mark.parametrize("what", FREE)
def test_what_changes_no_content_of_a_chunk_computes_nothing_and_is_right(what, made):
    FREE[what](made)
    assert made.run() == {}
    assert made.computed() == set()
    made.assert_as_new()


def test_the_size_of_a_yield_is_right_without_an_event(made):
    nominal = view_of(made.output, "dy", "nominal")
    sizes(made)
    assert made.run() == {}
    for name, factor in (("xsec_dy_up", 1.5), ("xsec_dy_down", 0.5)):
        expected = nominal * np.array([[factor], [factor**2]])
        assert np.allclose(view_of(made.output, "dy", name), expected, rtol=1e-14)
        assert np.array_equal(view_of(made.output, "tt", name), view_of(made.output, "tt", "nominal"))


def with_weights_of_one_file(toys, folder):
    """Return an analysis of a dataset of which one file holds a column, and another one does not."""
    config = analysis(toys, folder)
    config["corrections"] = {
        year: [
            {
                "name": "ours", "type": "event", "args": [ObjVar("event", "scaleB"), SYS], "ignore_missing": True,
                "uncertainty_sources": [{"name": "b", "members": [0, 1], "up_function": member}],
            },
            {
                "name": "shift", "type": "object", "args": [ObjVar("MET", "pt"), ObjVar("event", "scaleB")],
                "target": ObjVar("MET", "pt"), "ignore_missing": True,
                "uncertainty_sources": [{"name": "shift", "is_delta": True, "up_function": part_of}],
            },
            {
                "name": "sf", "type": "event", "args": [ObjVar("MET", "pt"), SYS], "nominal_function": weight,
                "nominal_idx": "nom", "uncertainty_sources": [keyed("sf")],
            },
        ]
        for year in ("2017", "2018")
    }  # fmt: skip
    extra = {"scaleB": np.linspace(0.0, 200.0, 150).astype(np.float32)}
    more = write_toy(folder / "more.root", 150, 9, extra=extra)
    config["datasets"]["datasets"][0]["files"].append(str(more.path))
    return config


def part_of(pt, values):
    return 1e-3 * values + 0.0 * pt


OURS = ("b_0", "b_1", "b_up", "b_down", "shift_up", "shift_down")


def test_a_file_that_lacks_weights_of_theory_has_nominal_content(toys, tmp_path):
    config = with_weights_of_one_file(toys, tmp_path)
    alone = {**config, "general": {**config["general"], "output_dir": str(tmp_path / "alone")}}
    both = AnalysisRunner(Config(**config), progress=False).histogram().output
    first = analysis(toys, tmp_path)["datasets"]["datasets"][0]["files"][:1]
    datasets = [{**one} for one in config["datasets"]["datasets"]]
    datasets[0]["files"] = first
    without = AnalysisRunner(
        Config(**{**alone, "datasets": {"datasets": datasets}}), progress=False
    ).histogram()
    for variation in OURS:
        lacking = view_of(without.output, "tt", variation)
        assert np.array_equal(lacking, view_of(without.output, "tt", "nominal"))
        assert not np.array_equal(view_of(both, "tt", variation), view_of(both, "tt", "nominal"))


def test_skims_of_such_files_give_the_same_bits(toys, tmp_path):
    config = with_weights_of_one_file(toys, tmp_path)
    AnalysisRunner(Config(**config), progress=False).histogram()
    for switches, name in (
        ({"save_skimmed_output": True}, "one pass"),
        ({"use_skimmed_input": True}, "on skims"),
    ):
        general = {
            **config["general"], **switches, "output_dir": str(tmp_path / name), "skimmed_dir": str(tmp_path / "skims"),
        }  # fmt: skip
        result = AnalysisRunner(Config(**{**config, "general": general}), progress=False).histogram()
        assert result.succeeded
        assert_same_bits(bits(tmp_path / name), bits(tmp_path / "out"))


def _without_corrections(flow):
    """Return a cutflow without its last step, that of the weights of corrections."""
    assert flow["steps"][-1] == "event corrections"
    per_process = {
        kind: {process: left[:-1] for process, left in flow[kind].items()} for kind in ("entries", "weighted")
    }
    return {"steps": flow["steps"][:-1], **per_process}


def test_without_histogramming_variations_cost_nothing_and_cutflows_stay(made):
    before = made.output["cutflow"]
    made.config["general"]["run_histogramming"] = False
    made.run()
    assert not any(made.output["histograms"].values())
    without = {name: {**flow, **_without_corrections(flow)} for name, flow in before.items()}
    assert made.output["cutflow"] == without, "no weights are made, so that their step is not there"
