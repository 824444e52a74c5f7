"""Writers of skim parts: the contract that each format keeps, and what is special to one."""

from __future__ import annotations

import os
import resource
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import awkward as ak
import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from intccms.datasets.nanoevents import quiet_schema
from intccms.errors import ConfigError, InputFileError, OutputError
from intccms.schema import WorkerEval
from intccms.skimming.flat import flat_columns
from intccms.skimming.formats import format_named
from intccms.skimming.part_files import PartFile, check_options, fetch_part, open_part, write_part
from intccms.utils.storage import Storage
from tests.reference import reference_data
from tests.skimming.linked import Linked, selecting, write_linked


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    return write_linked(tmp_path_factory.mktemp("linked") / "linked.root")


@pytest.fixture
def remote():
    yield Storage("memory://skims")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "skims"))


@pytest.fixture
def unwritable(tmp_path):
    """Return a folder in which nobody can make files; permissions do not stop root."""
    if os.getuid() == 0:
        return Path("/proc/self/skims")
    (tmp_path / "locked").mkdir(mode=0o500)
    return tmp_path / "locked"


@contextmanager
def files_of_at_most(size: int):
    """Let the operating system refuse to write more bytes than that into a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def kept(linked: Linked, mask) -> dict:
    source = linked.open()
    events = source.events(source.branches, 0, source.entries, {})[mask]
    return flat_columns(events, source.branches, selecting(source, mask))


class WriterContract:
    """What every format does; a subclass names it."""

    form: str

    @property
    def name(self):
        return f"tt/file_0/part_0.{format_named(self.form).extension}"

    def write(self, columns, storage, name, options=None, runs=None):
        return write_part(format_named(self.form), [columns], storage, name, options or {}, runs)

    def read(self, storage, name, size, checksum, changed=0, **more):
        written = PartFile(size, checksum, changed)
        target = fetch_part(storage, name, written, more.pop("cache", None))
        return open_part(format_named(self.form), target, storage.url(name), written, **more)

    def round_trip(self, columns, storage):
        size, checksum, _ = self.write(columns, storage, self.name)
        return self.read(storage, self.name, size, checksum)

    def test_round_trip(self, linked, storage):
        mask = linked.columns["MET_pt"] > 30
        columns = kept(linked, mask)
        source = self.round_trip(columns, storage)
        assert source.entries == int(mask.sum())
        assert source.branches == set(linked.columns)
        read = source.arrays(sorted(columns), 0, source.entries)
        for name, values in linked.columns.items():
            drawn = ak.Array(values)[mask]
            assert str(read[name].type) == str(drawn.type), name
            assert read[name].to_list() == drawn.to_list(), name

    def test_objects_behave_as_those_of_the_source(self, linked, storage):
        # independent: indices followed in plain Python
        mask = linked.columns["MET_pt"] > 30
        source = self.round_trip(kept(linked, mask), storage)
        events = source.events(source.branches, 0, source.entries, {"dataset": "tt"})
        drawn = {name: ak.Array(values)[mask].to_list() for name, values in linked.columns.items()}
        assert events.metadata["dataset"] == "tt"
        matched = [
            [None if index < 0 else jets[index] for index in indices]
            for indices, jets in zip(drawn["Muon_jetIdx"], drawn["Jet_pt"], strict=True)
        ]
        assert events.Muon.matched_jet.pt.to_list() == matched
        subjets = [
            [[subs[index] for index in pair if index >= 0] for pair in zip(first, second, strict=True)]
            for first, second, subs in zip(
                drawn["FatJet_subJetIdx1"], drawn["FatJet_subJetIdx2"], drawn["SubJet_pt"], strict=True
            )
        ]
        assert [
            [[pt for pt in one if pt is not None] for one in event]
            for event in events.FatJet.subjets.pt.to_list()
        ] == subjets
        assert ak.all(events.Muon.px == events.Muon.pt * np.cos(events.Muon.phi))
        assert events.HLT.IsoMu24.to_list() == drawn["HLT_IsoMu24"]
        assert events.LHEScaleWeight.to_list() == drawn["LHEScaleWeight"]

    def test_an_entry_range_is_that_of_the_part(self, linked, storage):
        source = self.round_trip(kept(linked, slice(None)), storage)
        events = source.events(source.branches, 10, 25, {})
        assert events.event.to_list() == linked.columns["event"][10:25].tolist()
        assert events.Muon.pt.to_list() == linked.columns["Muon_pt"][10:25].to_list()
        assert (
            source.arrays(["Muon_pt"], 10, 25)["Muon_pt"].to_list()
            == linked.columns["Muon_pt"][10:25].to_list()
        )

    def test_empty_chunk(self, linked, storage):
        source = self.round_trip(kept(linked, np.zeros(60, dtype=bool)), storage)
        assert source.entries == 0
        events = source.events(source.branches, 0, 0, {})
        assert len(events) == len(events.Muon.pt) == len(events.Muon.matched_jet) == 0
        read = source.arrays(sorted(linked.columns), 0, 0)
        assert {name: str(read[name].type) for name in read} == {
            name: str(ak.Array(values)[:0].type) for name, values in linked.columns.items()
        }

    def test_events_without_objects_and_one_event(self, linked, storage):
        none = ak.num(linked.columns["Muon_pt"]).to_numpy() == 0
        source = self.round_trip(kept(linked, none), storage)
        assert source.events(source.branches, 0, source.entries, {}).Muon.pt.to_list() == [[]] * int(
            none.sum()
        )
        one = np.arange(60) == 17
        source = self.round_trip(kept(linked, one), storage)
        assert source.events(source.branches, 0, 1, {}).Jet.pt.to_list() == [
            linked.columns["Jet_pt"][17].to_list()
        ]

    def test_equal_columns_give_equal_bytes(self, linked, storage):
        mask = linked.columns["MET_pt"] > 30
        first = self.write(kept(linked, mask), storage, f"a/{self.name}")
        second = self.write(kept(linked, mask), storage, f"b/{self.name}")
        assert first[:2] == second[:2]
        assert storage.get(f"a/{self.name}") == storage.get(f"b/{self.name}")
        assert first[0] == len(storage.get(f"a/{self.name}"))

    def test_whole_or_absent(self, linked, storage):
        columns = kept(linked, slice(None))
        with (
            files_of_at_most(2_000),
            pytest.raises(OutputError, match=r"cannot write .*part_0.*File too large"),
        ):
            self.write(columns, storage, self.name)
        assert storage.sizes() == {}
        size, checksum, _ = self.write(columns, storage, self.name)
        with files_of_at_most(2_000), pytest.raises(OutputError, match=r"File too large"):
            self.write(columns, storage, self.name)
        assert storage.sizes() == {self.name: size}
        assert storage.stale_temporaries(-60) == []
        assert self.read(storage, self.name, size, checksum).entries == 60

    def test_read_only_folder_is_an_output_error(self, linked, unwritable):
        with pytest.raises(OutputError, match=r"cannot write .*part_0.*Check permissions"):
            self.write(kept(linked, slice(None)), Storage(str(unwritable)), self.name)

    def test_remote_path(self, linked, remote, tmp_path):
        columns = kept(linked, slice(None))
        size, checksum, _ = self.write(columns, remote, self.name)
        assert remote.sizes() == {self.name: size}
        for cache in (None, tmp_path / "cache"):
            source = self.read(remote, self.name, size, checksum, cache=cache)
            events = source.events(source.branches, 0, source.entries, {})
            assert events.Muon.pt.to_list() == linked.columns["Muon_pt"].to_list()
            assert source.arrays(["event"], 0, 2)["event"].to_list() == linked.columns["event"][:2].tolist()
        assert [path.is_file() for path in (tmp_path / "cache").glob(f"*/{checksum[7:]}*")] == [True]

    def test_a_part_that_is_gone_says_how_to_write_it_again(self, storage, remote):
        for place in (storage, remote):
            with pytest.raises(
                InputFileError, match=r"part_0\.\w+ is gone; expected 12 bytes.*run_skimming=True"
            ):
                self.read(place, self.name, 12, "sha256:00")

    def test_a_local_part_that_nobody_touched_since_is_not_read_for_its_checksum(
        self, linked, storage, monkeypatch
    ):
        import hashlib

        size, checksum, changed = self.write(kept(linked, slice(None)), storage, self.name)
        assert changed == storage.local_path(self.name).stat().st_mtime_ns
        counted = []
        plain = hashlib.file_digest
        monkeypatch.setattr(hashlib, "file_digest", lambda *args: counted.append(1) or plain(*args))
        self.read(storage, self.name, size, checksum, changed)
        assert counted == []
        os.utime(storage.local_path(self.name))
        self.read(storage, self.name, size, checksum, changed)
        assert counted == [1]
        storage.local_path(self.name).write_bytes(bytes(size))
        with pytest.raises(InputFileError, match="is not the one that was recorded"):
            self.read(storage, self.name, size, checksum, changed)

    def test_a_part_that_was_changed_is_refused_everywhere(self, linked, storage, remote, tmp_path):
        columns = kept(linked, slice(None))
        for place, cache in ((storage, None), (remote, None), (remote, tmp_path / "cache")):
            size, checksum, _ = self.write(columns, place, self.name)
            if place is storage:
                self.read(place, self.name, size, checksum)
            content = bytearray(place.get(self.name))
            content[size // 2] ^= 1
            place.put(self.name, bytes(content))
            with pytest.raises(
                InputFileError, match=rf"is not the one .* expected {checksum}.*run_skimming=True"
            ):
                self.read(place, self.name, size, checksum, cache=cache)
        with pytest.raises(
            InputFileError, match=rf"has {size} bytes, expected {size + 1}.*run_skimming=True"
        ):
            self.read(storage, self.name, size + 1, checksum)

    def test_something_else_with_the_right_checksum_is_said_to_be_unreadable(self, storage):
        storage.put(self.name, b"not a skim")
        with pytest.raises(InputFileError, match=r"cannot read skim part .*part_0.*run_skimming=True"):
            self.read(storage, self.name, 10, f"sha256:{sha256(b'not a skim').hexdigest()}")

    def test_the_checksum_is_that_of_the_bytes(self, linked, storage):
        _, checksum, _ = self.write(kept(linked, slice(None)), storage, self.name)
        assert checksum == f"sha256:{sha256(storage.get(self.name)).hexdigest()}"

    def test_a_checksum_is_computed_once_while_the_file_stays(self, linked, storage, monkeypatch):
        import hashlib

        size, checksum, _ = self.write(kept(linked, slice(None)), storage, self.name)
        counted = []
        plain = hashlib.file_digest
        monkeypatch.setattr(hashlib, "file_digest", lambda *args: counted.append(1) or plain(*args))
        for _ in range(3):
            self.read(storage, self.name, size, checksum)
        assert len(counted) == 1

    def test_real_files_come_back_bit_by_bit_with_their_cross_references(self, storage):
        # independent: NanoEvents that coffea makes of the source itself
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

        class Quiet(NanoAODSchema):
            warn_missing_crossrefs = False

        for name in (
            "nano_dy.root",
            "DarkBottomLine_ggH_M125_amcatnlo_v13.root",
            "DarkBottomLine_EGamma_2022E_v13.root",
        ):
            path = reference_data() / "nanoaod" / name
            linked = Linked(path, {})
            mask = np.arange(linked.open().entries) % 2 == 0
            source = self.round_trip(kept(linked, mask), storage)
            events = source.events(source.branches, 0, source.entries, {})
            with quiet_schema():
                reference = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=Quiet).events()[
                    mask
                ]
            for follow in (
                lambda one: one.Muon.matched_jet.pt,
                lambda one: one.Jet.matched_electrons.pt,
                lambda one: one.FatJet.subjets.pt,
                lambda one: one.Tau.p4.energy if hasattr(one.Tau, "p4") else one.Tau.energy,
                *(
                    []
                    if "EGamma" in name
                    else [
                        lambda one: one.Jet.matched_gen.pt,
                        lambda one: one.GenPart.distinctParent.pdgId,
                        lambda one: one.GenPart.children.pdgId,
                    ]
                ),
            ):
                assert ak.array_equal(
                    follow(events), follow(reference), equal_nan=True, check_parameters=False
                )


class TestParquet(WriterContract):
    form = "parquet"

    def test_columns_are_flat_and_never_nullable(self, linked, storage):
        self.write(kept(linked, slice(None)), storage, self.name)
        schema = pq.read_schema(storage.local_path(self.name))
        assert set(schema.names) == set(linked.columns)
        assert not [field.name for field in schema if field.nullable]
        # coffea hangs the whole description of the source on the events
        assert set(schema.metadata or {}) <= {b"ak:parameters"}

    def test_compression_is_that_of_the_options_over_the_defaults(self, linked, storage):
        columns = kept(linked, slice(None))
        for options, expected in (
            ({}, "ZSTD"),
            ({"compression": "lz4"}, "LZ4"),
            ({"compression": "gzip"}, "GZIP"),
        ):
            self.write(columns, storage, self.name, options)
            column = pq.read_metadata(storage.local_path(self.name)).row_group(0).column(0)
            assert column.compression == expected

    def test_options_of_reading_reach_the_library(self, linked, storage):
        class Marked(Exception):
            pass

        def schemaclass(form):
            raise Marked

        size, checksum, _ = self.write(kept(linked, slice(None)), storage, self.name)
        options = {
            "schemaclass": WorkerEval(lambda: schemaclass),
            "storage_options": {"key": "not for parquet"},
        }
        source = self.read(storage, self.name, size, checksum, from_kwargs=options)
        with pytest.raises(Marked):
            source.events(source.branches, 0, 1, {})

    @pytest.mark.parametrize(
        ("to_kwargs", "from_kwargs", "words"),
        [
            (
                {"compresion": "zstd"},
                {},
                r"to_kwargs: awkward.to_parquet has no option compresion; it has .*compression",
            ),
            ({"compression": "zsdt"}, {}, r"to_parquet refuses: .*zsdt\. Correct .*to_kwargs"),
            ({}, {"parquet": 1}, r"from_kwargs: TypeError: .*parquet"),
        ],
    )
    def test_wrong_options_are_found_before_a_run(self, to_kwargs, from_kwargs, words):
        with pytest.raises(ConfigError, match=words):
            check_options("parquet", to_kwargs, from_kwargs)

    def test_sound_options_pass(self):
        check_options(
            "parquet",
            {"compression": "lz4", "storage_options": {"key": "a"}},
            {"parquet_options": {"memory_map": True}},
        )


RUNS = {
    "run": ak.Array(np.array([1], dtype=np.uint32)),
    "genEventSumw": ak.Array(np.array([123.5])),
    "nPSSumw": ak.Array(np.array([2], dtype=np.int32)),
    "PSSumw": ak.Array([[1.0, 0.5]]),
}


class RootContract(WriterContract):
    """What ROOT files do besides."""

    def test_runs_are_kept(self, linked, storage):
        self.write(kept(linked, slice(None)), storage, self.name, runs=RUNS)
        with uproot.open(storage.local_path(self.name)) as file:
            read = file["Runs"].arrays(list(RUNS), how=dict)
        assert {name: values.to_list() for name, values in read.items()} == {
            name: values.to_list() for name, values in RUNS.items()
        }

    def test_trees_without_rows_have_their_columns_and_nothing_that_root_refuses(self, linked, storage):
        runs = {name: values[:0] for name, values in RUNS.items()}
        self.write(kept(linked, slice(0, 0)), storage, self.name, runs=runs)
        with uproot.open(storage.local_path(self.name)) as file:
            for tree in (file["Events"], file["Runs"]):
                assert tree.num_entries == 0
                # "empty cluster" is an error for ROOT 6.40, whose own RNTuple without entries has none
                assert not getattr(tree, "cluster_summaries", ())
            assert set(file["Runs"].keys()) == set(RUNS)

    def test_bytes_do_not_tell_the_time(self, linked, storage, monkeypatch):
        columns = kept(linked, slice(None))
        first = self.write(columns, storage, "a.root", runs=RUNS)
        time.sleep(1.1)  # ROOT files tell seconds
        assert self.write(columns, storage, "b.root", runs=RUNS)[:2] == first[:2]
        fewer = kept(linked, np.arange(60) < 59)
        self.write(fewer, storage, "c.root")
        uuids = {str(uproot.open(storage.local_path(name)).file.uuid) for name in ("a.root", "c.root")}
        assert len(uuids) == 2

    @pytest.mark.parametrize(
        ("options", "algorithm", "level"),
        [
            ({}, "ZSTD", 5),
            ({"compression": "lz4"}, "LZ4", 1),
            ({"compression": "ZLIB", "compression_level": 3}, "ZLIB", 3),
        ],
    )
    def test_compression_is_that_of_the_options_over_the_defaults(
        self, linked, storage, options, algorithm, level
    ):
        self.write(kept(linked, slice(None)), storage, self.name, options)
        compression = uproot.open(storage.local_path(self.name)).file.compression
        assert (type(compression).__name__, compression.level) == (algorithm, level)

    @pytest.mark.parametrize(
        ("to_kwargs", "from_kwargs", "words"),
        [
            (
                {"compresion": "zstd"},
                {},
                r"to_kwargs: ROOT files have no option compresion; they have .*compression",
            ),
            ({"compression": "zsdt"}, {}, r"to_kwargs: no compression 'zsdt'; expected 'zstd', 'lz4'"),
            ({"compression_level": 77}, {}, r"to_kwargs: compression_level=77 with compression 'zstd'"),
            ({}, {"number_workers": 3}, r"from_kwargs: TypeError: .*number_workers"),
        ],
    )
    def test_wrong_options_are_found_before_a_run(self, to_kwargs, from_kwargs, words):
        with pytest.raises(ConfigError, match=words):
            check_options(self.form, to_kwargs, from_kwargs)

    def test_sound_options_pass(self):
        check_options(self.form, {"compression": None, "storage_options": {"key": "a"}}, {"num_workers": 1})


class TestTTree(RootContract):
    form = "ttree"

    def test_collections_share_their_counter_as_in_nanoaod(self, linked, storage):
        self.write(kept(linked, slice(None)), storage, self.name)
        tree = uproot.open(storage.local_path(self.name))["Events"]
        assert set(tree.keys()) == set(linked.columns)
        counts = {
            name: tree[name].member("fLeaves")[0].member("fLeafCount")
            for name in linked.columns
            if linked.columns[name].ndim > 1
        }
        assert {name: leaf.member("fName") for name, leaf in counts.items()} == {
            name: f"n{name.partition('_')[0]}" for name in counts
        }
        # what no other branch counts keeps its type
        assert tree["nMuon"].typename == "int32_t"

    def test_it_is_read_by_coffea_as_any_nanoaod(self, linked, storage):
        # independent: coffea's own factory on the written file
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

        self.write(kept(linked, slice(None)), storage, self.name)
        path = str(storage.local_path(self.name))
        with quiet_schema():
            events = NanoEventsFactory.from_root({path: "Events"}, schemaclass=NanoAODSchema).events()
            source = NanoEventsFactory.from_root(
                {str(linked.path): "Events"}, schemaclass=NanoAODSchema
            ).events()
            assert ak.array_equal(events.Muon.matched_jet.pt, source.Muon.matched_jet.pt)


class TestRNTuple(RootContract):
    form = "rntuple"

    def test_it_is_an_rntuple_of_flat_columns(self, linked, storage):
        self.write(kept(linked, slice(None)), storage, self.name)
        file = uproot.open(storage.local_path(self.name))
        assert file.classname_of("Events") == "ROOT::RNTuple"
        assert set(file["Events"].keys(recursive=False)) == set(linked.columns)
