"""One chunk of twenty fails: what the next run does about it, with the cause gone or the code changed."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest
from coffea.util import load

from tests.analysis.breaking import assert_same_bits, bits, calls_in, report_of, start
from tests.analysis.toys import expected_sums, write_toy

TWENTY = """
from pathlib import Path

from tests.analysis.breaking import note
from tests.analysis.toys import toy_config

config = toy_config([{{"name": "tt", "files": [{file!r}], "cross_sections": [10.0]}}], {output!r}, chunk_size=10)
THRESHOLD = 20


def skim(met, events, *, calls, flag):
    note(calls, events)
    if {raises}:
        raise RuntimeError("chunk of event 8130")
    return {{"MET > 20 GeV": met > THRESHOLD}}


config["preprocess"]["skimming"] |= {{
    "function": skim,
    "use": [("MET", "pt"), ("event", "event")],
    "static_kwargs": {{"calls": {calls!r}, "flag": {flag!r}}},
}}
"""


@pytest.fixture
def twenty(tmp_path):
    """Twenty chunks of ten events, one of which is too much for the user's function unless a flag is set."""
    toy = write_toy(tmp_path / "twenty.root", 200, 8)
    path = tmp_path / "analysis_of_twenty.py"

    def write(raises="8130 in events and not Path(flag).exists()", **changes):
        text = TWENTY.format(
            file=str(toy.path),
            output=str(tmp_path / "out"),
            calls=str(tmp_path / "calls"),
            flag=str(tmp_path / "flag"),
            raises=raises,
        )
        for old, new in changes.items():
            text = text.replace(f"{old} = 20", f"{old} = {new}")
        path.write_text(text)
        return path

    status, text = start(write(), command="run").wait()
    assert status == 1, text
    assert "chunk of event 8130" in text
    assert len(calls_in(tmp_path / "calls")) == 20
    (failure,) = report_of(tmp_path / "out")["failures"]
    assert [(one["start"], one["stop"]) for one in failure["chunks"]] == [(130, 140)]
    assert "RuntimeError: chunk of event 8130" in failure["reason"]
    assert report_of(tmp_path / "out")["datasets"][0]["processed"] == 190
    return toy, write, tmp_path


def expected_bins(toy, threshold=20):
    """Return entries of ``ht``, from the loop over events; the skim is the loop's own at 20 GeV."""
    kept = toy.columns["MET_pt"] > threshold
    return expected_sums([toy], lambda _toy, index: bool(kept[index]))["ht"]["entries"]


def entries_of(folder):
    return load(str(folder / "out" / "output.coffea"))["entries"]["all"]["ht"][{"process": "tt"}].view(
        flow=True
    )


def test_a_chunk_that_failed_for_a_while_is_all_that_the_next_run_computes(twenty):
    toy, _, folder = twenty
    (folder / "flag").touch()
    status, text = start(folder / "analysis_of_twenty.py").wait()
    assert status == 0, text
    assert Counter(calls_in(folder / "calls")) == {
        8_000 + 10 * index: 1 + (index == 13) for index in range(20)
    }
    assert np.array_equal(entries_of(folder), expected_bins(toy))
    assert report_of(folder / "out")["complete"]
    completed = bits(folder / "out")
    shutil.rmtree(folder / "out")
    assert start(folder / "analysis_of_twenty.py").wait()[0] == 0
    assert_same_bits(completed, bits(folder / "out"))


def test_a_failure_that_stays_costs_its_chunk_again_and_stays_reported(twenty):
    _, _, folder = twenty
    assert start(folder / "analysis_of_twenty.py").wait()[0] == 1
    assert calls_in(folder / "calls")[20:] == [8_130]
    (failure,) = report_of(folder / "out")["failures"]
    assert failure["chunks"][0]["start"] == 130


@pytest.mark.parametrize("threshold", [20, 45])
def test_after_a_fix_in_the_code_the_numbers_are_those_of_the_new_code(threshold, twenty):
    toy, write, folder = twenty
    write(raises="False", THRESHOLD=threshold)
    status, text = start(folder / "analysis_of_twenty.py").wait()
    assert status == 0, text
    # the function is another one now, so that what the old one did cannot count
    assert len(calls_in(folder / "calls")) == 40
    assert np.array_equal(entries_of(folder), expected_bins(toy, threshold))
