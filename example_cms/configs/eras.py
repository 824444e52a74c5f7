"""The four eras of Run 2: luminosities, and the names under which their data, simulation and corrections go."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ERAS", "Era"]

MU50_2016 = "NUM_Mu50_or_TkMu50_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose"
MU50 = "NUM_Mu50_or_OldMu100_or_TkMu100_DEN_CutBasedIdGlobalHighPt_and_TkIsoLoose"


@dataclass(frozen=True)
class Era:
    """What differs between eras."""

    year: str
    luminosity: float
    """Integrated luminosity [pb^-1], as commonly used with ultra-legacy data; an analysis takes its own from brilcalc."""
    campaign: str
    """Campaign of the simulation in DAS, without the version."""
    golden_json: str
    """File of certified lumi sections."""
    runs: tuple[str, ...]
    """Data in DAS: what follows ``/SingleMuon/``. Look up the versions before use."""
    jec: str
    """Version of the jet energy corrections of simulation."""
    jer: str
    """Version of the jet energy resolution."""
    pileup: str
    """Name of the pileup weights in their payload."""
    muon_trigger: str
    """Name of the scale factors of the muon triggers in their payload."""
    fat_jet_jer: bool = True
    """Whether there is a resolution of fat jets; if not, that of jets is used."""
    ecal_bad_calibration: bool = True
    """Whether ``Flag_ecalBadCalibFilter`` is among the recommended MET filters."""
    prefiring: bool = True
    """Whether the level-1 trigger fired too early."""

    @property
    def payloads(self) -> str:
        """Folder of the era below that of a physics object group."""
        return f"{self.year}_UL"


ERAS: dict[str, Era] = {
    era.year: era
    for era in (
        Era(
            year="2016preVFP",
            luminosity=19_500.0,  # 2016 together 36.3 /fb, arXiv:2104.01927
            campaign="RunIISummer20UL16NanoAODAPVv9-106X_mcRun2_asymptotic_preVFP_v11",
            golden_json="Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt",
            runs=(
                "Run2016B-ver2_HIPM_UL2016_MiniAODv2_NanoAODv9-v2",
                *(f"Run2016{run}-HIPM_UL2016_MiniAODv2_NanoAODv9-v2" for run in "CDEF"),
            ),
            jec="Summer19UL16APV_V7_MC",
            jer="Summer20UL16APV_JRV3_MC",
            pileup="Collisions16_UltraLegacy_goldenJSON",
            muon_trigger=MU50_2016,
            ecal_bad_calibration=False,
        ),
        Era(
            year="2016postVFP",
            luminosity=16_810.0,
            campaign="RunIISummer20UL16NanoAODv9-106X_mcRun2_asymptotic_v17",
            golden_json="Cert_271036-284044_13TeV_Legacy2016_Collisions16_JSON.txt",
            runs=tuple(f"Run2016{run}-UL2016_MiniAODv2_NanoAODv9-v1" for run in "FGH"),
            jec="Summer19UL16_V7_MC",
            jer="Summer20UL16_JRV3_MC",
            pileup="Collisions16_UltraLegacy_goldenJSON",
            muon_trigger=MU50_2016,
            ecal_bad_calibration=False,
        ),
        Era(
            year="2017",
            luminosity=41_480.0,
            campaign="RunIISummer20UL17NanoAODv9-106X_mc2017_realistic_v9",
            golden_json="Cert_294927-306462_13TeV_UL2017_Collisions17_GoldenJSON.txt",
            runs=tuple(f"Run2017{run}-UL2017_MiniAODv2_NanoAODv9-v1" for run in "BCDEF"),
            jec="Summer19UL17_V5_MC",
            jer="Summer19UL17_JRV2_MC",
            pileup="Collisions17_UltraLegacy_goldenJSON",
            muon_trigger=MU50,
            fat_jet_jer=False,
        ),
        Era(
            year="2018",
            luminosity=59_830.0,
            campaign="RunIISummer20UL18NanoAODv9-106X_upgrade2018_realistic_v16_L1v1",
            golden_json="Cert_314472-325175_13TeV_Legacy2018_Collisions18_JSON.txt",
            runs=(
                *(f"Run2018{run}-UL2018_MiniAODv2_NanoAODv9-v2" for run in "ABC"),
                "Run2018D-UL2018_MiniAODv2_NanoAODv9-v1",
            ),
            jec="Summer19UL18_V5_MC",
            jer="Summer19UL18_JRV2_MC",
            pileup="Collisions18_UltraLegacy_goldenJSON",
            muon_trigger=MU50,
            prefiring=False,
        ),
    )
}
"""The eras by year."""
