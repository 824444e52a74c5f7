"""Parts put together into fewer files: the same chunks, the same bits, nothing computed again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot
from click.testing import CliRunner

from intccms.analysis import AnalysisRunner
from intccms.cli import main
from intccms.errors import ConfigError
from intccms.schema import load_config
from tests.analysis.breaking import assert_same_bits, bits
from tests.analysis.modes import CHUNKS, FORMATS, ON_SKIMS, ON_THE_FLY, SKIM_ONLY, analysis_in, pack
from tests.analysis.toys import dataset, write_toy


@pytest.fixture(params=FORMATS)
def analysis(request, toys, tmp_path):
    return analysis_in(request.param, toys, tmp_path)


def files_of(analysis, name):
    return sorted(
        str(path.relative_to(analysis.skims / name))
        for path in (analysis.skims / name).rglob("*.*")
        if path.suffix != ".json"
    )


def test_chunks_and_results_stay_and_nothing_is_written_again(analysis):
    analysis.run(ON_THE_FLY, "direct")
    analysis.run(SKIM_ONLY)
    chunks = [(one["start"], one["kept"]) for file in analysis.manifest()["files"] for one in file["parts"]]
    sizes = [kept for _, kept in chunks]
    assert pack(analysis, 150)["tt"] == (CHUNKS["tt"], len(set(files_of(analysis, "tt"))))
    packed = [one for file in analysis.manifest()["files"] for one in file["parts"]]
    assert [(one["start"], one["kept"]) for one in packed] == chunks
    held = {}
    for one in packed:
        held.setdefault(one["path"], []).append((one.get("first", 0), one["kept"]))
    assert sorted(held) == files_of(analysis, "tt")
    for rows in held.values():
        assert [first for first, _ in rows] == [0, *np.cumsum([kept for _, kept in rows])[:-1].tolist()]
        assert len(rows) == 1 or sum(kept for _, kept in rows) <= 150
    assert sum(sizes) == sum(kept for rows in held.values() for _, kept in rows)
    assert analysis.run(SKIM_ONLY)[1] == 0
    assert files_of(analysis, "tt") == sorted(held)
    assert analysis.run(ON_SKIMS, "again")[0].succeeded
    assert_same_bits(bits(analysis.folder / "again"), bits(analysis.folder / "direct"))


def sum_of(met):
    return met.pt


@pytest.mark.parametrize("odd", [0, 2, 4])
def test_a_file_with_other_columns_leaves_its_neighbours_together(analysis, tmp_path, odd):
    extra = {"MET_covXX": np.ones(100, np.float32)}
    toys = [
        write_toy(tmp_path / f"{number}.root", 100, number, extra=extra if number == odd else None)
        for number in range(5)
    ]
    analysis.config["datasets"]["datasets"] = [dataset("tt", *toys)]
    (observable, *_) = analysis.config["channels"][1]["observables"]
    observable |= {"function": sum_of, "use": [("MET", None)]}
    analysis.run(ON_THE_FLY, "direct")
    analysis.run(SKIM_ONLY)
    # the two parts of the odd file go together, those before it, and those behind it
    assert pack(analysis, 10_000) == {"tt": (10, 3 if odd == 2 else 2)}
    assert analysis.run(ON_SKIMS)[0].succeeded
    assert_same_bits(bits(analysis.folder / "out"), bits(analysis.folder / "direct"))
    assert pack(analysis, 10_000) == {"tt": (3 if odd == 2 else 2,) * 2}


def test_what_is_packed_is_not_packed_again(analysis):
    analysis.run(SKIM_ONLY)
    first = pack(analysis, 10_000)
    assert {name: after for name, (_, after) in first.items()} == dict.fromkeys(CHUNKS, 1)
    assert pack(analysis, 10_000) == dict.fromkeys(CHUNKS, (1, 1))


def test_a_chunk_that_is_written_again_leaves_its_neighbours_alone(analysis):
    analysis.run(ON_THE_FLY, "direct")
    analysis.run(SKIM_ONLY)
    pack(analysis, 10_000)
    path = analysis.skims / "tt" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"][0]["parts"][1]
    path.write_text(json.dumps(manifest))
    assert analysis.run(SKIM_ONLY)[1] == 1
    assert len(files_of(analysis, "tt")) == 2
    assert analysis.run(ON_SKIMS, "again")[0].succeeded
    assert_same_bits(bits(analysis.folder / "again"), bits(analysis.folder / "direct"))
    # and when the whole skim is written anew, the packed file goes
    analysis.run({**SKIM_ONLY, "run_skimming": True})
    assert len(files_of(analysis, "tt")) == CHUNKS["tt"]
    assert not any("packed" in name for name in files_of(analysis, "tt"))


def test_what_a_killed_run_leaves_is_removed_by_the_next(analysis, monkeypatch):
    analysis.run(SKIM_ONLY)
    before = files_of(analysis, "tt")

    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("intccms.analysis.packing._enter", killed)
        with pytest.raises(KeyboardInterrupt):
            pack(analysis, 10_000)
    assert set(before) < set(files_of(analysis, "tt"))
    assert analysis.run(SKIM_ONLY)[1] == 0
    assert files_of(analysis, "tt") == before


def test_runs_of_all_parts_are_in_the_packed_file(analysis, toys):
    analysis.run(SKIM_ONLY)
    pack(analysis, 10_000)
    (name,) = files_of(analysis, "tt")
    if name.endswith(".root"):
        file = uproot.open(analysis.skims / "tt" / name)
        assert float(np.sum(file["Runs"].arrays(how=dict)["genEventSumw"])) == pytest.approx(
            sum(toy.generated_sumw for toy in toys["tt"]), rel=1e-12
        )
        assert file["Events"].num_entries == sum(
            one["kept"] for file in analysis.manifest()["files"] for one in file["parts"]
        )


def test_without_a_skim_there_is_nothing_to_pack(analysis):
    with pytest.raises(ConfigError, match=r"there is no skim in .*save_skimmed_output=True"):
        pack(analysis, 100)


def test_the_command_says_how_many_files_there_are(toys, tmp_path):
    config = tmp_path / "analysis.py"
    config.write_text(
        "from tests.analysis.toys import toy_config\n"
        f"files = {[str(toy.path) for toy in toys['tt']]!r}\n"
        "datasets = [{'name': 'tt', 'files': files, 'cross_sections': [1.0]}]\n"
        f"config = toy_config(datasets, {str(tmp_path / 'out')!r}, chunk_size=90)\n"
    )
    runner = AnalysisRunner(load_config(str(config), ["general.save_skimmed_output=True"]), progress=False)
    runner.skim()
    done = CliRunner().invoke(main, ["skim", "pack", str(config), "--no-progress"])
    assert done.exit_code == 0, done.output
    assert done.output.endswith("tt: 8 files are 1 now\n")
