"""The plan of variations: what each touches, by hand; names and order; years and datasets."""

from __future__ import annotations

from typing import Any

import pytest

from intccms.errors import ConfigError
from intccms.schema import SYS, Config, ObjVar
from intccms.systematics.plan import SystematicsPlan, Touched
from tests.systematics import toy_corrections as toy
from tests.systematics.toy_corrections import (
    FAT,
    b_tag,
    channels,
    correction,
    delta,
    jec,
    jer,
    keyed,
    met,
    muon_factor,
    observable,
)

JETS, MUONS = ("Jet", None), ("Muon", None)
DATASETS = [
    {"name": "tt", "files": ["t.root"], "cross_sections": [1.0], "years": ["2018"]},
    {"name": "old", "files": ["o.root"], "cross_sections": [1.0], "years": ["2017"]},
    {"name": "data", "files": ["d.root"], "is_data": True, "years": ["2018"]},
]


def config_of(corrections: Any, general: Any = None, **more: Any) -> Config:
    parts = {
        "good_object_masks": [
            {"collection": "Muon", "function": toy.good_muons, "use": [MUONS]},
            {"collection": "Jet", "function": toy.good_jets, "use": [JETS]},
        ],
        "baseline_selection": {"function": toy.has_two_jets, "use": [JETS]},
        "ghost_observables": [{"names": "ht", "function": toy.scalar_sum, "use": [JETS]}],
        "channels": channels(),
        **more,
    }
    lumi = {"2017": 1.0, "2018": 1.0}
    return Config(
        general={"lumi": lumi, **(general or {})},
        datasets={"datasets": DATASETS},
        corrections=corrections,
        **parts,
    )


def plan_of(corrections: Any, dataset: str = "tt_2018", general: Any = None, **more: Any) -> SystematicsPlan:
    config = config_of(corrections, general, **more)
    (one,) = [one for one in config.selected_datasets() if one.name.startswith(dataset)]
    return SystematicsPlan(config, one, config.selected_channels())


FAT_JETS = correction(
    "object",
    "fat",
    None,
    [FAT["pt"], FAT["eta"]],
    delta("fj", toy.of_fat_jets, varies_with="jes"),
    target=[FAT["pt"]],
)
CHAIN = [
    jec(delta("jes", toy.relative), delta("jes2", toy.relative)),
    jer(keyed("jer", "up", "down")),
    met(),
    FAT_JETS,
    muon_factor(keyed("mu", "u", "d")),
    b_tag(keyed("hf", "up_hf", "down_hf"), keyed("b", "up_jes", "down_jes", varies_with="jes")),
]


def test_variations_stand_in_the_order_of_corrections_and_sources():
    plan = plan_of(CHAIN)
    assert list(plan.object_variations) == [
        "jes_up",
        "jes_down",
        "jes2_up",
        "jes2_down",
        "jer_up",
        "jer_down",
    ]
    assert list(plan.weight_variations) == ["mu_up", "mu_down", "hf_up", "hf_down"]
    assert plan.of_channel(plan.channels[0]) == (*plan.weight_variations, *plan.object_variations)
    assert [one.name for one in plan.object_variations.values()] == ["jec"] * 4 + ["jer"] * 2


def test_a_variation_touches_what_the_chain_makes_of_it():
    found = plan_of(CHAIN).touches(["jes_up", "jes2_down", "jer_up"])
    assert found == {
        "jes_up": {"Jet", "MET", "FatJet"},
        "jes2_down": {"Jet", "MET"},
        "jer_up": {"Jet", "MET"},
    }


def test_what_is_touched_step_by_step():
    assert plan_of(CHAIN).touched == Touched(
        collections=frozenset({"Jet", "MET", "FatJet"}),
        masks=frozenset({1}),
        baseline=True,
        ghosts=frozenset({0}),
        selections=frozenset({"SR"}),
        observables=frozenset(
            {("SR", name) for name in ("ht", "ht_or_nan", "lead", "jets", "pt_eta", "pt_met", "met")}
            | {("all", "fat"), ("all", "fat_mass")}
        ),
        weights=frozenset({"btag"}),
    )


def test_what_only_nominal_corrections_change_waits_for_them_and_is_not_touched():
    muons = correction(
        "object", "mu", toy.calibrated, [toy.MUON["pt"], toy.MUON["eta"]], target=[toy.MUON["pt"]]
    )
    plan = plan_of([muons, *CHAIN])
    assert plan.corrected == {"Muon", "Jet", "MET", "FatJet"}
    assert plan.corrects.masks == {0, 1}
    assert plan.touched.masks == {1}
    assert "muon" in plan.corrects.weights
    assert "muon" not in plan.touched.weights


def test_a_mask_waits_for_an_earlier_one_that_varies_and_looks_at_what_it_narrows():
    far = {"collection": "Jet", "function": toy.far_from_muons, "use": [JETS, MUONS]}
    muons = {"collection": "Muon", "function": toy.good_muons, "use": [MUONS]}
    assert plan_of(CHAIN, good_object_masks=[muons, far]).touched.masks == {1}
    assert plan_of(CHAIN, good_object_masks=[far, muons]).touched.masks == {0, 1}


def test_ghosts_of_one_collection_are_touched_together():
    ghosts = [
        {"names": "ht", "function": toy.scalar_sum, "use": [JETS]},
        {"names": "a", "function": toy.scalar_sum, "use": [MUONS], "collection": "Sums"},
        {"names": "b", "function": toy.scalar_sum, "use": [JETS], "collection": "Sums"},
        {"names": "c", "function": toy.scalar_sum, "use": [MUONS]},
    ]
    use = [("event", "c"), ("Sums", None)]
    last = observable("x", lambda c, sums: c, use)
    found = plan_of(CHAIN, ghost_observables=ghosts, channels=[{"name": "one", "observables": [last]}])
    assert found.touched.ghosts == {1, 2}
    assert found.touched.observables == {("one", "x")}


def test_whole_events_vary_if_anything_does():
    whole = {"function": lambda events: events.MET.pt > 0, "use": [("event", None)]}
    assert plan_of(CHAIN, baseline_selection=whole).touched.baseline
    assert not plan_of([], baseline_selection=whole).touched.baseline


@pytest.mark.parametrize(("dataset", "general"), [("data_2018", {}), ("tt_2018", {"run_systematics": False})])
def test_data_and_runs_without_systematics_have_no_variations(dataset, general):
    corrections = [{**one, "applies_to": ["simulation", "data"]} for one in CHAIN]
    plan = plan_of(corrections, dataset, general)
    assert not plan.varies
    assert (plan.object_variations, plan.weight_variations, plan.normalisation_factors) == ({}, {}, {})
    assert plan.touched == Touched(frozenset())
    assert plan.corrected == {"Jet", "MET", "FatJet"}
    assert plan.following(plan.chain[-1], "jes_up") is None


def test_corrections_are_those_of_the_year_and_of_the_dataset():
    corrections = {
        "2018": [
            muon_factor(keyed("mu", "u", "d")),
            {**b_tag(), "applies_to": ["data"]},
            correction(
                "normalisation", "lumi", None, [], keyed("lumi_2018", 1.02, 0.98), keyed("lumi", 1.01, 0.99)
            ),
        ],
        "2017": [],
    }
    plan = plan_of(corrections)
    assert list(plan.weight_variations) == ["mu_up", "mu_down"]
    assert plan.normalisation_factors == {
        "lumi_2018_up": 1.02, "lumi_2018_down": 0.98, "lumi_up": 1.01, "lumi_down": 0.99,
    }  # fmt: skip
    assert plan_of(corrections, "old_2017").weights == []


def test_a_source_named_after_a_year_is_of_that_year_in_one_list_for_all():
    corrections = [muon_factor(keyed("muon_2017", "u", "d"), keyed("muon", "u", "d"))]
    datasets = {"2017": "old_2017", "2018": "tt_2018"}
    names = {year: list(plan_of(corrections, one).weight_variations) for year, one in datasets.items()}
    assert names == {
        "2017": ["muon_2017_up", "muon_2017_down", "muon_up", "muon_down"],
        "2018": ["muon_up", "muon_down"],
    }


def test_without_its_leader_the_first_follower_leads_under_its_name():
    corrections = [
        jec(delta("jes", toy.relative), applies_to=["old"]),
        FAT_JETS,
        muon_factor(keyed("muon_jes", "u", "d", varies_with="jes")),
    ]
    plan = plan_of(corrections)
    assert {name: one.name for name, one in plan.object_variations.items()} == {
        "jes_up": "fat",
        "jes_down": "fat",
    }
    assert plan.weight_variations == {}
    assert plan.following(plan.weights[0], "jes_down").key == "d"
    alone = plan_of([corrections[0], corrections[2]])
    assert list(alone.weight_variations) == ["jes_up", "jes_down"]
    assert [shift.key for shift in alone.shifts(alone.weights[0])] == ["u", "d"]


def test_without_its_leader_objects_lead_and_weights_follow_whatever_comes_first():
    leader = jec(delta("jes", toy.relative), applies_to=["old"])
    weight = muon_factor(keyed("muon_jes", "u", "d", varies_with="jes"))
    for corrections in ([leader, weight, FAT_JETS], [leader, FAT_JETS, weight]):
        plan = plan_of(corrections)
        assert {name: one.name for name, one in plan.object_variations.items()} == {
            "jes_up": "fat",
            "jes_down": "fat",
        }
        assert plan.weight_variations == {}


def test_who_leads_without_being_used_still_leads():
    """The first of two followers is of a collection that no functor of the channel uses."""
    only_met = {"name": "MET", "observables": [observable("met", toy.same, [("MET", "pt")])]}
    parts = {"good_object_masks": [], "baseline_selection": None, "ghost_observables": []}
    follower = met(delta("met_jes", toy.same, args=[ObjVar("MET", "pt")], varies_with="jes"))
    leader = jec(delta("jes", toy.relative), applies_to=["old"])
    plan = plan_of([leader, FAT_JETS, follower], channels=[only_met], **parts)
    assert list(plan.object_variations) == ["jes_up", "jes_down"]
    assert "MET" in plan.touches(["jes_up"])["jes_up"]
    assert plan.of_channel(plan.channels[0]) == ("jes_up", "jes_down")


def test_who_follows_takes_its_own_key_in_the_direction_of_its_leader():
    plan = plan_of(CHAIN)
    b_tags = plan.weights[1]
    found = {name: plan.following(b_tags, name) for name in plan.object_variations}
    assert {name: (one.key, one.up) for name, one in found.items() if one is not None} == {
        "jes_up": ("up_jes", True),
        "jes_down": ("down_jes", False),
    }
    assert plan.following(plan.chain[-1], "jes_down").source.name == "fj"


def test_a_channel_has_the_variations_that_reach_it():
    pv = {"name": "PV", "observables": [observable("pv", toy.same, [("PV", "npvs")])]}
    only_met = {"name": "MET", "observables": [observable("met", toy.same, [("MET", "pt")])]}
    parts = {"good_object_masks": [], "baseline_selection": None, "ghost_observables": []}
    unclustered = keyed("uncl", 1.0, -1.0, args=[*toy.MET_ARGS, SYS], up_function=toy.unclustered)
    chain = [jec(delta("jes", toy.relative)), met(unclustered), muon_factor(keyed("mu", "u", "d"))]
    plan = plan_of(chain, channels=[pv, only_met], **parts)
    assert plan.of_channel(plan.channels[0]) == ("mu_up", "mu_down")
    assert plan.of_channel(plan.channels[1]) == (
        "mu_up",
        "mu_down",
        "jes_up",
        "jes_down",
        "uncl_up",
        "uncl_down",
    )


def test_a_file_that_lacks_columns_has_the_same_variations_and_touches_less():
    whole = plan_of(CHAIN)
    plan = SystematicsPlan(whole.config, whole.dataset, whole.channels, frozenset({"jec", "btag"}))
    # jets have no energy scale, but what varies with it has
    assert list(plan.object_variations) == ["jer_up", "jer_down", "jes_up", "jes_down"]
    assert plan.touches(["jes_up", "jer_up"]) == {"jes_up": {"FatJet"}, "jer_up": {"Jet", "MET"}}
    assert plan.corrected == {"Jet", "MET", "FatJet"}
    assert list(plan.weight_variations) == ["mu_up", "mu_down"]
    assert plan.whole.of_channel(plan.channels[0]) == whole.of_channel(whole.channels[0])


def test_generator_particles_cannot_be_put_in_another_order():
    gen = ObjVar("GenPart", "pt")
    moved = correction("object", "gen", toy.same, [gen], target=[gen])
    channel = {"name": "gen", "observables": [observable("pt", toy.same, [gen])]}
    plan = plan_of([moved], channels=[channel])
    with pytest.raises(
        ConfigError, match=r"correction 'gen' changes the pt of GenPart.*Change another field"
    ):
        _ = plan.chain
    other = correction("object", "gen", toy.same, [gen], target=[ObjVar("GenPart", "mass")])
    assert plan_of([other], channels=[channel]).corrected == {"GenPart"}


def source(**more: Any) -> dict[str, Any]:
    return {"name": "s", **more}


def event(*sources: Any, **more: Any) -> dict[str, Any]:
    return correction(
        "event", "w", toy.of_muons, [toy.MUON["pt"], SYS], *sources, **{"nominal_idx": "n", **more}
    )


WRONG = {
    "a leader that is not there": (
        [jec(delta("jes", toy.relative)), event(keyed("b", "u", "d", varies_with="jess"))],
        r"source 'b' of correction 'w' has varies_with='jess', which is the name of no source\. Did you mean 'jes'",
    ),
    "a leader that comes later": (
        [FAT_JETS, jec(delta("jes", toy.relative))],
        r"source 'fj' of correction 'fat' has varies_with='jes', a source of 'jec', which comes later",
    ),
    "two that vary with one source in one correction": (
        [jec(delta("jes", toy.relative)), event(*(keyed(name, "u", "d", varies_with="jes") for name in "ab"))],
        r"the sources 'a' and 'b' of correction 'w' both have varies_with='jes', but .*one value in a variation",
    ),
    "members in one year and a factor in another": (
        {"2017": [event(source(members=[0, 1]))], "2018": [event(keyed("s", "u", "d"))]},
        r"source 's' is one nuisance in 2017 and 2018, but has 2 members \(envelope\) in the one and up and down in",
    ),
    "members in one year and a yield in another": (
        {"2017": [correction("normalisation", "n", None, [], keyed("s", 1.1, 0.9))], "2018": [event(source(members=[0]))]},
        r"has up and down in the one and 1 members \(envelope\) in the other\. Make them alike, or .*s_2018",
    ),
    "a yield and a weight of one name": (
        [correction("normalisation", "n", None, [], keyed("s", 1.1, 0.9)), event(keyed("s", "u", "d"))],
        r"source 's' stands in the corrections 'n' and 'w'\. Give one of them another name: a normalisation varies with",
    ),
    "a leader of weights for objects": (
        [event(keyed("jes", "u", "d")), FAT_JETS],
        r"varies_with='jes', a source of 'w', which varies no objects",
    ),
    "a leader in the same correction": (
        [event(keyed("a", "u", "d"), keyed("b", "u", "d", varies_with="a"))],
        r"varies_with='a', a source of the same correction",
    ),
    "a leader of members": (
        [
            correction("event", "m", None, [ObjVar("LHEPdfWeight"), SYS], source(members=[0], up_function=toy.of_member)),
            event(keyed("b", "u", "d", varies_with="s")),
        ],
        r"varies_with='s', a set of members, which has no up and down",
    ),
    "a source twice in a correction": (
        [event(keyed("a", "u", "d"), keyed("a", "d", "u"))],
        r"the sources \['a'\] stand twice in correction 'w'",
    ),
    "a source in two corrections": (
        [event(keyed("a", "u", "d")), muon_factor(keyed("a", "u", "d"))],
        r"source 'a' stands in the corrections 'w' and 'muon'. If they are one nuisance, give one of them varies_with='a'",
    ),
    "a correction twice": ([event(), event()], r"the names \['w'\] stand twice"),
    "a file without key": (
        [event(file="sf.json") | {"nominal_function": None}],
        r"'file' is given without 'key': name the correction in sf.json with 'key' \(after one that it does not hold",
    ),
    "a key without file": (
        [event(nominal_function=None, key="sf")],
        r"\[w\]: 'key' is given without 'file': give the payload that holds 'sf' with 'file', or remove 'key'",
    ),
    "a key without file that is to be used": (
        [event(nominal_function=None, key="sf", use_correctionlib=True)], r"'key' is given without 'file'"
    ),
    "a file and key that are switched off": (
        [event(nominal_function=None, file="sf.json", key="sf", use_correctionlib=False)],
        r"'file' and 'key' would not be read with use_correctionlib=False: remove these two, or use_correctionlib",
    ),
    "a file beside a function": (
        [event(file="sf.json")], r"'file' is read by nothing, for functions take its place \(sf.json\): remove 'file'$"
    ),
    "a file beside sources with functions": (
        [jec(delta("jes", toy.relative), nominal_function=None, file="jec.json")],
        r"'file' is read by nothing.*: remove 'file', or name the correction of the nominal value in it with 'key'",
    ),
    "a key of a source without file": (
        [event(keyed("a", "u", "d", key="sf"), nominal_function=None)],
        r"source 'a' of correction 'w': 'key' is given without 'file': give the payload that holds 'sf'",
    ),
    "a file of a source without key": (
        [event(keyed("a", "u", "d", file="a.json"), nominal_function=None)],
        r"source 'a' of correction 'w': 'file' is given without 'key': name the correction in a.json",
    ),
    "up and down of one key": (
        [event(keyed("a", "u", "u"))],
        r"source 'a' of correction 'w': up and down are the same, \['u', 'u'\], so that it would vary nothing",
    ),
    "up and down of one factor": (
        [correction("normalisation", "x", None, [], keyed("s", 1.1, 1.1))], r"up and down are the same factor, 1.1; give two"
    ),
    "sources of data": (
        [event(keyed("a", "u", "d"), applies_to=["data"])],
        r"correction 'w': applies_to names data only \(data\), which have nominal values only: the sources 'a' would have no",
    ),
    "a source that varies with itself": (
        [event(keyed("a", "u", "d", varies_with="a"))], r"has varies_with='a', its own name\. Name the source of another"
    ),
    "a source that varies with a correction": (
        [jec(delta("jes", toy.relative)), event(keyed("a", "u", "d", varies_with="jec"))],
        r"varies_with='jec', which is a correction; name one of its sources: jes\.",
    ),
    "a source that varies with one that follows": (
        [jec(delta("jes", toy.relative)), FAT_JETS, event(keyed("a", "u", "d", varies_with="fj"))],
        r"varies_with='fj', a source of 'fat' that itself varies with another one",
    ),
    "SYS as a text": (
        [event() | {"args": ["SYS"]}], r"'SYS' is a text here: write SYS without quotes, and import it: from intccms import SYS"
    ),
    "a target as a text": (
        [jec(target="Jet_pt")], r"'Jet_pt' is a text; a target is a column, such as ObjVar\('Jet', 'pt'\)"
    ),
    "a target as a text in a list": ([jec(target=["Jet_pt"])], r"'Jet_pt' is a text; a target is a column"),
    "a year that is missing": (
        {"2018": []},
        r"none for year '2017' of dataset 'old_2017'; there are those of 2018\. Add them.*corrections\['2017'\] = \[\]",
    ),
    "an unknown process": (
        [event(applies_to=["ttt"])], r"applies_to names 'ttt', which is neither a process nor a dataset\. Did you mean 'tt'"
    ),
    "members that are relative": (
        [event(source(members=[0], is_delta=True))], r"'members' stand alone: without 'up_and_down_idx', 'is_delta'"
    ),
    "members of objects": ([jec(source(members=[0]))], "'members' are for weights"),
    "no target": ([correction("object", "x", toy.same, [FAT["pt"]])], "an object correction needs a 'target'"),
    "a whole collection": (
        [correction("object", "x", toy.same, [FAT["pt"]], target=[ObjVar("FatJet")])],
        r"a 'target' is a field, such as ObjVar\('Jet', 'pt'\), not a whole collection",
    ),
    "fields of two collections": (
        [correction("object", "x", toy.same, [FAT["pt"]], target=[FAT["pt"], toy.JET["pt"]])],
        r"must be fields of one collection",
    ),
    "a function of other arguments": (
        [correction("event", "x", toy.of_muons, [FAT["pt"]])],
        r"nominal_function of x: .*of_muons\(pt.*key.* cannot be called with 'args' \(FatJet_pt\): missing a required",
    ),
    "keys and no place for them": (
        [correction("event", "x", toy.same, [FAT["pt"]], keyed("s", 1, 2))], r"its arguments hold no SYS"
    ),
    "a place and no keys": ([event(source())], r"its arguments hold SYS, so it needs 'up_and_down_idx'"),
    "no difference between up and down": (
        [correction("event", "x", toy.same, [FAT["pt"]], source())], r"says nowhere how up differs from down"
    ),
    "a yield without factors": (
        [correction("normalisation", "x", None, [], keyed("s", 1.1, -0.9))], r"two factors, such as \[1.025, 0.975\]"
    ),
    "a weight that replaces": ([event(op="replace")], r"'replace' is for object corrections"),
    "a weight of what was read": (
        [correction("event", "x", toy.same, [ObjVar("Jet", "pt_as_read")])],
        r"Jet_pt_as_read is offered to object corrections only: .*use Jet_pt$",
    ),
    "a source of another year": (
        {"2017": [event(keyed("w_2018", "u", "d"))], "2018": []},
        r"corrections of 2017: source 'w_2018' of correction 'w' is named after 2018\. Name it after 2017",
    ),
    "one correction instead of a list": (
        event(), r"should be a list of corrections, or one list per year, not the correction 'w' itself"
    ),
    "one set with more members in a year": (
        {
            year: [correction("event", "m", None, [ObjVar("LHEPdfWeight"), SYS], source(members=members, up_function=toy.of_member))]
            for year, members in (("2017", [0]), ("2018", [0, 1]))
        },
        r"source 's' is one nuisance in 2017 and 2018, but has 1 members \(envelope\).* and 2 members \(envelope\) .* such as s_2018",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_corrections_are_told_before_a_run(case):
    corrections, words = WRONG[case]
    with pytest.raises(ConfigError, match=words):
        config_of(corrections)


def test_one_key_serves_up_and_down_of_a_relative_shift_or_of_two_functions():
    relative = keyed("a", "u", "u", is_delta=True)
    two = keyed("b", "u", "u", up_function=toy.of_muons, down_function=toy.of_muons)
    assert config_of([event(relative, two)]).all_corrections()


def test_a_source_of_a_weight_leads_those_of_other_weights():
    leader, follower = event(keyed("a", "u", "d")), muon_factor(keyed("b", "u", "d", varies_with="a"))
    assert list(plan_of([leader, follower]).weight_variations) == ["a_up", "a_down"]
