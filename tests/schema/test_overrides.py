"""``key=value`` texts: every field at any depth, read as the type of the field, and errors that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intccms.errors import ConfigError
from intccms.schema import Config, ObjVar, load_config_with_restricted_cli
from intccms.schema.overrides import value_at
from tests.configurations import above, minimal, same


def override(*args: str, base: Any = None) -> Config:
    return load_config_with_restricted_cli(minimal() if base is None else base, args)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("general.lumi=16400", 16400.0),
        ("general.lumi=1.64e4", 16400.0),
        ("general.lumi= 16400 ", 16400.0),
        ("general.lumi=None", None),
        ("general.workers=4", 4),
        ("general.workers=null", None),
        ("general.executor=futures", "futures"),
        ("general.output_dir=/tmp/x y", Path("/tmp/x y")),
        ("general.output_dir=2017", Path("2017")),
        ("general.metadata_dir=none", None),
        ("general.weight_branch=LHEWeight", "LHEWeight"),
        ("general.processes=ttbar", ["ttbar"]),
        ("general.processes=ttbar,data", ["ttbar", "data"]),
        ("general.processes=[ttbar,data]", ["ttbar", "data"]),
        ("general.processes=[ttbar, data]", ["ttbar", "data"]),
        ('general.processes=["ttbar","data"]', ["ttbar", "data"]),
        ("general.processes=('ttbar','data')", ["ttbar", "data"]),
        ("general.processes=None", None),
        ("general.channels=SR", ["SR"]),
        ("datasets.base_dir=2017", "2017"),
        ("datasets.base_dir=root://host//store", "root://host//store"),
        ("datasets.max_files=3", 3),
        ("datasets.datasets.tt.cross_sections=3", [3.0]),
        ("datasets.datasets.tt.cross_sections.0=4.5", [4.5]),
        ("datasets.datasets.0.years=2017", ["2017"]),
        ("datasets.datasets.tt.years=2016preVFP", ["2016preVFP"]),
        ("datasets.datasets.tt.files=a.root,b.root", ["a.root", "b.root"]),
        ("datasets.datasets.tt.files=a.root", ["a.root"]),
        ("datasets.datasets.tt.redirector=root://a/,root://b/", ["root://a/", "root://b/"]),
        ("preprocess.branches.Muon=pt,eta", ["pt", "eta"]),
        ("preprocess.skimming.chunk_size=1e4", 10_000),
        ("preprocess.skimming.function=None", None),
        ("preprocess.skimming.function=tests.configurations:same", same),
        ("channels.SR.selection=None", None),
        ("channels.SR.selection.static_kwargs.cut=30", 30),
        ("channels.SR.selection.static_kwargs.cut=abc", "abc"),
        ("channels.SR.observables.met.binning.bins=25", 25),
        ("channels.0.observables.0.binning.bins=25", 25),
        ("channels.-2.observables.met.binning.bins=25", 25),
        ("channels.SR.observables.met.binning=0,1,2", [0.0, 1.0, 2.0]),
        ("channels.SR.observables.met.binning=[0, 1.5]", [0.0, 1.5]),
        ("channels.SR.observables.met.use.0=Muon,pt", ObjVar("Muon", "pt")),
        ("channels.SR.observables.met.use=[('Muon','pt')]", [ObjVar("Muon", "pt")]),
        ("channels.SR.observables.met_ht.axes.y.binning=[0, 2]", [0.0, 2.0]),
        ("channels.SR.observables.met_ht.axes.x.binning.1=1.5", 1.5),
        ("good_object_masks.Muon.static_kwargs.cut=10", 10),
        ("ghost_observables.ht.collection=Event", "Event"),
        ("plotting.labels.ttbar=x=y", "x=y"),
        ("plotting.labels.data=7", "7"),
        ("plotting.formats=png,pdf", ["png", "pdf"]),
        ("plotting.ratio_range=0.5,1.2", (0.5, 1.2)),
        ("plotting.rebin.met=2", 2),
        ("plotting.rebin.met=[0,50,100]", [0.0, 50.0, 100.0]),
        ("plotting.colors.ttbar=#ff0000", "#ff0000"),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)),
)  # fmt: skip
def test_a_text_is_read_as_the_type_of_the_field(text, value):
    path = text.partition("=")[0].replace("cross_sections.0", "cross_sections")
    found = value_at(override(text), path)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "value"), [
    *[(text, True) for text in ("true", "True", "TRUE", "yes", "on", "1", "t", "y")],
    *[(text, False) for text in ("false", "False", "FALSE", "no", "off", "0", "f", "n")],
])  # fmt: skip
def test_booleans_may_be_spelt_in_any_usual_way(text, value):
    assert override(f"general.run_systematics={text}").general.run_systematics is value


@pytest.mark.parametrize(
    "lumi",
    [{"2017": 1.0, "2018": 2.0}, {2017: 1.0, 2018: 2.0}, None],
    ids=["text keys", "number keys", "none"],
)
def test_an_entry_of_a_dict_is_changed_or_added_by_its_key(lumi):
    base = minimal()
    base["general"]["lumi"] = lumi
    base["datasets"]["datasets"][0]["years"] = [2017]
    config = override("general.lumi.2017=41480", base=base)
    assert config.general.lumi == {**({} if lumi is None else {"2018": 2.0}), "2017": 41480.0}


def test_a_dict_that_contradicts_itself_is_valid_with_the_changes(configuration):
    general = {**configuration["general"], "analysis": "skip"}
    with pytest.raises(ConfigError, match="nothing to do.*general.save_skimmed_output=True"):
        load_config_with_restricted_cli({**configuration, "general": general}, [])
    with pytest.raises(ConfigError, match="nothing to do"):
        load_config_with_restricted_cli({**configuration, "general": general}, ["general.lumi=2"])
    loaded = load_config_with_restricted_cli(
        {**configuration, "general": general}, ["general.save_skimmed_output=True"]
    )
    assert loaded.general.analysis == "skip"


def test_a_whole_dict_can_be_given_and_then_changed():
    config = override("general.lumi={2017: 1}", "general.lumi.2018=2", "datasets.datasets.tt.years=2017")
    assert config.general.lumi == {"2017": 1.0, "2018": 2.0}


def test_changes_that_are_valid_only_together_may_come_in_any_order():
    met = "channels.SR.observables.met.binning"
    for args in ([f"{met}.start=200", f"{met}.stop=400"], [f"{met}.stop=400", f"{met}.start=200"]):
        binning = override(*args).channels[0].observables[0].binning
        assert (binning.start, binning.stop) == (200.0, 400.0)
    tt = "datasets.datasets.tt"
    config = override(f"{tt}.is_data=True", f"{tt}.cross_sections=None")
    assert config.selected_datasets()[0].is_data


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("general.lumy=3", ["unknown key 'general.lumy'", "Did you mean 'general.lumi'?", "Known keys of general: "]),
        ("lumi=3", ["unknown key 'lumi'", "Did you mean 'general.lumi'?"]),
        ("generl.lumi=3", ["unknown key 'generl'", "Did you mean 'general'?"]),
        ("zzz=3", ["unknown key 'zzz'", "Known keys: general, datasets"]),
        ("channels.SR.observables.mt.label=x", ["channels.SR.observables has no item 'mt'", "Did you mean 'met'?"]),
        ("channels.SR.observables.7.label=x", ["no item '7'", "Items: met, met_ht; indices 0 to 1"]),
        ("channels.sr.selection=None", ["channels has no item 'sr'", "Did you mean 'SR'?"]),
        ("datasets.datasets.t.years=1", ["datasets.datasets has no item 't'", "Items: tt, data"]),
        ("datasets.datasets.tt.cross_sections.1=3", ["cross_sections has no item '1'", "indices 0 to 0"]),
        ("plotting.labels.tbar.x=3", ["unknown key 'tbar' in plotting.labels", "Did you mean 'ttbar'?"]),
        ("general.lumi.2017=1", ["general.lumi is 1000.0 and has no parts", "Set general.lumi as a whole"]),
        ("general.processes.0=x", ["general.processes is None and has no parts"]),
        ("general.=3", ["unknown key 'general.'"]),
        ("general", ["override 'general': expected key=value, such as general.executor=futures"]),
        ("=3", ["override '=3': expected key=value"]),
        ("general.lumi=-5", ["with the override general.lumi=-5: ", "general.lumi: should be greater than 0, not -5"]),
        ("general.lumi=abc", ["general.lumi: should be a number or a dictionary, not 'abc'"]),
        ("general.run_analysis=maybe", ["general.run_analysis: should be a boolean, not 'maybe'"]),
        ("general.workers=2.5", ["general.workers: should be an integer, not 2.5"]),
        ("general.executor=daks", ["general.executor: ", "not 'daks'", "Did you mean 'dask'?"]),
        ("general.analysis=diff", ["general.analysis: should be 'nondiff' or 'skip', not 'diff'"]),
        ("general.processes=ttbr", ["general.processes: 'ttbr'", "Did you mean 'ttbar'?"]),
        ("general.processes=2017", ["general.processes: '2017' is not configured"]),
        ("general.run_skimming=True", ["general.run_skimming=True", "use_skimmed_input=True as well"]),
        ("datasets=3", ["datasets: should be a dictionary with the keys", "not 3"]),
        ("general=None", ["general: should be a dictionary with the keys", "not None"]),
        ("channels=[]", ["channels: should be a list of at least 1 item"]),
        ("channels.SR.observables.met.binning=3,2,1", ["channels[SR].observables[met].binning: ", "2 follows 3"]),
        ("channels.SR.observables.met.binning.start=500", ["channels[SR].observables[met].binning: ", "start=500"]),
        ("channels.SR.selection.static_kwargs.ct=3", ["channels[SR].selection: ", "unexpected keyword argument 'ct'"]),
        ("preprocess.branches=3", ["preprocess.branches: should be a dictionary, not 3"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_key_or_value_is_named_with_what_would_be_right(text, words):
    with pytest.raises(ConfigError) as caught:
        override(text)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_the_base_is_not_changed_be_it_a_dict_or_a_config():
    given = minimal()
    dumped = Config(**minimal()).to_json()
    texts = ["general.lumi=7", "plotting.labels.ttbar=x", "channels.SR.observables.met.binning.bins=3"]
    config = Config(**given)
    changed = [override(*texts, base=given), override(*texts, base=config)]
    assert [one.general.lumi for one in changed] == [7.0, 7.0]
    assert config.to_json() == dumped
    assert Config(**given).to_json() == dumped


def test_the_overrides_are_remembered_beside_those_before_them():
    config = override("general.lumi=7", base=override("general.workers=2"))
    assert config.overrides == ("general.workers=2", "general.lumi=7")
    assert (config.general.lumi, config.general.workers) == (7.0, 2)


def test_functions_stay_the_objects_that_they_are():
    class Executor:
        def __call__(self):
            raise NotImplementedError

        def __deepcopy__(self, memo):
            raise TypeError

    base = minimal()
    base["general"]["executor"] = executor = Executor()
    base["channels"][0]["selection"] = {"function": lambda met: met > 3, "use": [("MET", "pt")]}
    config = override("general.lumi=7", base=base)
    assert config.general.executor is executor
    assert config.channels[0].selection.function is base["channels"][0]["selection"]["function"]
    assert config.preprocess.skimming.function is above


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


@given(value=st.floats(min_value=1e-300, max_value=1e300))
def test_every_number_survives_the_way_through_text(value):
    assert override(f"general.lumi={value!r}").general.lumi == value


@given(names=st.lists(NAMES, min_size=1, max_size=4))
def test_every_list_of_names_survives_the_way_through_text(names):
    for text in (repr(names), f"[{','.join(names)}]"):
        assert override(f"datasets.datasets.tt.redirector={text}").datasets.datasets[0].redirector == names


@given(text=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12))
def test_every_text_survives_as_a_text_or_as_its_literal(text):
    found = override(f"plotting.labels.ttbar={text}").plotting.labels["ttbar"]
    quoted = {quote + found + quote for quote in "'\""}
    assert found == text or text in quoted or "\\" in text or text[0] in "rRuUbBfF'\"("


@given(edges=st.lists(st.integers(-1000, 1000), min_size=2, max_size=6, unique=True).map(sorted))
def test_every_list_of_edges_survives_the_way_through_text(edges):
    for text in (str(edges), ",".join(map(str, edges))):
        config = override(f"channels.CR.observables.met.binning={text}")
        assert config.channels[1].observables[0].binning == [float(edge) for edge in edges]
