"""Storage of skims that refuses, is busy, breaks connections or falls silent, in runs as a user starts them.

What comes out in the end is compared, to the last bit, with a run that writes no skims.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter

import pytest

from intccms.utils.storage import Storage
from tests.analysis.breaking import assert_same_bits, bits, calls_in, report_of
from tests.analysis.toys import dataset, write_toy
from tests.servers.process import HOST
from tests.servers.runs import CHUNK_SIZE, PATIENCE, truth

EVENTS = 6 * CHUNK_SIZE


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    return {
        "tt": [write_toy(folder / f"tt_{number}.root", EVENTS, 60 + number) for number in range(2)],
        "data": [write_toy(folder / "data.root", EVENTS, 70, data=True)],
    }


@pytest.fixture(scope="module")
def datasets(toys):
    return [dataset(name, *files, xsec=None if name == "data" else 10.0) for name, files in toys.items()]


@pytest.fixture(scope="module")
def expected(datasets, tmp_path_factory):
    return truth(tmp_path_factory.mktemp("truth"), datasets)


CHUNKS = 3 * EVENTS // CHUNK_SIZE


def in_the_middle(toys):
    """Return the number of an event in the third chunk."""
    return int(toys["tt"][0].columns["event"][2 * CHUNK_SIZE])


def assert_complete(folder, url, toys, expected):
    """Everything was processed, with the right bits, and the parts on the storage are whole and those of the manifest."""
    report = report_of(folder / "out")
    assert (report["complete"], report["failures"]) == (True, [])
    for one in report["datasets"]:
        assert one["processed"] == one["entries"] == EVENTS * len(toys[one["name"]])
    assert_same_bits(bits(folder / "out"), expected)
    storage = Storage(url)
    for name, files in toys.items():
        manifest = json.loads(storage.get(f"{name}/manifest.json"))
        parts = {f"{name}/{part['path']}": part for file in manifest["files"] for part in file["parts"]}
        sizes = storage.sizes(name)
        assert sizes.pop(f"{name}/manifest.json") > 0
        assert sizes == {path: part["size"] for path, part in parts.items()}
        assert sum(part["kept"] for part in parts.values()) == sum(
            int((toy.columns["MET_pt"] > 20).sum()) for toy in files
        )


def assert_stopped(status, text, *words):
    shown = " ".join(text.split())
    assert status == 2, text
    assert "Traceback" not in text
    assert shown.count("error: ") == 1
    for one in words:
        assert re.search(one, shown), shown


REFUSALS = {
    "a wrong secret": (
        {"secret": "wrong-secret-of-mine"},
        "bucket",
        r"(SignatureDoesNotMatch|signature).*Check the credentials",
    ),
    "an unknown key": ({"key": "UNKNOWNKEY0123456789"}, "bucket", r"Check the credentials"),
    "a missing bucket": ({}, "no-such-bucket", r"no-such-bucket/.*Create the bucket or folder"),
}


@pytest.mark.parametrize("executor", ["iterative", "futures"])
@pytest.mark.parametrize("case", REFUSALS)
def test_a_storage_that_refuses_stops_the_run_at_once(
    case, executor, s3_server, new_name, datasets, user_run, tmp_path
):
    changes, bucket, words = REFUSALS[case]
    variables = s3_server.environment(**changes)
    run = user_run(
        datasets,
        environment=variables,
        executor=executor,
        workers=2,
        save_skimmed_output=True,
        skimmed_dir=f"s3://{bucket}/{new_name}",
    )
    status, text = run.wait()
    assert_stopped(status, text, words, f"s3://{bucket}/{new_name}")
    assert variables["AWS_SECRET_ACCESS_KEY"] not in text
    assert calls_in(run.folder / "calls") == [], "no event was read"


def assert_goes_on(run_again, run, url, toys, expected):
    """The same command does only what was not committed."""
    before = calls_in(run.folder / "calls")
    again = run_again()
    again.go_on()
    status, text = again.wait()
    assert status == 0, text
    begun = calls_in(run.folder / "calls")
    assert 0 < len(before) < CHUNKS
    assert len(set(begun)) == CHUNKS
    assert len(begun) <= CHUNKS + 4, "of each worker the chunk in hand, and on Dask the one after it"
    assert_complete(run.folder, url, toys, expected)


@pytest.mark.parametrize("fault", ["busy", "breaks connections"])
def test_what_goes_by_in_a_moment_is_waited_for(
    fault, s3_server, delay_proxy, new_name, toys, datasets, expected, user_run, monkeypatch, tmp_path
):
    slow = delay_proxy(s3_server.port)
    url = f"s3://bucket/{new_name}"
    run = user_run(
        datasets,
        at=in_the_middle(toys),
        # one attempt of the library takes some seconds, with attempts and pauses of its own
        environment={**s3_server.environment(port=slow.port), "INTCCMS_PATIENCE": "20"},
        save_skimmed_output=True,
        skimmed_dir=url,
    )
    run.until_it_waits()
    if fault == "busy":
        slow.answer(503, "SlowDown", 3)
    else:
        slow.reset(3, after=3_000)
    run.go_on()
    status, text = run.wait()
    assert status == 0, text
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    assert len(calls_in(run.folder / "calls")) == CHUNKS
    assert_complete(run.folder, url, toys, expected)


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_an_upload_that_hangs_stops_the_run_which_goes_on_later(
    executor, s3_server, delay_proxy, new_name, toys, datasets, expected, user_run, monkeypatch, tmp_path
):
    slow = delay_proxy(s3_server.port)
    url = f"s3://bucket/{new_name}"
    settings = {
        "at": in_the_middle(toys),
        "environment": s3_server.environment(port=slow.port),
        "save_skimmed_output": True,
        "skimmed_dir": url,
        "executor": executor,
        "workers": 2,
    }
    run = user_run(datasets, **settings)
    run.until_it_waits()
    slow.hang(after=4_000)
    begin = run.go_on()
    status, text = run.wait()
    assert time.monotonic() - begin < 20 * PATIENCE
    assert_stopped(status, text, f"cannot write {url}/", r"given up after \d+ s", "the server is up")
    slow.go_on()
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    assert_goes_on(lambda: user_run(datasets, **settings), run, url, toys, expected)


@pytest.mark.parametrize("how", ["is killed", "hangs"])
def test_a_server_of_skims_that_fails_stops_the_run_which_goes_on_later(
    how, xrootd_server, new_name, toys, datasets, expected, user_run, tmp_path
):
    url = f"{xrootd_server.url}/{new_name}"
    settings = {"at": in_the_middle(toys), "save_skimmed_output": True, "skimmed_dir": url}
    run = user_run(datasets, **settings)
    run.until_it_waits()
    xrootd_server.kill() if how == "is killed" else xrootd_server.hang()
    begin = run.go_on()
    status, text = run.wait()
    assert time.monotonic() - begin < 20 * PATIENCE
    assert_stopped(status, text, f"cannot write {url}/", r"given up after \d+ s", "the server is up")
    xrootd_server.mend()
    assert_goes_on(lambda: user_run(datasets, **settings), run, url, toys, expected)


@pytest.fixture
def on_skims(xrootd_server, delay_proxy, new_name, datasets, user_run):
    """A proxy before the server of skims that were written, and the run that reads them, without copies."""
    proxy = delay_proxy(xrootd_server.port)
    settings = {"skimmed_dir": f"root://{HOST}:{proxy.port}//store/{new_name}", "read_from_cache": False}
    status, text = user_run(datasets, save_skimmed_output=True, run_analysis=False, **settings).wait()
    assert status == 0, text
    return proxy, lambda: user_run(datasets, use_skimmed_input=True, **settings)


def test_a_run_on_skims_asks_three_times_for_each_part_and_each_manifest(
    on_skims, datasets, expected, tmp_path
):
    proxy, start = on_skims
    before = Counter(proxy.requests)
    status, text = start().wait()
    assert status == 0, text
    files = CHUNKS + len(datasets)
    once = Counter(protocol=1, login=1)
    assert Counter(proxy.requests) - before == once + Counter(open=files, read=files, close=files)
    assert_same_bits(bits(tmp_path / "run/out"), expected)


def test_skims_whose_server_falls_silent_for_a_while_cost_some_chunks(on_skims, expected, tmp_path):
    proxy, start = on_skims
    before = proxy.passed
    proxy.hang(after=2_000)  # after the manifests and a few parts
    run = start()
    while proxy.passed < before + 2_000:
        assert run.process.poll() is None
        time.sleep(0.05)
    time.sleep(2 * PATIENCE)
    proxy.go_on()
    status, text = run.wait()
    assert status == 1, text
    report = report_of(tmp_path / "run/out")
    lost = sum(failure["entries"] for failure in report["failures"])
    processed = sum(one["processed"] for one in report["datasets"])
    assert 0 < processed == CHUNKS * CHUNK_SIZE - lost < CHUNKS * CHUNK_SIZE
    for failure in report["failures"]:
        assert re.search(r"cannot read skim part root://.*given up after \d+ s", failure["reason"])
    status, text = start().wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "run/out"), expected)


def test_skims_whose_server_is_gone_are_not_waited_for_part_by_part(on_skims, expected, tmp_path):
    proxy, start = on_skims
    proxy.hang(after=900)  # after the manifests
    begin = time.monotonic()
    status, text = start().wait()
    assert time.monotonic() - begin < 15 * PATIENCE
    assert_stopped(
        status, text, r"storage of the skims does not answer: \d+ parts in a row", "What was done is kept"
    )
    proxy.go_on()
    status, text = start().wait()
    assert status == 0, text
    assert_same_bits(bits(tmp_path / "run/out"), expected)
