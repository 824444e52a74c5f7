"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms import AnalysisRunner, load_config

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EVENTS = 500


def write_muons(path: Path, *, data: bool) -> None:
    """Write events with none to three muons, with the branches that the README's functions use."""
    random = np.random.default_rng(7)
    counts = random.integers(0, 4, EVENTS)
    total = int(counts.sum())
    muons = {
        "pt": random.uniform(20, 80, total),
        "eta": random.uniform(-2.8, 2.8, total),
        "phi": random.uniform(-3.1, 3.1, total),
        "mass": np.full(total, 0.1057),
        "charge": random.choice([-1, 1], total),
        "tightId": random.random(total) < 0.9,
    }
    flat = {
        "run": np.full(EVENTS, 280_000 if data else 1),
        "luminosityBlock": 1 + np.arange(EVENTS) // 50,
        "event": np.arange(EVENTS),
        "HLT_IsoMu24": random.random(EVENTS) < 0.8,
    }
    path.parent.mkdir(exist_ok=True)
    with uproot.recreate(path) as file:
        columns = {f"Muon_{name}": ak.unflatten(values, counts) for name, values in muons.items()}
        weights = {} if data else {"genWeight": np.ones(EVENTS)}
        types = {**{name: values.dtype for name, values in (flat | weights).items()}}
        jagged = {name: ak.type(values).content for name, values in columns.items()}
        tree = file.mktree("Events", types | jagged, counter_name=lambda name: "n" + name.split("_")[0])
        tree.extend({**flat, **weights, **columns})
        runs = {"run": np.array([1])} | ({} if data else {"genEventSumw": np.array([float(EVENTS)])})
        file.mktree("Runs", {name: values.dtype for name, values in runs.items()}).extend(runs)


@pytest.fixture
def folder(tmp_path, monkeypatch, clean_imports):
    write_muons(tmp_path / "dy" / "a.root", data=False)
    write_muons(tmp_path / "data" / "a.root", data=True)
    (tmp_path / "golden.json").write_text(json.dumps({"280000": [[1, 6]]}))
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
    assert (folder / "outputs/dimuon/plots/dimuon/mass.png").exists()
    # independent: a loop over the events as plain Python lists
    with uproot.open(folder / "dy" / "a.root") as file:
        events = file["Events"].arrays().tolist()
    expected, expected_data = 0, 0
    for event in events:
        muons = zip(*(event[f"Muon_{name}"] for name in ("pt", "eta", "tightId", "charge")), strict=True)
        charges = [charge for pt, eta, tight, charge in muons if pt > 30 and abs(eta) < 2.4 and tight]
        passed = event["HLT_IsoMu24"] and len(charges) == 2 and sum(charges) == 0
        expected += passed
        expected_data += passed and event["luminosityBlock"] <= 6
    assert 0 < expected_data < expected
    entries = result.output["entries"]["dimuon"]["mass"]
    assert entries[{"process": "dy"}].values(flow=True).sum() == expected
    assert entries[{"process": "data"}].values(flow=True).sum() == expected_data
