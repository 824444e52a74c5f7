"""AK8 jets: `FatJet` with substructure and taggers, their `SubJet`s, and `GenJetAK8`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from intccms.demo.columns import Collection
from intccms.demo.detector import FAT_JET_MAX_ETA
from intccms.demo.full.jagged import extended, local_index, nearest, ordered_by_pt, truncated
from intccms.demo.kinematics import wrap_phi

if TYPE_CHECKING:
    from intccms.demo.full.draws import Draws

__all__ = ["FAT_JET_TRUTH", "full_fat_jets", "generated_fat_jets", "subjets"]

type Array = npt.NDArray[Any]
type Floats = npt.NDArray[np.float64]

FAT_JET_TRUTH = ("genJetAK8Idx", "hadronFlavour")
"""Fields that collision data do not have."""

FAT_JET_BITS = {"area": 10, "rawFactor": 6, "tau1": 10, "tau2": 10, "tau3": 10, "tau4": 10, "particleNet_mass": 10,
                "deepTagMD_TvsQCD": 10, "particleNet_WvsQCD": 10, "btagDeepB": 10}  # fmt: skip
SUBJET_BITS = {"pt": 10, "eta": 12, "phi": 12, "mass": 10, "rawFactor": 6, "btagDeepB": 10}
GEN_JET_BITS = {"pt": 10, "eta": 10, "phi": 10, "mass": 10}

RESOLUTION = 0.06  # of a fat jet's pt
MEAN_UNMATCHED_GEN_JETS, GEN_JET_MIN_PT = 0.6, 100.0  # GeV, the threshold of NanoAODv9


def _flavour(fat_jets: Collection, jets: Collection) -> npt.NDArray[np.int32]:
    """Return the heaviest flavour of the jets within 0.8."""
    flavour = np.zeros(fat_jets.fields["pt"].size, dtype=np.int32)
    for heavy in (4, 5):
        near = nearest(fat_jets, jets, 0.8, allowed=jets.fields["hadronFlavour"] == heavy) >= 0
        flavour[near] = heavy
    return flavour


def _subjettiness(draws: Draws, score: Floats) -> dict[str, Array]:
    """Return tau1 to tau4: jets that look like a top have a small tau3 / tau2."""
    n = score.size
    tau1 = draws("FatJet_tau1").uniform(0.1, 0.4, n)
    tau2 = tau1 * draws("FatJet_tau2").uniform(0.3, 0.9, n)
    tau3 = tau2 * np.clip(draws("FatJet_tau3").normal(0.78 - 0.30 * score, 0.10), 0.1, 0.99)
    tau4 = tau3 * draws("FatJet_tau4").uniform(0.6, 0.98, n)
    return {"tau1": tau1, "tau2": tau2, "tau3": tau3, "tau4": tau4}


def full_fat_jets(draws: Draws, fat_jets: Collection, jets: Collection) -> Collection:
    """Return `FatJet` without links; the scores of the two top taggers are correlated."""
    score = fat_jets.fields["particleNet_TvsQCD"].astype(np.float64)
    groomed = fat_jets.fields["msoftdrop"].astype(np.float64)
    n = score.size
    flavour = _flavour(fat_jets, jets)
    u = draws("FatJet_btagDeepB").random(n)
    further: dict[str, Array] = {
        "area": draws("FatJet_area").normal(2.01, 0.04, n),
        "rawFactor": np.clip(draws("FatJet_rawFactor").normal(0.08, 0.02, n), 0.0, 0.2),
        **_subjettiness(draws, score),
        "particleNet_mass": groomed
        * np.clip(draws("FatJet_particleNet_mass").normal(1.0, 0.08, n), 0.5, 1.5),
        "deepTagMD_TvsQCD": np.clip(score + draws("FatJet_deepTagMD_TvsQCD").normal(0.0, 0.15, n), 0.0, 1.0),
        "particleNet_WvsQCD": draws("FatJet_particleNet_WvsQCD").beta(0.6, 1.5, n),
        "btagDeepB": np.where(flavour == 5, 1.0 - u**2, np.where(flavour == 4, u**4, u**20)),
        "jetId": draws("FatJet_jetId").choice(np.array([6, 2, 0], dtype=np.int32), n, p=[0.98, 0.015, 0.005]),
        "hadronFlavour": flavour,
    }
    return extended(fat_jets, further, FAT_JET_BITS)


def subjets(draws: Draws, fat_jets: Collection) -> tuple[Collection, Collection]:
    """Return `SubJet`, in the order of their fat jets, and the fat jets with the indices of their two.

    The two share the groomed pt as ``z`` and ``1 - z``, at the distance that gives the groomed mass
    (m = pt * dR * sqrt(z (1 - z)) for narrow jets), at most 0.7. Of fat jets that lost nearly all mass, one is left.
    """
    fields = {name: values.astype(np.float64) for name, values in fat_jets.fields.items()}
    n = fields["pt"].size
    z = draws("SubJet_pt").uniform(0.55, 0.9, n)
    angle = draws("SubJet_direction").uniform(-np.pi, np.pi, n)
    groomed = fields["pt"] * draws("SubJet groomed pt").uniform(0.92, 1.0, n)
    distance = np.minimum(fields["msoftdrop"] / (groomed * np.sqrt(z * (1.0 - z))), 0.7)
    two_pronged = fields["msoftdrop"] > 5.0
    # the momentum-weighted centre of the two is the axis of the fat jet
    first, second = (1.0 - z) * distance, -z * distance
    rng = draws("SubJet_mass")
    both = np.stack([np.ones(n, dtype=np.bool_), two_pronged], axis=1)
    share = np.stack([np.where(two_pronged, z, 1.0), 1.0 - z], axis=1)
    offset = np.stack([np.where(two_pronged, first, 0.0), second], axis=1)
    pt = groomed[:, None] * share
    flavour = _flavours_of_two(draws, fat_jets)
    u = draws("SubJet_btagDeepB").random((n, 2))
    score = np.where(flavour == 5, 1.0 - u**2, np.where(flavour == 4, u**4, u**20))
    columns = {
        "pt": pt,
        "eta": fields["eta"][:, None] + offset * np.cos(angle)[:, None],
        "phi": wrap_phi(fields["phi"][:, None] + offset * np.sin(angle)[:, None]),
        "mass": pt * rng.uniform(0.02, 0.12, (n, 2)),
        "rawFactor": np.clip(draws("SubJet_rawFactor").normal(0.06, 0.02, (n, 2)), 0.0, 0.2),
        "btagDeepB": score,
        "hadronFlavour": flavour.astype(np.uint8),
    }
    flat = truncated({name: values[both] for name, values in columns.items()}, SUBJET_BITS)
    counts = np.bincount(
        fat_jets.event_index(), weights=both.sum(axis=1), minlength=fat_jets.counts.size
    ).astype(np.int32)
    index = np.full((n, 2), -1, dtype=np.int32)
    index[both] = local_index(counts)
    return Collection(counts, flat), extended(
        fat_jets, {"subJetIdx1": index[:, 0], "subJetIdx2": index[:, 1]}, {}
    )


def _flavours_of_two(draws: Draws, fat_jets: Collection) -> Array:
    """Give the flavour of a fat jet to one of its two subjets, the first more often."""
    flavour = fat_jets.fields["hadronFlavour"]
    in_first = draws("SubJet_hadronFlavour").random(flavour.size) < 0.6
    return np.stack([np.where(in_first, flavour, 0), np.where(in_first, 0, flavour)], axis=1)


def generated_fat_jets(draws: Draws, fat_jets: Collection) -> tuple[Collection, Collection]:
    """Return `GenJetAK8`, and the fat jets with the index of theirs; a few softer ones are matched to none."""
    n_events, fields = fat_jets.counts.size, fat_jets.fields
    n = fields["pt"].size
    response = 1.0 + RESOLUTION * np.clip(draws("GenJetAK8_pt").normal(size=n), -3.0, 3.0)
    shift = draws("GenJetAK8_direction").normal(0.0, 0.02, (2, n))
    number = draws("further GenJetAK8").poisson(MEAN_UNMATCHED_GEN_JETS, n_events)
    m = int(number.sum())
    rng = draws("further GenJetAK8, momenta")
    soft = GEN_JET_MIN_PT + rng.exponential(25.0, m)
    limit = FAT_JET_MAX_ETA
    columns: dict[str, Array] = {
        "pt": np.concatenate([fields["pt"] / response, soft]),
        "eta": np.concatenate([fields["eta"] + shift[0], rng.uniform(-limit, limit, m)]),
        "phi": np.concatenate([wrap_phi(fields["phi"] + shift[1]), rng.uniform(-np.pi, np.pi, m)]),
        "mass": np.concatenate([fields["mass"] / response, soft * rng.uniform(0.05, 0.2, m)]),
        "hadronFlavour": np.concatenate([fields["hadronFlavour"], np.zeros(m, dtype=np.int32)]).astype(
            np.uint8
        ),
        "partonFlavour": np.concatenate([fields["hadronFlavour"], np.full(m, 21, dtype=np.int32)]),
    }
    event = np.concatenate([fat_jets.event_index(), np.repeat(np.arange(n_events), number)])
    collection, place = ordered_by_pt(n_events, event, truncated(columns, GEN_JET_BITS))
    return collection, extended(fat_jets, {"genJetAK8Idx": place[:n]}, {})
