"""Records as bytes: nothing is lost on the way, no damage goes unnoticed, and adding them up is adding up arrays.

Expected sums are those of NumPy's dense arrays, compared bit by bit.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intccms.analysis.ledger import DamagedRecordError, Record
from intccms.analysis.ledger.records import Accumulator, ChannelContent, decode, encode, record_of
from intccms.analysis.results import DatasetSums
from intccms.histograms import Sums
from intccms.selection import Cutflow

NAME = "tt/record"
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
WEIGHTS = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e308, -1.5, float("inf"), float("nan")]),
)
COUNTS = st.one_of(
    st.integers(0, 300), st.sampled_from([255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**62, -1])
)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@st.composite
def contents(draw, shape: tuple[int, ...] | None = None) -> Sums:
    shape = shape or draw(SHAPES)
    size = int(np.prod(shape))
    filled = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    columns = [[draw(kind) if one else 0 for one in filled] for kind in (WEIGHTS, WEIGHTS, COUNTS)]
    kinds = (np.float64, np.float64, np.int64)
    arrays = (np.array(v, dtype=k).reshape(shape) for v, k in zip(columns, kinds, strict=True))
    return Sums(*arrays, draw(st.integers(0, 5)))


CUTFLOWS = st.builds(
    Cutflow,
    st.dictionaries(NAMES, st.tuples(st.integers(0, 2**40), st.floats(allow_nan=False)), max_size=3),
    st.booleans(),
)
LUMIS = st.dictionaries(
    st.integers(1, 9).map(str), st.lists(st.lists(st.integers(1, 99), min_size=2, max_size=2))
)


@st.composite
def dataset_sums(draw) -> DatasetSums:
    channels = draw(st.dictionaries(NAMES, CUTFLOWS, max_size=3))
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return DatasetSums(
        entries=draw(st.integers(0, 2**50)),
        sumw=draw(WEIGHTS),
        common=draw(CUTFLOWS),
        channels=channels,
        histograms={(channel, name): draw(contents()) for channel in channels for name in names},
        absent_of={channel: draw(st.frozensets(NAMES, max_size=2)) for channel in channels},
        lumis=draw(LUMIS),
    )


def histograms_of(content: ChannelContent) -> dict[str, Sums]:
    total = Accumulator(content.layout)
    total.add(content)
    return total.histograms()


def assert_same_bits(one: Sums, other: Sums) -> None:
    assert one.sumw.shape == other.sumw.shape
    # zeros have lost their sign in the sum with zero, as they do in every sum of histograms
    assert (one.sumw + 0.0).tobytes() == (other.sumw + 0.0).tobytes()
    assert (one.sumw2 + 0.0).tobytes() == (other.sumw2 + 0.0).tobytes()
    assert one.entries.tolist() == other.entries.tolist()
    assert one.nan == other.nan


@settings(max_examples=150, deadline=None)
@given(dataset_sums(), st.floats(0, 1e6))
@example(DatasetSums(), 0.0)
@example(DatasetSums(channels={"SR": Cutflow()}), 0.0)
@example(
    DatasetSums(
        channels={"SR": Cutflow()},
        histograms={("SR", "x"): Sums(np.zeros(3), np.zeros(3), np.zeros(3, dtype=np.int64))},
    ),
    0.0,
)
def test_what_is_written_is_what_is_read_to_the_last_bit(sums: DatasetSums, seconds: float):
    record = decode(encode(record_of(sums, seconds), NAME), NAME)
    assert (record.entries, bits(record.sumw)) == (sums.entries, bits(sums.sumw))
    assert (record.lumis, record.cpu_seconds) == (sums.lumis, seconds)
    assert list(record.channels) == list(sums.channels)
    for channel, content in record.channels.items():
        assert (content.common, content.cutflow) == (sums.common, sums.channels[channel])
        assert content.absent_triggers == sums.absent_of.get(channel, frozenset())
        found = histograms_of(content)
        assert set(found) == {name for owner, name in sums.histograms if owner == channel}
        for name, one in found.items():
            assert_same_bits(one, sums.histograms[channel, name])


@settings(max_examples=50, deadline=None)
@given(dataset_sums())
def test_writing_what_was_read_gives_the_same_bytes(sums: DatasetSums):
    content = encode(record_of(sums), NAME)
    assert encode(decode(content, NAME), NAME) == content


@settings(max_examples=50, deadline=None)
@given(st.data(), SHAPES, st.integers(1, 6))
def test_adding_sparse_records_is_adding_dense_arrays_bit_by_bit(data, shape, count):
    parts = [data.draw(contents(shape)) for _ in range(count)]
    dense = Sums(np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64))
    sparse = Accumulator((("x", shape),))
    with np.errstate(all="ignore"):
        for part in parts:
            dense.add(part)
            sums = DatasetSums(channels={"SR": Cutflow()}, histograms={("SR", "x"): part})
            sparse.add(decode(encode(record_of(sums), NAME), NAME).channels["SR"])
    assert_same_bits(sparse.histograms()["x"], dense)


def some_record() -> Record:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=12)
    sums = DatasetSums(
        entries=100,
        sumw=1.25,
        common=Cutflow({"all": (100, 1.25)}),
        channels={"SR": Cutflow({"cut": (12, 0.5)}), "CR": Cutflow()},
        histograms={
            (channel, "x"): Sums(weights * scale, weights**2, np.arange(12), 1)
            for channel, scale in (("SR", 1.0), ("CR", -2.0))
        },
        lumis={"1": [[1, 4]]},
    )
    return record_of(sums)


def test_every_flipped_bit_and_every_cut_is_noticed():
    content = encode(some_record(), NAME)
    assert len(content) < 1000
    for position in range(len(content)):
        for bit in range(8):
            wrong = bytearray(content)
            wrong[position] ^= 1 << bit
            with pytest.raises(DamagedRecordError, match="no longer the one that was written"):
                decode(bytes(wrong), NAME)
        with pytest.raises(DamagedRecordError):
            decode(content[:position], NAME)
        with pytest.raises(DamagedRecordError):
            decode(content[:position] + content[position + 1 :], NAME)


@pytest.mark.parametrize(
    "content", [b"", b"intccms1", b"\0" * 4096, b"{}", b"intccms1" + b"\0" * 24], ids=repr
)
def test_something_else_is_no_record(content):
    with pytest.raises(DamagedRecordError, match=f"^{len(content)} bytes that are no record"):
        decode(content, NAME)


def test_bytes_behind_the_end_are_damage():
    with pytest.raises(DamagedRecordError):
        decode(encode(some_record(), NAME) + b"\0", NAME)


@pytest.mark.parametrize("chosen", [{"SR"}, {"CR"}, {"SR", "CR"}, set()], ids=["SR", "CR", "both", "none"])
def test_of_several_channels_those_that_are_asked_for_are_read(chosen):
    record = some_record()
    part = decode(encode(record, NAME), NAME, dict.fromkeys(chosen))
    assert set(part.channels) == chosen
    for name in chosen:
        assert part.channels[name].sumw.tobytes() == record.channels[name].sumw.tobytes()
    assert (part.entries, part.sumw) == (100, 1.25)


def test_a_bin_is_kept_if_anything_of_it_is_not_zero():
    # weights cancel; a squared weight that underflows leaves nothing but the count, and so on
    sumw = np.array([0.0, 0.0, 1e-300, 0.0])
    sumw2 = np.array([0.0, 2.0, 0.0, 0.0])
    entries = np.array([0, 2, 1, 3])
    sums = DatasetSums(channels={"SR": Cutflow()}, histograms={("SR", "x"): Sums(sumw, sumw2, entries)})
    content = record_of(sums).channels["SR"]
    assert content.index.tolist() == [1, 2, 3]
    assert_same_bits(histograms_of(content)["x"], Sums(sumw, sumw2, entries))


def test_a_later_fill_changes_no_record():
    sums = DatasetSums(
        channels={"SR": Cutflow()},
        histograms={("SR", "x"): Sums(np.ones(3), np.ones(3), np.ones(3, dtype=np.int64))},
    )
    record = record_of(sums)
    sums.histograms["SR", "x"].sumw += 5
    assert record.channels["SR"].sumw.tolist() == [1.0, 1.0, 1.0]


def test_thirty_histograms_with_two_hundred_filled_bins_take_less_than_four_kilobytes():
    rng = np.random.default_rng(11)
    # 50 bins and two flow bins; weights as irregular as NLO weights with scale factors are
    filled = np.sort(rng.choice(30 * 52, 200, replace=False))
    entries = np.zeros(30 * 52, dtype=np.int64)
    entries[filled] = rng.poisson(4, 200) + 1
    weights = np.where(entries > 0, rng.normal(1, 0.3, entries.size), 0.0)
    parts = zip(*(np.split(values, 30) for values in (weights, weights**2, entries)), strict=True)
    histograms = {("SR", f"observable_{i}"): Sums(*part) for i, part in enumerate(parts)}
    common = Cutflow(
        {"all": (20_000, 20_000.5), "MET > 50 GeV": (900, 903.25), "baseline_selection": (400, 1.5)}
    )
    sums = DatasetSums(20_000, 20_000.5, common, {"SR": Cutflow({"jets": (80, 80.125)})}, histograms)
    content = encode(record_of(sums), NAME)
    # 8 bytes of each filled bin at least are irregular numbers, which nothing compresses
    assert 200 * 8 < len(content) < 4096
    assert np.count_nonzero(record_of(sums).channels["SR"].entries) == 200
