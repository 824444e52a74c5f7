"""Cross-section, luminosity and sums of weights, calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.schema import load_config
from tests.analysis.toys import dataset, expected_sums, toy_config, write_toy


def ht_sum(output, process: str) -> float:
    return output["histograms"]["all"]["ht"][{"process": process}].sum(flow=True).value


def unscaled(toys) -> float:
    return float(expected_sums(toys)["ht"]["sumw"].sum())


def test_negative_weights_and_several_files_enter_the_sum_over_generated_events(tmp_path, run_quietly):
    toys = [
        write_toy(tmp_path / f"{i}.root", 120, 10 + i, generated_sumw=value)
        for i, value in enumerate((100.0, 25.0))
    ]
    assert any((toy.weights < 0).any() for toy in toys)
    output = run_quietly(toy_config([dataset("tt", *toys, xsec=2.0)], tmp_path / "out")).output
    assert ht_sum(output, "tt") == pytest.approx(unscaled(toys) * 2.0 * 50.0 / 125.0, rel=1e-10)
    (report,) = output["report"]["datasets"]
    assert (report["sumw"], report["scale"]) == (125.0, 0.8)


def test_datasets_of_one_process_are_scaled_one_by_one(toys, tmp_path, run_quietly):
    first, second = toys["tt"]
    datasets = [
        dataset("low", first, xsec=3.0, process="dy"),
        dataset("high", second, xsec=0.5, process="dy"),
    ]
    output = run_quietly(toy_config(datasets, tmp_path)).output
    by_hand = 50.0 * (
        3.0 / first.generated_sumw * unscaled([first]) + 0.5 / second.generated_sumw * unscaled([second])
    )
    assert list(output["histograms"]["all"]["ht"].axes["process"]) == ["dy"]
    assert ht_sum(output, "dy") == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize("lumi", [{"2016": 10.0, "2017": 200.0}, {2016: 10.0, 2017: 200.0}])
def test_each_year_is_scaled_to_its_own_luminosity(lumi, toys, tmp_path, run_quietly):
    first, second = toys["tt"]
    entry = dataset("tt", first, second, years=[2016, 2017])
    entry["files"] = [[str(first.path)], [str(second.path)]]
    output = run_quietly(toy_config([entry], tmp_path, lumi=lumi)).output
    by_hand = 10.0 * (
        10.0 / first.generated_sumw * unscaled([first]) + 200.0 / second.generated_sumw * unscaled([second])
    )
    assert ht_sum(output, "tt") == pytest.approx(by_hand, rel=1e-10)
    assert [one["name"] for one in output["report"]["datasets"]] == ["tt_2016", "tt_2017"]
    assert output["report"]["lumi"] == {"2016": 10.0, "2017": 200.0}


def test_one_luminosity_for_two_years_is_refused(toys, tmp_path):
    one = str(toys["tt"][0].path)
    entry = {**dataset("tt", toys["tt"][0], years=[2016, 2017]), "files": [[one], [one]]}
    with pytest.raises(ConfigError, match="general.lumi is one number"):
        load_config(toy_config([entry], tmp_path, lumi=10.0))


def test_a_year_without_luminosity_is_refused_before_events_are_read(toys, tmp_path, run_quietly):
    entry = dataset("tt", toys["tt"][0], years=[2016])
    with pytest.raises(ConfigError, match="no luminosity for year '2016' of dataset 'tt_2016'"):
        run_quietly(toy_config([entry], tmp_path, lumi={"2017": 10.0, "2018": 5.0}))


def test_data_are_not_scaled_and_need_no_luminosity(toys, tmp_path, run_quietly):
    output = run_quietly(toy_config([dataset("data", *toys["data"], xsec=None)], tmp_path, lumi=None)).output
    expected = expected_sums(toys["data"])["ht"]
    view = output["histograms"]["all"]["ht"][{"process": "data", "variation": "nominal"}].view(flow=True)
    assert np.array_equal(view["value"], expected["entries"])
    assert np.array_equal(view["variance"], expected["entries"])
    (report,) = output["report"]["datasets"]
    assert (report["scale"], report["sumw"]) == (1.0, None)
    assert output["report"]["data_processes"] == ("data",)


def test_a_sum_of_weights_of_zero_is_reported_and_not_fatal_to_others(toys, tmp_path, run_quietly):
    zero = write_toy(tmp_path / "zero.root", 60, 7, generated_sumw=0.0)
    datasets = [dataset("zero", zero), dataset("tt", *toys["tt"])]
    result = run_quietly(toy_config(datasets, tmp_path / "out", min_coverage=0.5))
    (failure,) = result.output["report"]["failures"]
    assert failure["reason"].startswith(
        "cannot normalise dataset 'zero': the sum of generator weights is 0.0"
    )
    assert not result.succeeded, "a dataset that is missing as a whole is below any coverage"
    assert [one["coverage"] for one in result.output["report"]["datasets"]] == [0.0, 1.0]
    assert ht_sum(result.output, "zero") == 0.0
    scale = 10.0 * 50.0 / sum(toy.generated_sumw for toy in toys["tt"])
    assert ht_sum(result.output, "tt") == pytest.approx(unscaled(toys["tt"]) * scale, rel=1e-10)


def test_a_file_without_events_counts_with_its_sum_of_weights(toys, tmp_path, run_quietly):
    # a skim that kept nothing: its generated events count all the same
    empty = write_toy(tmp_path / "empty.root", 0, 8, generated_sumw=500.0)
    result = run_quietly(toy_config([dataset("tt", toys["tt"][0], empty)], tmp_path / "out"))
    assert result.succeeded
    scale = 10.0 * 50.0 / (toys["tt"][0].generated_sumw + 500.0)
    assert result.output["report"]["datasets"][0]["scale"] == pytest.approx(scale, rel=1e-14)


@pytest.mark.parametrize("data", [True, False])
def test_a_dataset_of_nothing_but_empty_files_is_an_empty_category(data: bool, toys, tmp_path, run_quietly):
    empty = write_toy(tmp_path / "empty.root", 0, 8, data=data, generated_sumw=5.0)
    datasets = [dataset("none", empty, xsec=None if data else 1.0), dataset("tt", *toys["tt"])]
    result = run_quietly(toy_config(datasets, tmp_path / "out"))
    assert result.succeeded
    assert ht_sum(result.output, "none") == 0.0
    assert result.output["cutflow"]["SR"]["entries"]["none"] == [0] * 5


def test_a_run_over_nothing_but_empty_files_succeeds(tmp_path, run_quietly):
    empty = write_toy(tmp_path / "empty.root", 0, 8, generated_sumw=5.0)
    result = run_quietly(toy_config([dataset("none", empty)], tmp_path / "out"))
    assert result.succeeded
    assert result.output["entries"]["all"]["ht"].sum(flow=True) == 0


def test_the_weight_branch_of_a_dataset_is_its_weight_also_with_an_underscore(tmp_path, run_quietly):
    weights = np.linspace(-1, 4, 90).astype(np.float32)
    toy = write_toy(tmp_path / "tt.root", 90, 12, generated_sumw=500.0, extra={"Generator_weight": weights})
    config = toy_config([dataset("tt", toy, weight_branch="Generator_weight")], tmp_path / "out")
    output = run_quietly(config).output
    assert output["report"]["failures"] == ()
    total = output["cutflow"]["SR"]["weighted"]["tt"][0]
    # every event is kept, so the yield is xsec * lumi; the 500 in `Runs` are sums of genWeight, another weight
    assert total == pytest.approx(10.0 * 50.0, rel=1e-10)
