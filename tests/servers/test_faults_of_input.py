"""Input that is broken, or breaks while it is read: the run ends in time, and accounts for every event.

Each run is started as a user does it. What it processed is compared, to the last bit, with a run over sound local
files in which the same chunks are left out.
"""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from tests.analysis.breaking import assert_same_bits, bits, report_of
from tests.analysis.toys import dataset, write_toy
from tests.nanofiles import corrupt_basket, html_named_root, truncated_copy, write_without_events
from tests.servers.runs import CHUNK_SIZE, truth
from tests.servers.xrootd import cluster, xrootd

EVENTS = 2 * CHUNK_SIZE
"""Of each file; it has two chunks, and a basket for each."""

LONGEST = 45
"""Seconds that a run may take after its servers were broken."""


@pytest.fixture(scope="module")
def other_module_server():
    with xrootd() as server:
        yield server


@pytest.fixture
def other_server(other_module_server):
    yield other_module_server
    other_module_server.mend()


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Dataset -> one sound file, and one for each way to break it."""
    folder = tmp_path_factory.mktemp("toys")
    return {
        kind: {
            name: write_toy(
                folder / f"{kind}_{index}.root", EVENTS, 20 * number + index, data=kind.startswith("data")
            )
            for index, name in enumerate(("sound", *BAD))
        }
        for number, kind in enumerate(("tt", "data", "tt_served", "data_served", "tt_twice", "data_twice"))
    }


def with_another_tree(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Evts", {"x": "f4"}).extend({"x": np.arange(3, dtype="f4")})


BAD = {
    "truncated": truncated_copy,
    "empty": lambda _, path: path.write_bytes(b""),
    "without events": lambda _, path: write_without_events(path),
    "with another tree": lambda _, path: with_another_tree(path),
    "a web page": lambda _, path: html_named_root(path),
    "corrupt": lambda sound, path: (
        path.write_bytes(sound.read_bytes()),
        corrupt_basket(path, "Jet_pt", 1),
    ),
}

REASONS = {
    "truncated": "truncated",
    "empty": "empty",
    "without events": "has no tree 'Events'. It holds: Runs",
    "with another tree": "has no tree 'Events'. Did you mean 'Evts'?",
    "a web page": "not a ROOT file",
    "corrupt": "cannot read Jet_pt, entries 90 to 180 of",
}


def break_files(toys, folder: Path) -> None:
    """Write the sound file, and the others broken."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, toy in toys.items():
        target = folder / toy.path.name
        if name in BAD:
            BAD[name](toy.path, target)
        else:
            target.write_bytes(toy.path.read_bytes())


SILENT = "Operation expired|Socket|Connection|Stream|closed file"
"""What XRootD's client says of a server that is gone or says nothing."""


def break_server(server, how) -> None:
    server.kill() if how == "is killed" else server.hang()


def alone_url(server, toy) -> str:
    return f"{server.url}/{toy.path.name}"


def put(server, *toys) -> None:
    for toy in toys:
        (server.files / toy.path.name).write_bytes(toy.path.read_bytes())


def behind(name, toys, *redirectors, data=False, **more):
    """Return a dataset of files behind redirectors, best first."""
    hosts = [one if isinstance(one, str) else one.host for one in redirectors]
    files = [f"/store/{toy.path.name}" for toy in toys]
    return {
        **dataset(name, *toys, xsec=None if data else 10.0),
        "files": files,
        "redirector": hosts,
        **more,
    }


def failures(report, name):
    """Return the failures of a dataset: path of the file, first entry, reason."""
    return [
        (one["file"], one["start"], one.get("reason", group["reason"]))
        for group in report["failures"]
        for one in group["chunks"]
        if one["dataset"] == name
    ]


def assert_accounted_for(report, inputs, dead=()) -> None:
    """Check that each event of each dataset was processed or is in a failure, and so are its weights.

    Parameters
    ----------
    report
        Of the run.
    inputs
        Dataset -> its files, as they were drawn.
    dead
        Datasets of which the weights of lost chunks cannot be read: they count as their entries do.
    """
    assert [one["name"] for one in report["datasets"]] == list(inputs)
    for one in report["datasets"]:
        toys = {toy.path.name: toy for toy in inputs[one["name"]]}
        lost = {name: [] for name in toys}
        shares = dict.fromkeys(toys, 1.0)
        for file, start, _ in failures(report, one["name"]):
            toy, name = toys[Path(file).name], Path(file).name
            assert start not in lost[name]
            lost[name] += [0, CHUNK_SIZE] if start is None else [start]
            if start is None:  # not even its sum of weights is known
                shares[name] = 0.0
            elif one["name"] in dead:
                shares[name] -= CHUNK_SIZE / EVENTS
            else:
                shares[name] -= math.fsum(toy.weights[start : start + CHUNK_SIZE]) / math.fsum(toy.weights)
        missing = CHUNK_SIZE * sum(len(starts) for starts in lost.values())
        assert one["processed"] + missing == EVENTS * len(toys)
        if not one["is_data"]:
            expected = math.fsum(toy.generated_sumw * shares[name] for name, toy in toys.items())
            assert one["sumw"] == pytest.approx(expected, rel=1e-12)


def assert_same_sums(found, expected) -> None:
    """Compare the sums of what was processed: those of each dataset, before they are normalised."""
    names = [name for name in expected if name.startswith("by dataset/")]
    assert names
    assert [name for name in names if found[name] != expected[name]] == []


def first_event(toy, chunk=0):
    return int(toy.columns["event"][CHUNK_SIZE * chunk])


def test_bad_files_fail_with_their_reason_and_the_others_are_done(
    xrootd_server, other_server, toys, user_run, tmp_path
):
    for name, files in toys.items():
        break_files(files, xrootd_server.files if "_" in name else tmp_path / "files")
        put(other_server, *files.values())

    def configured(name, *redirectors, **more):
        data, files = name.startswith("data"), toys[name].values()
        if redirectors:
            return behind(name, files, *redirectors, data=data, **more)
        local = [str(tmp_path / "files" / toy.path.name) for toy in files]
        return {**dataset(name, *files, xsec=None if data else 10.0), "files": local}

    one, both = (xrootd_server,), (xrootd_server, other_server)
    datasets = [configured(name) for name in ("tt", "data")]
    datasets += [configured(name, *one) for name in ("tt_served", "data_served")]
    datasets += [configured(name, *both) for name in ("tt_twice", "data_twice")]
    datasets.append(behind("mistaken", [toys["tt_served"]["sound"]], *one, tree_name="Event"))
    status, text = user_run(datasets, executor="futures", workers=2).wait()
    assert status == 1, text
    report = report_of(tmp_path / "run/out")
    inputs = {name: list(files.values()) for name, files in toys.items()}
    assert_accounted_for(report, inputs | {"mistaken": [toys["tt_served"]["sound"]]})
    for name in ("tt", "data", "tt_served", "data_served"):
        found = {Path(file).name: (start, reason) for file, start, reason in failures(report, name)}
        assert set(found) == {toys[name][case].path.name for case in BAD}
        for case, words in REASONS.items():
            start, reason = found[toys[name][case].path.name]
            assert words in reason, (case, reason)
            assert start == (CHUNK_SIZE if case == "corrupt" else None)
    ((_, start, reason),) = failures(report, "mistaken")
    assert start is None
    assert "has no tree 'Event'. Did you mean 'Events'?" in reason
    for name in ("tt_twice", "data_twice"):
        assert failures(report, name) == []
        notes = [note for note in report["notes"] if note.startswith(f"{name}: ") and "replica" in note]
        assert any(f"5 files could not be read from {xrootd_server.host}" in note for note in notes)
        assert any("1 chunk could not be read from" in note and "Jet_pt" in note for note in notes)
    sound = [
        dataset(
            name,
            *(files.values() if "twice" in name else (files["sound"], files["corrupt"])),
            xsec=None if "data" in name else 10.0,
        )
        for name, files in toys.items()
    ]
    sound.append(dataset("mistaken", toys["tt_served"]["sound"], tree_name="Event"))
    lost = [first_event(files["corrupt"], 1) for name, files in toys.items() if "twice" not in name]
    expected = truth(tmp_path / "truth", sound, tuple(lost))
    assert_same_sums(bits(tmp_path / "run/out"), expected)


@pytest.mark.parametrize(
    ("how", "executor"),
    [("is killed", "iterative"), ("is killed", "dask"), ("hangs", "futures"), ("hangs", "dask")],
)
def test_a_server_that_fails_in_the_run_costs_what_no_other_server_has(
    xrootd_server, other_server, toys, user_run, tmp_path, how, executor
):
    alone, twice, here = (toys[name]["sound"] for name in ("tt_served", "tt_twice", "data"))
    put(xrootd_server, alone, twice)
    put(other_server, twice)
    datasets = [
        behind("alone", [alone], xrootd_server),
        behind("twice", [twice], xrootd_server, other_server),
        dataset("here", here, xsec=None),
    ]
    sound = [dataset("alone", alone), dataset("twice", twice), dataset("here", here, xsec=None)]
    inputs = {"alone": [alone], "twice": [twice], "here": [here]}
    run = user_run(datasets, at=first_event(alone, 1), executor=executor, workers=1)
    run.until_it_waits()
    break_server(xrootd_server, how)
    start = run.go_on()
    status, text = run.wait()
    assert time.monotonic() - start < LONGEST
    assert status == 1, text
    report = report_of(tmp_path / "run/out")
    assert_accounted_for(report, inputs, dead=["alone"])
    lost = {begin: reason for _, begin, reason in failures(report, "alone")}
    assert CHUNK_SIZE in lost
    if executor != "dask":  # there the first chunk may have run at the same time
        assert list(lost) == [CHUNK_SIZE]
    for reason in lost.values():
        assert re.search(rf"cannot read (.* of )?{alone_url(xrootd_server, alone)}: .*({SILENT})", reason)
    notes = [note for note in report["notes"] if note.startswith("twice: ") and "replica" in note]
    if notes:
        assert f"could not be read from {xrootd_server.host}" in notes[0]
    else:  # it was known to be down, and tried last
        assert f"{xrootd_server.host} does not answer" in " ".join(text.split())
    without = truth(
        tmp_path / "lost", sound, tuple(first_event(alone, begin // CHUNK_SIZE) for begin in lost)
    )
    assert_same_sums(bits(tmp_path / "run/out"), without)
    xrootd_server.mend()
    status, text = user_run(datasets).wait()
    assert status == 0, text
    assert_accounted_for(report_of(tmp_path / "run/out"), inputs)
    assert_same_bits(bits(tmp_path / "run/out"), truth(tmp_path / "truth", sound))


@pytest.mark.parametrize("how", ["is killed", "hangs", "falls silent"])
def test_a_server_that_fails_before_metadata_are_read_costs_what_no_other_server_has(
    xrootd_server, other_server, delay_proxy, toys, user_run, tmp_path, how
):
    alone, twice, here = (toys[name]["sound"] for name in ("tt_served", "tt_twice", "data"))
    put(xrootd_server, alone, twice)
    put(other_server, twice)
    first = xrootd_server
    if how == "falls silent":
        slow = delay_proxy(xrootd_server.port)
        slow.hang(after=300)  # 274 bytes open a file
        first = f"root://127.0.0.1:{slow.port}"
    else:
        break_server(xrootd_server, how)
    datasets = [
        behind("alone", [alone], first),
        behind("twice", [twice], first, other_server),
        dataset("here", here, xsec=None),
    ]
    inputs = {"alone": [alone], "twice": [twice], "here": [here]}
    run = user_run(datasets)
    status, text = run.wait()
    assert time.monotonic() - run.started < LONGEST
    assert status == 1, text
    report = report_of(tmp_path / "run/out")
    assert_accounted_for(report, inputs)
    ((_, begin, reason),) = failures(report, "alone")
    assert begin is None
    assert re.search(SILENT, reason)
    # what the file of the other dataset has told already is not waited for again
    assert f"{first if isinstance(first, str) else first.host} does not answer" in " ".join(text.split())
    sound = [dataset("alone", alone), dataset("twice", twice), dataset("here", here, xsec=None)]
    without = [{**sound[0], "files": [str(tmp_path / "nothing.root")]}, *sound[1:]]
    assert_same_sums(bits(tmp_path / "run/out"), truth(tmp_path / "lost", without))
    if how == "is killed":
        xrootd_server.mend()
        status, text = user_run(datasets).wait()
        assert status == 0, text
        assert_accounted_for(report_of(tmp_path / "run/out"), inputs)
        assert_same_bits(bits(tmp_path / "run/out"), truth(tmp_path / "truth", sound))


@pytest.mark.parametrize("executor", ["iterative", "futures"])
@pytest.mark.parametrize("how", ["is killed", "hangs"])
def test_files_in_parquet_come_from_the_next_server_when_one_fails_in_the_run(
    xrootd_server, other_server, toys, user_run, tmp_path, how, executor
):
    sound = [toys[name]["sound"] for name in ("tt", "tt_served")]
    for server in (xrootd_server, other_server):
        for toy in sound:
            columns = {name: ak.Array(values) for name, values in toy.columns.items()}
            path = server.files / f"{toy.path.stem}.parquet"
            ak.to_parquet(
                ak.zip(columns, depth_limit=1), str(path), row_group_size=EVENTS // 3, extensionarray=False
            )
    one = behind("tt", sound, xrootd_server, other_server)
    one["files"] = [name.replace(".root", ".parquet") for name in one["files"]]
    run = user_run([one], at=first_event(sound[0], 0), executor=executor, workers=1)
    run.until_it_waits()
    break_server(xrootd_server, how)
    start = run.go_on()
    status, text = run.wait()
    assert time.monotonic() - start < LONGEST
    assert status == 0, text
    report = report_of(tmp_path / "run/out")
    assert report["datasets"][0]["processed"] == 2 * EVENTS
    found = bits(tmp_path / "run/out")
    # without `Runs`, sums of weights are those of the events
    assert (
        found["histograms/all/ht"]
        == truth_of_parquet(tmp_path / "truth", one, other_server)["histograms/all/ht"]
    )


def truth_of_parquet(folder, one, server):
    """Return the numbers of a run over the files of a server as local ones."""
    local = {**one, "files": [str(server.files / Path(name).name) for name in one["files"]], "redirector": []}
    return truth(folder, [local])


def test_where_no_server_answers_the_run_stops_in_time_and_says_so(
    xrootd_server, other_server, toys, user_run
):
    files = [files["sound"] for files in toys.values() if not files["sound"].path.name.startswith("data")]
    xrootd_server.kill()
    other_server.hang()
    run = user_run([behind("tt", files, xrootd_server, other_server)], executor="futures", workers=2)
    status, text = run.wait()
    assert time.monotonic() - run.started < LONGEST
    assert status == 2, text
    said = " ".join(text.split())
    assert f"none of 3 input files can be read behind {xrootd_server.host}, {other_server.host}" in said
    assert re.search(SILENT, said)
    assert "Traceback" not in text


def holds_open(server, toy) -> bool:
    """Tell whether a server has a file open."""
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if link.readlink().name == toy.path.name:
                return True
    return False


def test_a_data_server_that_dies_behind_its_redirector_costs_what_only_it_has(toys, user_run, tmp_path):
    both, first, second = (toys[name]["sound"] for name in ("tt", "tt_served", "tt_twice"))
    with cluster() as site:
        put(site.servers[0], both, first)
        put(site.servers[1], both, second)
        named = {"both": both, "first": first, "second": second}
        datasets = [behind(name, [toy], site.redirector) for name, toy in named.items()]
        run = user_run(datasets, at=first_event(both, 1))
        run.until_it_waits()
        (index,) = [index for index, one in enumerate(site.servers) if holds_open(one, both)]
        site.kill_server(index)
        start = run.go_on()
        status, text = run.wait()
    assert time.monotonic() - start < LONGEST
    assert status == 1, text
    report = report_of(tmp_path / "run/out")
    dead = ("first", "second")[index]
    assert_accounted_for(report, {name: [toy] for name, toy in named.items()}, dead=[dead])
    assert [begin for _, begin, _ in failures(report, dead)] == [0, CHUNK_SIZE]
    assert all(re.search(SILENT, reason) for _, _, reason in failures(report, dead))
    lost = (first_event(named[dead]), first_event(named[dead], 1))
    sound = [dataset(name, toy) for name, toy in named.items()]
    assert_same_sums(bits(tmp_path / "run/out"), truth(tmp_path / "lost", sound, lost))


def test_a_redirector_that_dies_is_followed_by_the_next_one(toys, other_server, user_run, tmp_path):
    tt, data = toys["tt"]["sound"], toys["data"]["sound"]
    put(other_server, tt, data)
    with cluster() as site:
        put(site.servers[0], tt)
        put(site.servers[1], data)
        datasets = [
            behind("tt", [tt], site.redirector, other_server),
            behind("data", [data], site.redirector, other_server, data=True),
        ]
        run = user_run(datasets, at=first_event(tt, 1))
        run.until_it_waits()
        site.redirector.kill()
        start = run.go_on()
        status, text = run.wait()
    assert time.monotonic() - start < LONGEST
    assert status == 0, text
    assert_accounted_for(report_of(tmp_path / "run/out"), {"tt": [tt], "data": [data]})
    sound = [dataset("tt", tt), dataset("data", data, xsec=None)]
    assert_same_bits(bits(tmp_path / "run/out"), truth(tmp_path / "truth", sound))
