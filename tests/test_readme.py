"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms import AnalysisRunner, load_config
from intccms.demo import generate

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch, clean_imports):
    truth = generate(
        tmp_path / "demo", scale=0.02, workers=1, compression="zstd", datasets=["ttbar_semilep", "data"]
    )
    for name, dataset in (("dy", "ttbar_semilep"), ("data", "data")):
        (tmp_path / name).mkdir()
        for path in truth.paths(tmp_path / "demo", dataset):
            shutil.copy(path, tmp_path / name)
    shutil.copy(tmp_path / "demo" / "golden.json", tmp_path)
    (tmp_path / "my_analysis.py").write_text(
        re.search(r"```python\n(# my_analysis.py.*?)```", README, re.DOTALL)[1]
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_commands_stand_at_the_top():
    commands = re.findall(r"```bash\n(.*?)\n```", README)[:2]
    assert commands == ["pip install -e . && intccms demo", 'pip install -e ".[test]" && pytest']


def test_the_configuration_of_the_readme_runs_and_fills_what_it_says(folder):
    config = load_config("my_analysis.py", ["general.executor=iterative"])
    result = AnalysisRunner(config, progress=False).run()
    assert result.succeeded
    assert (folder / "outputs/dimuon/plots/dimuon/mass.png").exists()
    # independent: plain awkward on the whole file, and the mass of massless muons from pt, eta and phi
    count = 0
    for path in sorted((folder / "dy").iterdir()):
        with uproot.open(path) as file:
            events = file["Events"].arrays(filter_name=["Muon_*", "HLT_IsoMu24"])
        good = (events.Muon_pt > 30) & (abs(events.Muon_eta) < 2.4) & events.Muon_tightId
        charge = events.Muon_charge[good]
        kept = events.HLT_IsoMu24 & (ak.num(charge) == 2) & (ak.sum(charge, axis=1) == 0)
        count += int(np.sum(kept))
    assert count > 0
    entries = result.output["entries"]["dimuon"]["mass"][{"process": "dy"}]
    assert entries.values(flow=True).sum() == count
