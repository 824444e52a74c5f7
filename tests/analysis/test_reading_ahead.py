"""Runs on skims that are not local: the next part is fetched while one is processed, each of them once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from intccms.analysis import skims
from intccms.utils.storage import Storage
from tests.analysis.breaking import assert_same_bits, bits
from tests.analysis.modes import CHUNKS, ON_SKIMS, ON_THE_FLY, SKIM_ONLY, analysis_in

PARTS = sum(CHUNKS.values())


@pytest.fixture
def fetched(monkeypatch):
    """Names of the parts that are fetched, and whether the thread that processes them does it."""
    noted, own = [], skims.fetch_part

    def noting(storage, name, *more):
        noted.append((name, threading.current_thread() is threading.main_thread()))
        return own(storage, name, *more)

    monkeypatch.setattr(skims, "fetch_part", noting)
    return noted


@pytest.fixture
def analysis(toys, tmp_path):
    """The analysis, with skims on a storage that is not local and lives in this process."""
    analysis = analysis_in("parquet", toys, tmp_path)
    analysis.config["preprocess"]["skimming"]["output"]["output_dir"] = f"memory://{tmp_path.name}"
    return analysis


@pytest.mark.parametrize("cached", [True, False])
def test_parts_are_fetched_once_and_ahead_where_a_chunk_precedes(cached, analysis, fetched):
    analysis.run(SKIM_ONLY)
    assert fetched == []
    more = {"read_from_cache": cached, "cache_dir": str(analysis.folder / "cache")}
    result, _ = analysis.run(ON_SKIMS, "skims", executor="iterative", **more)
    assert result.succeeded
    assert set(Counter(name for name, _ in fetched).values()) == {1}
    assert len(fetched) == PARTS
    # groups are of three, since each worker is to get four; the first of each has nothing before it
    assert sum(not here for _, here in fetched) >= PARTS // 2
    analysis.run(ON_THE_FLY, "direct")
    assert_same_bits(bits(analysis.folder / "skims"), bits(analysis.folder / "direct"))


def test_a_part_that_is_gone_fails_its_own_chunk(analysis, fetched):
    analysis.run(SKIM_ONLY)
    storage = Storage(analysis.config["preprocess"]["skimming"]["output"]["output_dir"])
    storage.delete(["tt/file_0/part_1.parquet"])
    result, _ = analysis.run(ON_SKIMS, "skims", executor="iterative", read_from_cache=False)
    (failure,) = result.report.failures
    assert failure.start == 90
    assert "tt/file_0/part_1.parquet is gone" in failure.reason
    assert dict(fetched)["tt/file_0/part_1.parquet"] is False


def test_local_parts_are_opened_where_they_are(toys, tmp_path, fetched):
    local = analysis_in("parquet", toys, tmp_path)
    local.run(SKIM_ONLY)
    assert local.run(ON_SKIMS, "skims", executor="iterative")[0].succeeded
    assert all(here for _, here in fetched)
