"""The Run-2 example without files, payloads or network: names, numbers, datasets, and what its README shows."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import correctionlib
import pytest

import example_cms
from example_cms import listing, with_theory
from example_cms.configs import datasets, eras, payloads
from example_cms.configs.systematics import JES_SOURCES
from intccms import load_config
from intccms.cli import main
from intccms.datasets import DatasetManager
from intccms.errors import ConfigError
from tests.reference import reference_data

FOLDER = Path(example_cms.__file__).parent
YEARS = ["2016preVFP", "2016postVFP", "2017", "2018"]


def nuisances(corrections):
    return [
        source
        for correction in corrections
        for source in correction.uncertainty_sources
        if source.varies_with is None
    ]


def variations(corrections):
    return [name for source in nuisances(corrections) for name, _ in source.variations()]


@pytest.fixture(scope="module")
def config():
    return load_config(example_cms.config)


@pytest.fixture(scope="module")
def whole():
    return load_config(with_theory.config)


def test_it_imports_without_payloads_and_reads_none():
    # in a process of its own, where neither variable is set and no file can be opened by correctionlib
    code = (
        "import correctionlib; correctionlib.CorrectionSet.from_file = None\n"
        "from intccms import load_config; import example_cms.with_theory as full\n"
        "print(load_config(full.config).corrections['2018'][-4].payloads(), load_config('example_cms').corrections"
        "['2018'][-1].payloads()[0].file)"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("INTCCMS_")}
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=FOLDER.parent,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.split()[-1] == (
        "/cvmfs/cms.cern.ch/rsync/cms-nanoAOD/jsonpog-integration/POG/BTV/2018_UL/btagging.json.gz"
    )


@pytest.mark.parametrize("year", YEARS)
def test_an_era_has_41_nuisances_and_82_variations(config, year):
    assert len(nuisances(config.corrections[year])) == 41
    assert len(set(variations(config.corrections[year]))) == 82


def test_the_four_eras_have_184_variations_by_name(config):
    # 3 muon + 17 energy scale + 4 b tag in all eras; pileup + 10 energy scale + resolution + unclustered + 4 b tag in
    # each: (24 + 4 * 17) * 2
    assert len({name for year in YEARS for name in variations(config.corrections[year])}) == 184


@pytest.mark.parametrize("year", YEARS)
def test_theory_adds_what_it_says(whole, config, year):
    before, after = variations(config.corrections[year]), variations(whole.corrections[year])
    assert after[:82] == before
    # 5 groups of 6 scales, 100 PDF members, alpha_s, ISR, FSR; prefiring but in 2018; luminosity
    luminosity = {"2016preVFP": 2, "2016postVFP": 2, "2017": 3, "2018": 3}[year]
    assert len(set(after)) == 82 + 5 * 6 + 100 + 3 * 2 + 2 * (year != "2018") + 2 * luminosity


def test_luminosity_uncertainties_add_up_to_the_published_ones():
    from example_cms.configs.theory import LUMINOSITY

    total = {year: sum(one.get(year, 0) ** 2 for one in LUMINOSITY.values()) ** 0.5 for year in YEARS}
    assert total == pytest.approx({"2016preVFP": 1.2, "2016postVFP": 1.2, "2017": 2.3, "2018": 2.5}, abs=0.05)


def test_one_nuisance_moves_jets_fat_jets_met_and_b_tags(config):
    for year in YEARS:
        followers = {}
        for correction in config.corrections[year]:
            for source in correction.uncertainty_sources:
                if source.varies_with is not None:
                    followers.setdefault(source.varies_with, []).append(correction.name)
        by_year = {"AbsoluteStat", "RelativeJEREC1", "RelativeJEREC2", "RelativePtEC1", "RelativePtEC2"} | {
            "RelativeSample", "RelativeStatEC", "RelativeStatFSR", "RelativeStatHF", "TimePtEta"
        }  # fmt: skip
        names = [f"jes_{one}_{year}" if one in by_year else f"jes_{one}" for one in JES_SOURCES]
        assert followers == {
            **{name: ["fat_jec", "met_type1", "b_tag"] for name in names},
            f"jer_{year}": ["fat_jer"],
        }


def test_datasets_are_named_by_era_with_the_cross_sections_of_the_table(config):
    found = {one.name: one for one in config.selected_datasets()}
    assert len(found) == 29 * 4
    # sums of the bins of the cross-sections [pb], added by hand
    assert sum(one.cross_section for one in found.values() if one.process == "wjets") == pytest.approx(
        4 * 2922.21823
    )
    assert sum(one.cross_section for one in found.values() if one.process == "dyjets") == pytest.approx(
        4 * 325.881978
    )
    assert found["signal_2017"].cross_section == 0.01895
    assert config.lumi_of(found["signal_2017"]) == 41_480
    assert {name: one.lumi_mask for name, one in found.items() if one.is_data} == {
        f"data_{year}": payloads.golden_json(era) for year, era in eras.ERAS.items()
    }
    assert found["data_2018"].redirectors[0] == "root://cmsxrootd.fnal.gov/"


def test_files_below_a_base_directory_are_found_without_listings(tmp_path):
    for name in ("signal", "wjets_ht200to400"):
        for year in YEARS:
            (tmp_path / f"{name}_{year}_0.root").touch()
    config = load_config(example_cms.config, [f"datasets.base_dir={tmp_path}"])
    manager = DatasetManager(config)
    assert manager.files("signal_2016preVFP")[0].name == str(tmp_path / "signal_2016preVFP_0.root")
    assert manager.files("wjets_ht200to400_2018")[0].name == str(tmp_path / "wjets_ht200to400_2018_0.root")
    with pytest.raises(ConfigError, match=r"ttbar_had_2017_\*\.root"):
        manager.files("ttbar_had_2017")


def test_without_listings_and_base_directory_a_message_says_what_to_give(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "LISTINGS", tmp_path / "none")
    source = {**example_cms.config, "datasets": {"datasets": datasets.dataset_entries()}}
    with pytest.raises(ConfigError, match=r"'signal_2018' names no input.*datasets\.base_dir"):
        DatasetManager(load_config(source)).files("signal_2018")


def test_names_in_das_are_those_of_the_eras():
    campaign = "RunIISummer20UL16NanoAODAPVv9-106X_mcRun2_asymptotic_preVFP_v11"
    (name,) = datasets.das_names("ttbar_had", eras.ERAS["2016preVFP"])
    assert name == f"/TTToHadronic_TuneCP5_13TeV-powheg-pythia8/{campaign}-v*/NANOAODSIM"
    names = {year: datasets.das_names("data", era) for year, era in eras.ERAS.items()}
    assert {year: len(one) for year, one in names.items()} == {
        "2016preVFP": 5,
        "2016postVFP": 3,
        "2017": 5,
        "2018": 4,
    }
    assert names["2018"][-1] == "/SingleMuon/Run2018D-UL2018_MiniAODv2_NanoAODv9-v1/NANOAOD"
    assert names["2016preVFP"][0] == "/SingleMuon/Run2016B-ver2_HIPM_UL2016_MiniAODv2_NanoAODv9-v2/NANOAOD"


DASGOCLIENT = """#!/bin/sh
case "$2" in
  "dataset=/ZPrime"*) echo /Z/campaign-v9/NANOAODSIM; echo /Z/campaign-v10/NANOAODSIM;;
  "file dataset=/Z/campaign-v10/NANOAODSIM") echo /store/b.root; echo /store/a.root;;
esac
"""


@pytest.fixture
def das(tmp_path, monkeypatch):
    script = tmp_path / "bin" / "dasgoclient"
    script.parent.mkdir()
    script.write_text(DASGOCLIENT)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "listings"


def test_listings_hold_the_files_of_the_newest_version(das, monkeypatch):
    assert listing.write_listing("signal", "2018", das) == das / "signal_2018"
    (written,) = (das / "signal_2018").iterdir()
    assert written.read_text() == "# /Z/campaign-v10/NANOAODSIM\n/store/a.root\n/store/b.root\n"
    monkeypatch.setattr(datasets, "LISTINGS", das)
    source = {**example_cms.config, "datasets": {"datasets": datasets.dataset_entries()}}
    first, second = DatasetManager(load_config(source)).files("signal_2018")
    assert [first.name, second.name] == ["/store/a.root", "/store/b.root"]
    assert len(first.urls) == 3


def test_a_dataset_that_das_does_not_know_leaves_no_listing(das):
    with pytest.raises(LookupError, match="DAS knows no dataset /TTToHadronic"):
        listing.write_listing("ttbar_had", "2018", das)
    assert not das.exists()
    with pytest.raises(LookupError, match="no dataset signal_2019"):
        listing.main(["signal_2019"])


def test_the_command_without_dasgoclient_is_one_line_with_what_to_do(tmp_path):
    command = [sys.executable, "-m", "example_cms.listing", "signal_2018"]
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        command, check=False, cwd=FOLDER.parent, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: there is no 'dasgoclient' on the PATH")
    assert "datasets.base_dir=FOLDER needs no lists" in done.stderr


@cache
def opened(file):
    """Open the reference file that stands for a path of the configuration."""
    path = reference_data() / "corrections" / "POG" / Path(file).relative_to(payloads._folder())
    return correctionlib.CorrectionSet.from_file(str(path))


@pytest.mark.parametrize("year", YEARS)
def test_every_key_is_in_the_payloads_of_the_physics_object_groups(config, year):
    wanted = {one for correction in config.corrections[year] for one in correction.payloads()}
    for one in wanted:
        found = opened(one.file)
        assert one.key in {*found, *found.compound}, one
    # b tag, jets, fat jets, pileup, muons
    assert len({one.file for one in wanted}) == 5


@pytest.mark.parametrize("year", YEARS)
def test_every_systematic_key_is_known_to_its_payload(config, year):
    by_name = {one.name: one for one in config.corrections[year]}

    def keys(correction):
        return [
            correction.nominal_idx,
            *(key for source in correction.uncertainty_sources for _, key in source.variations()),
        ]

    for name in ("muon_id", "muon_iso", "muon_trigger"):
        payload = opened(by_name[name].file)[by_name[name].key]
        for key in keys(by_name[name]):
            assert 0.8 < payload.evaluate(f"{year}_UL", 1.0, 60.0, key) < 1.2
    pileup = opened(by_name["pileup"].file)[by_name["pileup"].key]
    for key in keys(by_name["pileup"]):
        assert pileup.evaluate(30.0, key) > 0
    (shape,) = by_name["b_tag"].payloads()
    for key in keys(by_name["b_tag"]):
        flavour = 4 if "cferr" in key else 5
        assert opened(shape.file)[shape.key].evaluate(key, flavour, 1.0, 60.0, 0.5) > 0
    for name in ("jer", "fat_jer"):
        factor = by_name[name].payloads()[1]
        assert "ScaleFactor" in factor.key
        for key in keys(by_name[name]):
            assert opened(factor.file)[factor.key].evaluate(0.5, key) > 0.9


def test_the_golden_json_files_have_their_official_names():
    folder = reference_data() / "corrections" / "golden"
    assert all((folder / era.golden_json).is_file() for era in eras.ERAS.values())


def test_variables_say_where_payloads_and_golden_json_files_are(monkeypatch):
    era = eras.ERAS["2017"]
    monkeypatch.setenv("INTCCMS_PAYLOADS", "/my/POG")
    monkeypatch.delenv("INTCCMS_GOLDEN", raising=False)
    assert payloads.payload("LUM", era, "puWeights") == "/my/POG/LUM/2017_UL/puWeights.json.gz"
    assert payloads.golden_json(era).startswith("/my/golden/Cert_294927-306462")
    monkeypatch.setenv("INTCCMS_GOLDEN", "/other")
    assert payloads.golden_json(era).startswith("/other/Cert_294927-306462")


def test_the_commands_of_the_readme_are_ones(monkeypatch):
    monkeypatch.chdir(FOLDER.parent)
    blocks = re.findall(r"```bash\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    commands = [words[1:] for words in lines if words[0] == "intccms"]
    assert len(commands) == 4
    for words in commands:
        command, arguments = main, list(words)
        while isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
        context = command.make_context("intccms", arguments)
        config = load_config(context.params["config"], context.params["overrides"])
        assert len(config.corrections) == 4
    variables = {words[1].partition("=")[0] for words in lines if words[0] == "export"}
    assert variables == {"INTCCMS_PAYLOADS", "INTCCMS_GOLDEN"}


def test_the_readme_names_every_file_of_the_example():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    names = {path.name for path in FOLDER.rglob("*.py")} - {"__init__.py"}
    assert not [name for name in sorted(names) if name not in text]
