"""Traps that users walked into: dry runs that wrote, helpers edited meanwhile, copies of files, shared ledgers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from secrets import token_hex

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner
from coffea.util import load

from intccms import AnalysisRunner, Config, load_config
from intccms.analysis.context import open_ledger
from intccms.analysis.ledger import DamagedRecordError, Name
from intccms.cli import main
from intccms.errors import ConfigError
from intccms.schema.loading import config_modules
from tests.analysis.toys import dataset, some_met, toy_config, write_toy


def met_config(files, output, **general):
    """One channel with the missing momentum, of events with more than 20 GeV."""
    observable = {"name": "met", "function": same, "use": [("MET", "pt")], "binning": [0, 50, 100, 500]}
    return {
        "general": {"lumi": 1.0, "executor": "iterative", "output_dir": str(output), **general},
        "datasets": {
            "datasets": [{"name": "tt", "files": [str(file) for file in files], "cross_sections": 1.0}]
        },
        "preprocess": {"skimming": {"function": some_met, "use": [("MET", "pt")], "chunk_size": 50}},
        "channels": [{"name": "all", "observables": [observable]}],
    }


def same(values):
    return values


def histogram(config, **general):
    made = Config(**config)
    for name, value in general.items():
        setattr(made.general, name, value)
    return AnalysisRunner(made, progress=False).histogram()


def snapshot(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in {"run.log", ".lock"}]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def entries(result) -> int:
    return int(result.output["entries"]["all"]["met"].sum(flow=True))


def test_a_plan_changes_no_byte_of_a_run_directory_with_skims(tmp_path):
    write_toy(tmp_path / "a.root", 200, 1)
    config = met_config([tmp_path / "a.root"], tmp_path / "out", save_skimmed_output=True)
    histogram(config)
    before = snapshot(tmp_path / "out")
    config["preprocess"]["skimming"]["function"] = lambda met: met > 30
    changed = AnalysisRunner(Config(**config), progress=False).plan()
    assert {name for name, _ in changed.reasons} == {"all", "skim"}
    assert snapshot(tmp_path / "out") == before
    config["preprocess"]["skimming"]["function"] = some_met
    config["general"] |= {"save_skimmed_output": False, "use_skimmed_input": True}
    assert AnalysisRunner(Config(**config), progress=False).plan().work == []


def test_helpers_of_a_configuration_go_to_workers_as_they_were_loaded(tmp_path, clean_imports):
    (tmp_path / "deep_helper.py").write_text("CUT = 20\n\ndef passes(met):\n    return met > CUT\n")
    (tmp_path / "near_helper.py").write_text(
        "from deep_helper import passes\n\ndef cut(met):\n    return passes(met)\n"
    )
    write_toy(tmp_path / "a.root", 200, 1)
    text = (
        "import near_helper\nfrom tests.analysis.test_subtle_traps import met_config\n\n"
        "def skim(met):\n    return near_helper.cut(met)\n\n"
        f"config = met_config([{str(tmp_path / 'a.root')!r}], {str(tmp_path / 'out')!r})\n"
        "config['preprocess']['skimming']['function'] = skim\n"
    )
    (tmp_path / "with_helpers.py").write_text(text)
    config = load_config(tmp_path / "with_helpers.py", ["general.executor=futures", "general.workers=1"])
    names = {module.__name__ for module in config_modules(config)}
    assert {"with_helpers", "near_helper", "deep_helper"} <= names
    (tmp_path / "deep_helper.py").write_text("CUT = 90\n\ndef passes(met):\n    return met > CUT\n")
    met = write_toy(tmp_path / "b.root", 200, 1).columns["MET_pt"]
    assert entries(AnalysisRunner(config, progress=False).histogram()) == np.count_nonzero(met > 20)
    assert (tmp_path / "out" / "config" / "modules" / "deep_helper.py").is_file()
    for name in ("with_helpers", "near_helper", "deep_helper"):
        sys.modules.pop(name, None)
    result = CliRunner().invoke(main, ["replay", str(tmp_path / "out"), "tt/0/0"])
    assert result.exit_code == 0, result.output
    kept = int(next(line for line in result.output.splitlines() if "skimming" in line).split()[-2])
    assert kept == np.count_nonzero(met[:50] > 20), "the code that was run, not the present one"


def test_results_of_a_payload_that_changes_while_it_is_read_are_taken_back(tmp_path):
    payload = tmp_path / "cut.json"
    payload.write_text("20")
    write_toy(tmp_path / "a.root", 200, 1)

    def skim(met, payload):
        cut = json.loads(Path(payload).read_text())
        Path(payload).write_text(str(cut + 40) if cut == 20 else "20")  # and back again
        return met > cut

    config = met_config([tmp_path / "a.root"], tmp_path / "out")
    config["preprocess"]["skimming"] |= {"function": skim, "static_kwargs": {"payload": str(payload)}}
    with pytest.raises(ConfigError, match=r"cut.json changed while the run read it.*taken back; run again"):
        histogram(config)
    assert not [path for path in (tmp_path / "out" / "ledger" / "tt").iterdir() if path.is_file()]
    config["general"]["save_skimmed_output"] = True
    with pytest.raises(ConfigError, match="taken back"):
        histogram(config)
    (file,) = json.loads((tmp_path / "out" / "skimmed" / "tt" / "manifest.json").read_text())["files"]
    assert "parts" not in file, "no part that was made of who knows which content is kept"
    assert len(file["failed"]) == 4
    assert not list((tmp_path / "out" / "skimmed").rglob("*.parquet"))


def test_copies_of_one_file_are_all_in_the_skim(tmp_path):
    write_toy(tmp_path / "a.root", 200, 1)
    files = [tmp_path / name for name in ("a.root", "b.root", "c.root")]
    for copy in files[1:]:
        shutil.copy2(files[0], copy)
    config = met_config(files, tmp_path / "out", save_skimmed_output=True)
    direct = histogram(config)
    manifest = json.loads((tmp_path / "out" / "skimmed" / "tt" / "manifest.json").read_text())
    assert [len(file["parts"]) for file in manifest["files"]] == [4, 4, 4]
    found = histogram(
        config,
        output_dir=tmp_path / "other",
        skimmed_dir=str(tmp_path / "out" / "skimmed"),
        save_skimmed_output=False,
        use_skimmed_input=True,
    )
    assert found.succeeded
    assert entries(found) == entries(direct) > 0


def test_skims_do_not_bring_back_files_that_were_taken_out_of_the_dataset(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(3):
        write_toy(tmp_path / "in" / f"a_{index}.root", 100, index + 1)
    config = met_config([tmp_path / "in" / "a_*.root"], tmp_path / "out", save_skimmed_output=True)
    histogram(config)
    (tmp_path / "in" / "a_1.root").unlink()
    expected = histogram(config)
    shutil.rmtree(tmp_path / "in")
    found = histogram(
        config,
        save_skimmed_output=False,
        use_skimmed_input=True,
        output_dir=tmp_path / "new",
        skimmed_dir=str(tmp_path / "out" / "skimmed"),
    )
    assert found.report.datasets[0].files == 2
    assert entries(found) == entries(expected)


def test_a_part_that_was_damaged_is_written_again(tmp_path):
    write_toy(tmp_path / "a.root", 200, 1)
    config = met_config([tmp_path / "a.root"], tmp_path / "out", save_skimmed_output=True)
    histogram(config)
    part = tmp_path / "out" / "skimmed" / "tt" / "file_0" / "part_2.parquet"
    sound = part.read_bytes()
    part.write_bytes(sound[:200] + b"zz" + sound[202:])
    histogram(config)
    assert part.read_bytes() == sound


def test_a_skim_of_a_whole_collection_serves_its_fields(toys, tmp_path):
    config = toy_config([dataset("tt", *toys["tt"])], tmp_path / "out", save_skimmed_output=True)
    AnalysisRunner(Config(**config), progress=False).histogram()
    config["channels"][1]["observables"][0] |= {"function": same, "use": [("Jet", "pt")]}
    config["general"] |= {"save_skimmed_output": False, "use_skimmed_input": True}
    assert AnalysisRunner(Config(**config), progress=False).histogram().succeeded
    config["general"] |= {"save_skimmed_output": True, "use_skimmed_input": False}
    assert not AnalysisRunner(Config(**config), progress=False).plan().work, "nothing is to be written again"


def test_clean_refuses_where_other_runs_use_the_ledger(tmp_path, monkeypatch, clean_imports):
    write_toy(tmp_path / "a.root", 100, 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared_config.py").write_text(
        "from tests.analysis.test_subtle_traps import met_config\n"
        f"config = met_config([{str(tmp_path / 'a.root')!r}], 'out', ledger_url={str(tmp_path / 'ledger')!r})\n"
    )
    for name in ("one", "two"):
        overrides = [f"general.output_dir={name}"]
        AnalysisRunner(load_config(tmp_path / "shared_config.py", overrides), progress=False).histogram()
    result = CliRunner().invoke(main, ["clean", "one"])
    assert result.exit_code == 2
    assert f"the ledger also serves {tmp_path / 'two'}" in " ".join(result.output.split())
    assert CliRunner().invoke(main, ["clean", "one", "--force"]).exit_code == 0


def test_a_record_in_the_place_of_another_one_is_refused(tmp_path):
    for index in range(2):
        write_toy(tmp_path / f"a_{index}.root", 100, index + 1)
    config = Config(**met_config([tmp_path / "a_*.root"], tmp_path / "out"))
    expected = entries(AnalysisRunner(config, progress=False).histogram())
    first, second = sorted((tmp_path / "out" / "ledger" / "tt").glob("*.file"))
    first.write_bytes(second.read_bytes())
    ledger = open_ledger(config)
    ledger.look("tt")
    with pytest.raises(DamagedRecordError, match=f"it is the record tt/{second.name}"):
        ledger.get(Name.parse(f"tt/{first.name}"))
    for path in (tmp_path / "out" / "ledger" / "tt").glob("*.whole"):
        path.unlink()
    assert entries(AnalysisRunner(config, progress=False).histogram()) == expected


def test_data_of_which_files_are_left_out_are_noted(toys, tmp_path):
    data = [write_toy(tmp_path / f"d_{index}.root", 60, 7 + index, data=True) for index in range(2)]
    config = toy_config([dataset("data", *data, xsec=None)], tmp_path / "out")
    config["datasets"]["max_files"] = 1
    (note,) = AnalysisRunner(Config(**config), progress=False).histogram().report.notes
    assert note.startswith("data: 1 of 2 files were read (datasets.max_files=1); data are not scaled")


def test_functions_typed_into_a_session_can_be_run(tmp_path, monkeypatch):
    write_toy(tmp_path / "a.root", 100, 1)
    script = (
        "from intccms import AnalysisRunner\nfrom tests.analysis.test_subtle_traps import met_config\n\n"
        "def double(values):\n    return 2 * values\n\n"
        f"config = met_config([{str(tmp_path / 'a.root')!r}], {str(tmp_path / 'out')!r})\n"
        "config['channels'][0]['observables'][0]['function'] = double\n"
        "print(AnalysisRunner(config, progress=False).histogram())\n"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-"],
        input=script,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert "complete; channels: all" in done.stdout
    assert load(tmp_path / "out" / "output.coffea")["report"]["complete"]


def test_remote_parts_are_copied_once_and_read_from_the_copies(tmp_path):
    write_toy(tmp_path / "a.root", 200, 1)
    config = met_config([tmp_path / "a.root"], tmp_path / "out", save_skimmed_output=True)
    place = f"memory://{tmp_path.name}/skims"
    config["preprocess"]["skimming"]["output"] = {"output_dir": place}
    expected = entries(histogram(config))

    def on_skims(name, **general):
        switches = {"save_skimmed_output": False, "use_skimmed_input": True, "cache_dir": tmp_path / "cache"}
        return histogram(config, output_dir=tmp_path / name, **switches, **general)

    assert entries(on_skims("first")) == expected > 0
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 4
    remote = fsspec.filesystem("memory")
    for path in remote.find(place):
        if path.endswith(".parquet"):
            remote.rm(path)
    assert entries(on_skims("from copies")) == expected
    without = on_skims("without", read_from_cache=False)
    assert not without.succeeded
    assert "is gone" in without.report.failures[0].reason


def test_no_credential_reaches_the_kept_configuration(tmp_path, monkeypatch, clean_imports):
    secret = token_hex(8)
    monkeypatch.setenv("GRID_TOKEN", secret)
    write_toy(tmp_path / "a.root", 60, 1)
    (tmp_path / "with_secret.py").write_text(
        "import os\nfrom tests.analysis.test_subtle_traps import met_config\n\n"
        "KEPT = os.environ['GRID_TOKEN']\n\n"
        "def skim(met):\n    return met > len(KEPT)\n\n"
        f"config = met_config([{str(tmp_path / 'a.root')!r}], {str(tmp_path / 'out')!r})\n"
        "config['preprocess']['skimming']['function'] = skim\n"
    )
    assert AnalysisRunner(load_config(tmp_path / "with_secret.py"), progress=False).histogram().succeeded
    found = [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert found == []
    assert not (tmp_path / "out" / "config" / "config.pkl").exists()
    result = CliRunner().invoke(main, ["replay", str(tmp_path / "out"), "tt/0/0"])
    assert "was not kept" in result.output
    assert CliRunner().invoke(main, ["replay", str(tmp_path / "out"), "tt/0/0", "--current"]).exit_code == 0
