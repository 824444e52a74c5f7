"""The six datasets: where their files are, and their cross-sections. What is done with them is not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["GOLDEN_JSON", "LUMINOSITY", "REDIRECTOR", "dataset_entries"]

HERE = Path(__file__).resolve().parent

REDIRECTOR = "root://eospublic.cern.ch/"
"""The public storage of CERN Open Data; needs no account and no grid proxy."""

GOLDEN_JSON = HERE / "golden_2016GH.json"
"""Certified lumi sections of Run2016G and Run2016H: CERN Open Data record 14220, runs 278820 to 284044."""

LUMINOSITY = 16_400.0
"""Integrated luminosity of Run2016G and Run2016H in the workshop [pb^-1]."""

XSEC_TTBAR = 831.76  # pb, t tbar at 13 TeV, NNLO+NNLL, m_t = 172.5 GeV
# fractions of t tbar decays in the workshop
BR_SEMILEPTONIC, BR_DILEPTONIC, BR_HADRONIC = 0.438, 0.105, 0.457

XSECS = {
    "signal": 1.0,  # a unit of the signal strength: the cross-section is what the search is for
    "ttbar_semilep": XSEC_TTBAR * BR_SEMILEPTONIC,
    "ttbar_lep": XSEC_TTBAR * BR_DILEPTONIC,
    "ttbar_had": XSEC_TTBAR * BR_HADRONIC,
    "wjets": 61_526.7,  # W to a lepton and a neutrino, all flavours
}
"""Cross-sections times branching ratios of the simulated datasets in the workshop [pb]."""


def dataset_entries() -> list[dict[str, Any]]:
    """Return the entries for ``datasets.datasets``, simulation first."""
    simulation = [{**_entry(name), "cross_sections": [xsec]} for name, xsec in XSECS.items()]
    return [*simulation, {**_entry("data"), "is_data": True, "lumi_mask": str(GOLDEN_JSON)}]


def _entry(name: str) -> dict[str, Any]:
    # Names, not the listing itself: files on a remote storage give way to those below datasets.base_dir.
    return {"name": name, "files": _listed(name), "redirector": REDIRECTOR}


def _listed(name: str) -> list[str]:
    lines = (HERE / "listings" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
