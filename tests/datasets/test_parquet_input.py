"""Parquet files of several row groups, read chunk by chunk; expected values are the arrays that were written."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from intccms.datasets import SourceFile, open_source
from intccms.datasets.sources import forget_sources
from intccms.errors import BrokenFileError
from tests.nanofiles import corrupt_row_group

GROUP, EVENTS = 100, 350


@pytest.fixture
def written(tmp_path):
    """A file of four row groups, and what is in it."""
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 4, EVENTS)
    columns = {
        "run": np.ones(EVENTS, np.uint32),
        "luminosityBlock": np.ones(EVENTS, np.uint32),
        "event": np.arange(EVENTS, dtype=np.uint64),
        "HLT_x": rng.random(EVENTS) > 0.5,
        "nVtx": counts.astype(np.int32),
        "Vtx_x": ak.unflatten(rng.random(counts.sum(), dtype=np.float32), counts),
    }
    path = tmp_path / "a.parquet"
    array = ak.zip(columns, depth_limit=1)
    ak.to_parquet(array, str(path), row_group_size=GROUP, extensionarray=False, compression="zstd")
    assert pq.ParquetFile(path).num_row_groups == 4
    forget_sources()
    return path, columns


def opened(path):
    return open_source(SourceFile("a", (str(path),)), "Events")


RANGES = [(0, 350), (0, 100), (90, 110), (100, 200), (150, 350), (349, 350), (200, 200)]


@pytest.mark.parametrize(("start", "stop"), RANGES)
def test_chunks_that_cut_row_groups_hold_their_entries(written, start, stop):
    path, columns = written
    source = opened(path)
    arrays = source.arrays(columns, start, stop)
    events = source.events(source.branches, start, stop, {})
    assert len(events) == stop - start
    for name, values in columns.items():
        expected = ak.to_list(values[start:stop])
        assert arrays[name].tolist() == expected
        collection, _, field = name.partition("_")
        found = events[name] if name in events.fields else events[collection][field] if field else None
        if found is not None:
            assert found.tolist() == expected


def test_of_a_chunk_only_its_row_groups_are_read(written):
    path, columns = written
    for group in (0, 3):
        corrupt_row_group(path, "Vtx_x", group)
    source = opened(path)
    assert source.arrays(["Vtx_x"], 110, 300)["Vtx_x"].tolist() == columns["Vtx_x"][110:300].tolist()
    assert source.events(source.branches, 110, 300, {}).Vtx.x.tolist() == columns["Vtx_x"][110:300].tolist()


def test_a_broken_column_names_the_file(written):
    path, _ = written
    corrupt_row_group(path, "Vtx_x", 2)
    source = opened(path)
    with pytest.raises(BrokenFileError, match="cannot read Vtx_x of") as caught:
        source.events(source.branches, 150, 250, {}).Vtx.x + 1
    assert caught.value.url == str(path)
    with pytest.raises(BrokenFileError, match="cannot read Vtx_x of"):
        source.arrays(["Vtx_x"], 200, 201)
