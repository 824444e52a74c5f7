"""Stored weights: sets and triples."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.errors import ConfigError
from intccms.systematics.theory import member_weight, scale_weight, stored_weight
from tests.reference import reference_data
from tests.systematics.locality import assert_event_local

SET = ak.Array([[0.5, 1.5, 2.0], [], [1.0], [0.7, 0.8, 0.9]])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (0, [0.5, 1, 1.0, 0.7]),
        (2, [2.0, 1, 1, 0.9]),
        (3, [1, 1, 1, 1]),
        (None, [1, 1, 1, 1]),
        (np.int64(1), [1.5, 1, 1, 0.8]),
    ],
)
def test_a_member_is_taken_where_it_is_and_one_elsewhere(key: Any, expected: list[float]) -> None:
    assert member_weight(SET, key).tolist() == expected


@pytest.mark.parametrize("key", [-1, True, 1.0, "up"])
def test_what_is_no_position_is_refused(key: Any) -> None:
    with pytest.raises(
        ConfigError, match="member_weight has no systematic key .* a position from 0, or None"
    ):
        member_weight(SET, key)
    with pytest.raises(ConfigError, match="scale_weight has no systematic key .* a position from 0 to 8"):
        scale_weight(SET, key)


def test_there_are_nine_scales() -> None:
    with pytest.raises(ConfigError, match="no systematic key 9"):
        scale_weight(SET, 9)


def test_scales_without_nominal_are_found_one_earlier() -> None:
    # member i of nine has the weight i + 1; the second event leaves out the nominal, member 4
    nine = [float(i + 1) for i in range(9)]
    weights = ak.Array([nine, nine[:4] + nine[5:], []])
    for key in range(9):
        expected = [nine[key], 1.0 if key == 4 else nine[key], 1.0]
        assert scale_weight(weights, key).tolist() == expected
    assert scale_weight(weights, None).tolist() == [1.0, 1.0, 1.0]


def test_no_weights_and_no_events_give_ones_and_none() -> None:
    for function in (member_weight, scale_weight):
        assert function(ak.Array([[], []]), 3).tolist() == [1.0, 1.0]
        assert function(SET[:0], 3).tolist() == []
        assert function(ak.Array([]), None).tolist() == []


def test_a_stored_triple_is_chosen_by_name() -> None:
    columns = [ak.Array([value]) for value in (0.9, 0.95, 0.85)]
    found = {key: stored_weight(*columns, key).tolist() for key in ("nominal", None, "up", "down")}
    assert found == {"nominal": [0.9], None: [0.9], "up": [0.95], "down": [0.85]}
    with pytest.raises(ConfigError, match=r"stored_weight has no systematic key 'dn'"):
        stored_weight(*columns, "dn")


# number of LHEScaleWeight and PSWeight in each event
REAL = {
    "DarkBottomLine_ttH_M125_2017.root": (9, 1),
    "DarkBottomLine_DYJetsToLL--UL17_v6-v2_109_Skim.root": (9, 4),
    "nano_genmodel_with0.root": (0, 1),
    "nano_tt_v15.root": (9, 4),
}


@pytest.mark.parametrize("name", REAL)
def test_members_of_real_files_are_those_stored(name: str) -> None:
    tree = uproot.open(reference_data() / "nanoaod" / name)["Events"]
    scales, showers = (tree[branch].array() for branch in ("LHEScaleWeight", "PSWeight"))
    assert (set(ak.num(scales)), set(ak.num(showers))) == ({REAL[name][0]}, {REAL[name][1]})
    for key in range(REAL[name][0]):
        assert scale_weight(scales, key).tolist() == ak.to_list(scales[:, key])
    expected = ak.to_list(showers[:, 3]) if REAL[name][1] > 3 else [1.0] * len(showers)
    assert member_weight(showers, 3).tolist() == expected


def test_weights_are_functions_of_the_event_alone() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.choice([0, 1, 8, 9], 300)
    weights = ak.unflatten(rng.uniform(0.5, 2, sizes.sum()), sizes)
    assert_event_local(lambda one: member_weight(one, 5), weights)
    assert_event_local(lambda one: scale_weight(one, 6), weights)
    assert_event_local(
        lambda *args: stored_weight(*args, "up"), *(ak.Array(rng.uniform(size=300)) for _ in range(3))
    )
