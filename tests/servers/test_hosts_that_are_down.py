"""A host that does not answer costs a run its patience once or twice, and not once for each file and chunk."""

from __future__ import annotations

import time

import pytest

from tests.analysis.breaking import assert_same_bits, bits, report_of
from tests.analysis.toys import dataset, write_toy
from tests.servers.runs import CHUNK_SIZE, PATIENCE, start_run, truth
from tests.servers.xrootd import xrootd

FILES = 12


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    return [write_toy(folder / f"tt_{index}.root", 2 * CHUNK_SIZE, 40 + index) for index in range(FILES)]


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_the_first_redirector_hangs_all_the_time(executor, xrootd_server, toys, tmp_path):
    for toy in toys:
        (xrootd_server.files / toy.path.name).write_bytes(toy.path.read_bytes())
    expected = truth(tmp_path / "truth", [dataset("tt", *toys)])
    files = [f"/store/{toy.path.name}" for toy in toys]
    with xrootd() as silent:
        silent.hang()
        served = {**dataset("tt", *toys), "files": files, "redirector": [silent.host, xrootd_server.host]}
        run = start_run(tmp_path / "run", [served], executor=executor, workers=2)
        try:
            status, text = run.wait()
        finally:
            run.kill()
        passed = time.monotonic() - run.started
        silent.go_on()
    assert status == 0, text
    assert f"{silent.host} does not answer" in " ".join(text.split())
    assert_same_bits(bits(tmp_path / "run/out"), expected)
    report = report_of(tmp_path / "run/out")
    assert report["complete"]
    # each process waits for it once or twice; 12 files in metadata and in processing would be 24 times
    longest = 2 * (PATIENCE + 3) * 2 + 15
    assert longest < 2 * FILES * PATIENCE
    assert passed < longest
