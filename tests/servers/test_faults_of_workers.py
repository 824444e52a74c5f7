"""Workers that vanish, workers whose clocks are wrong, results that come twice, and disks that are really full."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intccms.analysis import AnalysisRunner
from intccms.analysis.executors.processes import Futures
from intccms.schema import load_config
from tests.analysis.breaking import (
    assert_same_bits,
    assert_skims_are_whole,
    bits,
    calls_in,
    counted_skim,
    report_of,
    start,
    toy_events,
)
from tests.analysis.toys import dataset as dataset_of
from tests.analysis.toys import toy_config, write_toy
from tests.servers.dask_processes import dask_processes
from tests.servers.process import needs

CHUNK_SIZE = 40
GONE = 60.0 if os.environ.get("CI") else 5.0
"""How long there are no workers [s]."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    return {
        "tt": [write_toy(folder / f"tt_{n}.root", 230, n + 1) for n in range(2)],
        "data": [write_toy(folder / "data.root", 120, 9, data=True)],
    }


def config_of(toys, folder, **general):
    datasets = [
        dataset_of("tt", *toys["tt"]),
        dataset_of("data", *toys["data"], xsec=None),
    ]
    config = toy_config(datasets, folder / "out", chunk_size=CHUNK_SIZE, save_skimmed_output=True, **general)
    config["preprocess"]["skimming"] |= {
        "function": counted_skim,
        "use": [("MET", "pt"), ("event", "event")],
        "static_kwargs": {"calls": str(folder / "calls"), "seconds": 0.1},
    }
    return load_config(config)


@pytest.fixture(scope="module")
def undisturbed(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert AnalysisRunner(config_of(toys, folder), progress=False).histogram().succeeded
    return bits(folder / "out")


@pytest.fixture
def cluster():
    with dask_processes() as started:
        yield started


def assert_all_is_there(folder, toys, undisturbed):
    report = report_of(folder / "out")
    assert report["complete"]
    for one in report["datasets"]:
        assert one["processed"] == one["entries"] == sum(len(toy) for toy in toys[one["name"]])
    assert_same_bits(bits(folder / "out"), undisturbed)
    assert_skims_are_whole(folder / "out" / "skimmed", toys)


@pytest.mark.slow
def test_all_workers_may_be_gone_for_a_minute(cluster, toys, tmp_path, undisturbed):
    calls = tmp_path / "calls"
    for _ in range(2):
        cluster.start_worker()

    config = config_of(toys, tmp_path, executor="dask")
    # the workers die with the thread that has started them, which is this one
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(AnalysisRunner(config, cluster.client, progress=False).histogram)
        while len(calls_in(calls)) < 5 and not running.done():
            time.sleep(0.01)
        cluster.kill_workers()
        begun = calls_in(calls)
        time.sleep(GONE)
        for _ in range(2):
            cluster.start_worker()
        result = running.result()
    assert result.succeeded
    assert_all_is_there(tmp_path, toys, undisturbed)
    chunks = toy_events(toys, CHUNK_SIZE)
    assert 5 <= len(begun) < len(chunks)
    # only what the workers had in hand was done again
    assert set(calls_in(calls)) == set(chunks)
    assert len(calls_in(calls)) <= len(chunks) + 2


CLIENT = """
import pickle
from pathlib import Path

from distributed import Client
from intccms.analysis import AnalysisRunner
from tests.servers.test_faults_of_workers import config_of

folder = Path({folder!r})
config = config_of(pickle.loads((folder / "toys").read_bytes()), folder, executor="dask")
AnalysisRunner(config, Client({address!r}), progress=False).histogram()
"""


@pytest.mark.slow
def test_a_client_that_is_killed_leaves_its_cluster_to_the_next_one(cluster, toys, tmp_path, undisturbed):
    calls = tmp_path / "calls"
    for _ in range(2):
        cluster.start_worker()
    (tmp_path / "toys").write_bytes(pickle.dumps(toys))
    code = CLIENT.format(folder=str(tmp_path), address=cluster.address)
    first = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent.parent.parent)
    while len(calls_in(calls)) < 4:
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    config = config_of(toys, tmp_path, executor="dask")
    assert AnalysisRunner(config, cluster.client, progress=False).histogram().succeeded
    assert_all_is_there(tmp_path, toys, undisturbed)
    begun = Counter(calls_in(calls))
    assert set(begun) == set(toy_events(toys, CHUNK_SIZE))
    assert begun.total() <= len(begun) + 2, "what the workers had in hand when the client died"


def test_clocks_of_workers_may_be_hours_apart(cluster, toys, tmp_path, undisturbed):
    for hours in (-5, 7):
        cluster.start_worker(hours_ahead=hours)
    seen = cluster.client.run(time.time)
    assert max(seen.values()) - min(seen.values()) > 11 * 3600
    config = config_of(toys, tmp_path, executor="dask")
    assert AnalysisRunner(config, cluster.client, progress=False).histogram().succeeded
    assert_all_is_there(tmp_path, toys, undisturbed)
    before = calls_in(tmp_path / "calls")
    assert Counter(before) == Counter(toy_events(toys, CHUNK_SIZE))
    again = AnalysisRunner(config, cluster.client, progress=False).histogram()
    assert calls_in(tmp_path / "calls") == before
    assert sum(one.computed for one in again.report.datasets) == 0


def test_a_clock_that_is_ahead_takes_no_file_that_is_being_written_for_a_leftover(tmp_path):
    code = f"""
from intccms.utils.storage import Storage
storage = Storage({str(tmp_path)!r})
storage.put("tt/a", b"abc")
with storage.staged("tt/b") as temporary:
    temporary.write_bytes(b"half")
    import os, time
    os.utime(temporary, ({time.time()}, {time.time()}))  # as a writer whose clock is right
    print(len(storage.stale_temporaries(3600)), len(storage.stale_temporaries(-60)))
"""
    faketime = needs("faketime", "apt-get install faketime")
    printed = subprocess.run(
        # files get their times from the system, whose clock is right
        [faketime, "-f", "+5h", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert printed.stdout.split() == ["0", "1"]


class Twice(Futures):
    """Runs everything twice at the same time, and hands over every result twice."""

    def map(self, function, items, **options):
        doubled = [item for item in items for _ in range(2)]
        for result in super().map(function, doubled, **options):
            yield result
            yield result


@pytest.mark.slow
def test_what_is_done_and_delivered_twice_counts_once(toys, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr("intccms.analysis.runner.make_executor", lambda *_, **__: Twice(2))
    result = AnalysisRunner(config_of(toys, tmp_path), progress=False).histogram()
    assert result.succeeded
    assert_all_is_there(tmp_path, toys, undisturbed)
    chunks = toy_events(toys, CHUNK_SIZE)
    assert sum(one.computed for one in result.report.datasets) == len(chunks)
    assert len(calls_in(tmp_path / "calls")) > len(chunks), "some were really done twice"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False)
    if (
        mounted.returncode
    ):  # also for root, where the system is locked up; limits on files stand in for it elsewhere
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


CONFIG = """
from tests.servers.test_faults_of_workers import config_of
import pickle
from pathlib import Path

folder = Path({folder!r})
config = config_of(pickle.loads((folder / "toys").read_bytes()), folder, {place}={disk!r})
"""


@pytest.mark.parametrize("place", ["ledger_url", "skimmed_dir"])
def test_a_disk_that_is_really_full_stops_the_run_which_goes_on_when_there_is_space(
    place, small_disk, toys, tmp_path, undisturbed
):
    (tmp_path / "toys").write_bytes(pickle.dumps(toys))
    path, disk = tmp_path / "full.py", small_disk / "files"
    path.write_text(CONFIG.format(folder=str(tmp_path), place=place, disk=str(disk)))
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(2**20 - (50_000 if place == "skimmed_dir" else 60_000)))
    status, text = start(path, command="run").wait()
    assert status == 2, text
    shown = " ".join(text.split())
    assert "No space left on device" in shown
    assert "Check permissions and free space there" in shown
    assert "Traceback" not in text
    assert not [one for one in disk.rglob("*") if one.name.endswith(".tmp")]
    begun = calls_in(tmp_path / "calls")
    assert 0 < len(begun) < len(toy_events(toys, CHUNK_SIZE))
    ballast.unlink()
    status, text = start(path).wait()
    assert status == 0, text
    # the chunk whose result found no room is done again, and no other one
    assert len(calls_in(tmp_path / "calls")) <= len(toy_events(toys, CHUNK_SIZE)) + 2
    report = report_of(tmp_path / "out")
    assert report["complete"]
    assert_same_bits(bits(tmp_path / "out"), undisturbed)
