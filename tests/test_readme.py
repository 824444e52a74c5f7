"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import uproot

from intccms import AnalysisRunner, load_config
from intccms.demo import generate

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch, clean_imports):
    generate(
        tmp_path / "intccms-demo" / "input",
        scale=0.02,
        workers=1,
        compression="zstd",
        datasets=["wjets", "ttbar_semilep", "data"],
    )
    source = re.search(r"```python\n(# my_analysis.py.*?)```", README, re.DOTALL)[1]
    (tmp_path / "my_analysis.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_commands_stand_at_the_top():
    commands = re.findall(r"```bash\n(.*?)\n```", README)[:2]
    assert commands == ["pip install -e . && intccms demo", 'pip install -e ".[test]" && pytest']


def test_the_configuration_of_the_readme_runs_and_fills_what_it_says(folder):
    config = load_config("my_analysis.py", ["general.executor=iterative"])
    result = AnalysisRunner(config, progress=False).run()
    assert result.succeeded
    assert (folder / "outputs/wmunu/plots/muon/mt.png").exists()
    entries = result.output["entries"]["muon"]["mt"]
    # independent: a loop over the events as plain Python lists
    certified = json.loads((folder / "intccms-demo/input/golden.json").read_text())
    for process in ("wjets", "data"):
        expected = np.zeros(42)
        for path in sorted((folder / "intccms-demo/input").glob(f"{process}_*.root")):
            with uproot.open(path) as file:
                for event in file["Events"].arrays(NAMES).tolist():
                    mt = transverse_mass(event)
                    ranges = certified.get(str(event["run"]), []) if process == "data" else [[0, 2**32]]
                    good = any(first <= event["luminosityBlock"] <= last for first, last in ranges)
                    if mt is not None and good:
                        expected[1 + min(int(mt // 10), 40)] += 1
        assert expected.sum() > 20
        assert entries[{"process": process}].values(flow=True).tolist() == expected.tolist()


NAMES = [
    *("run", "luminosityBlock", "HLT_TkMu50", "PuppiMET_pt", "PuppiMET_phi"),
    *("Muon_pt", "Muon_eta", "Muon_phi", "Muon_tightId"),
]


def transverse_mass(event):
    """Return m_T [GeV] of an event with the trigger and one good muon, else None."""
    names = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_tightId")
    muons = [
        m
        for m in zip(*(event[name] for name in names), strict=True)
        if m[0] > 55 and abs(m[1]) < 2.4 and m[3]
    ]
    if not event["HLT_TkMu50"] or len(muons) != 1:
        return None
    pt, _, phi, _ = muons[0]
    return math.sqrt(2 * pt * event["PuppiMET_pt"] * (1 - math.cos(phi - event["PuppiMET_phi"])))
