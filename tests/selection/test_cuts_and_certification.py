"""Cutflow, lumi masks and the cut library against loops that a child could check."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.selection import Cutflow
from intccms.selection.library import any_trigger, combination_mass, count_is, has_at_least
from intccms.selection.lumimask import certified, check_golden_json

WEIGHTS = np.array([1.0, 2.0, -4.0, 8.0])


def test_a_cutflow_counts_what_each_cut_leaves_of_what_came_before():
    flow = Cutflow()
    flow.record("all", WEIGHTS)
    passed = flow.apply(
        [("a", np.array([True, True, True, False])), ("b", np.array([False, True, True, True]))], WEIGHTS
    )
    assert passed.tolist() == [False, True, True, False]
    assert flow.steps == {"all": (4, 7.0), "a": (3, -1.0), "b": (2, -2.0)}


def test_cuts_of_the_same_name_stay_apart():
    flow = Cutflow()
    for mask in ([True, True, True, False], [True, True, False, False], [True, False, False, False]):
        flow.apply([("cut", np.array(mask))], WEIGHTS)
    assert list(flow.steps) == ["cut", "cut (2)", "cut (3)"]
    assert [entries for entries, _ in flow.steps.values()] == [3, 2, 1]


def test_the_cutflows_of_two_parts_add_up_step_by_step_and_stay_as_they_were():
    first, second = Cutflow({"all": (2, 1.5), "a": (1, 1.0)}), Cutflow({"all": (3, -0.5), "b": (1, 4.0)})
    assert (first + second).steps == {"all": (5, 1.0), "a": (1, 1.0), "b": (1, 4.0)}
    assert first.steps == {"all": (2, 1.5), "a": (1, 1.0)}


GOLDEN = {"100": [[1, 5], [8, 8]], "102": [[2, 3]], "4000000000": [[1, 1]]}


@pytest.fixture
def golden(tmp_path) -> str:
    path = tmp_path / "golden.json"
    path.write_text(json.dumps(GOLDEN))
    return str(path)


def test_certified_sections_are_those_a_loop_over_the_ranges_finds(golden: str):
    rng = np.random.default_rng(5)
    runs = rng.choice(np.array([99, 100, 101, 102, 103, 4_000_000_000], dtype=np.uint32), 2_000)
    sections = rng.integers(0, 12, 2_000).astype(np.uint32)
    by_hand = [
        any(first <= section <= last for first, last in GOLDEN.get(str(run), []))
        for run, section in zip(runs.tolist(), sections.tolist(), strict=True)
    ]
    assert 0 < sum(by_hand) < len(by_hand)
    assert certified(golden, ak.Array(runs), ak.Array(sections)).tolist() == by_hand


def test_no_events_give_an_empty_mask_even_without_a_file():
    assert certified("/nowhere.json", np.zeros(0), np.zeros(0)).shape == (0,)


def test_a_golden_file_that_was_written_anew_is_read_anew(golden: str):
    runs, sections = np.array([100, 200]), np.array([1, 1])
    assert certified(golden, runs, sections).tolist() == [True, False]
    Path(golden).write_text(json.dumps({"200": [[1, 2]], "300": [[1, 2]]}))
    os.utime(golden, ns=(1, 1))
    assert certified(golden, runs, sections).tolist() == [False, True]


@pytest.mark.parametrize("content", ["{}", '{"100": []}'])
def test_a_golden_file_without_sections_certifies_nothing(tmp_path, content: str):
    path = tmp_path / "cert.json"
    path.write_text(content)
    assert certified(str(path), np.array([100]), np.array([1])).tolist() == [False]


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int64, np.uint64])
def test_runs_of_any_integer_type_are_looked_up(golden: str, dtype):
    runs, sections = np.array([100, 100, 102], dtype=dtype), np.array([5, 6, 2], dtype=dtype)
    assert certified(golden, runs, sections).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: FileNotFoundError"),
        ("{", "cannot be read: JSONDecodeError"),
        ("[1, 2]", "is no golden JSON"),
        ('{"run": [[1, 2]]}', "run 'run' has"),
        ('{"100": [1, 2]}', r"run '100' has '\[1, 2\]'; expected"),
        ('{"100": [[1, 2, 3]]}', "run '100'"),
        ('{"100": [[1, "x"]]}', "run '100'"),
        ('{"100": 7}', "run '100'"),
    ],
)
def test_what_is_no_golden_file_is_an_error_that_names_it(tmp_path, content: str | None, words: str):
    path = tmp_path / "cert.json"
    if content is not None:
        path.write_text(content)
    for check in (check_golden_json, lambda name: certified(name, np.array([100]), np.array([1]))):
        with pytest.raises(ConfigError, match=rf"lumi mask '.*cert\.json' .*{words}"):
            check(str(path))


def test_any_trigger_is_the_or_of_all():
    a, b, c = (np.array(one, dtype=bool) for one in ([1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]))
    assert any_trigger(a).tolist() == [True, False, False, False]
    assert np.asarray(any_trigger(a, ak.Array(b), c)).tolist() == [True, False, True, True]


def test_counting_objects():
    objects = ak.Array([[1, 2], [], [3]])
    assert count_is(objects, 1).tolist() == [False, False, True]
    assert count_is(objects, 0).tolist() == [False, True, False]
    assert has_at_least(objects, 1).tolist() == [True, False, True]
    assert has_at_least(objects, 2).tolist() == [True, False, False]


def particles(rng: np.random.Generator, counts: np.ndarray):
    total = int(counts.sum())
    fields = {
        "pt": rng.exponential(100, total) + 5,
        "eta": rng.normal(0, 1.5, total),
        "phi": rng.uniform(-np.pi, np.pi, total),
        "mass": rng.exponential(10, total),
    }
    return ak.unflatten(ak.zip({name: values.astype(np.float32) for name, values in fields.items()}), counts)


def momentum(one) -> np.ndarray:
    pt, eta, phi, mass = (float(one[name]) for name in ("pt", "eta", "phi", "mass"))
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return np.array([math.sqrt(px**2 + py**2 + pz**2 + mass**2), px, py, pz])


def mass_of(total: np.ndarray) -> float:
    return math.sqrt(max(total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2, 0.0))


@pytest.mark.parametrize("with_met", [True, False])
def test_combination_masses_are_those_of_nested_loops(with_met: bool):
    rng = np.random.default_rng(11)
    muons, tops, jets = (particles(rng, rng.integers(0, 3, 40)) for _ in range(3))
    met = ak.zip({"pt": rng.exponential(80, 40), "phi": rng.uniform(-np.pi, np.pi, 40)})
    expected = []
    for event in range(40):
        masses = []
        for muon in muons[event]:
            for top in tops[event]:
                for jet in jets[event]:
                    total = momentum(muon) + momentum(top) + momentum(jet)
                    if with_met:
                        pt, phi = float(met[event].pt), float(met[event].phi)
                        total = total + np.array([pt, pt * math.cos(phi), pt * math.sin(phi), 0.0])
                    masses.append(mass_of(total))
        expected.append(masses)
    found = combination_mass(muons, tops, jets, met=met if with_met else None)
    assert ak.num(found).tolist() == [len(masses) for masses in expected]
    assert sum(len(masses) for masses in expected) > 20
    np.testing.assert_allclose(ak.flatten(found), [m for masses in expected for m in masses], rtol=1e-9)


def test_the_mass_of_one_massless_particle_is_zero_not_nan():
    photons = ak.zip({"pt": [[1e4]], "eta": [[4.9]], "phi": [[1.0]], "mass": [[0.0]]})
    assert combination_mass(photons).tolist()[0][0] == pytest.approx(0.0, abs=1.0)
    assert not math.isnan(combination_mass(photons)[0, 0])


def test_two_particles_back_to_back_have_twice_their_momentum():
    first = ak.zip({"pt": [[50.0], []], "eta": [[0.0], []], "phi": [[0.0], []], "mass": [[0.0], []]})
    second = ak.zip({"pt": [[50.0], []], "eta": [[0.0], []], "phi": [[np.pi], []], "mass": [[0.0], []]})
    assert combination_mass(first, second).tolist() == [[pytest.approx(100.0)], []]
