"""Our own output cannot be written: the run stops and says what and where, and goes on from there when it can be.

A full disk is a limit on the size of files, which the user's function sets in the process that computes a chunk: what
it allows is written, the next write fails as on a full disk, with part of its bytes. Permissions bind because
the processes give up the powers of root.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from tests.analysis.breaking import (
    assert_same_bits,
    assert_skims_are_whole,
    bits,
    calls_in,
    datasets_of,
    note,
    permissions_bind,
    report_of,
    start,
    toy_events,
)

CHUNK_SIZE = 90
SHORTEST = 76
"""Events of the shortest chunk: one of three of 230."""

CONFIG = """
from tests.analysis.test_write_failures import limited_observable, limited_skim
from tests.analysis.toys import toy_config

LIMITS = {limits!r}
config = toy_config({datasets!r}, {output!r}, chunk_size={chunk_size}, workers=2)
config["preprocess"]["skimming"] |= {{
    "function": limited_skim,
    "use": [("MET", "pt"), ("event", "event")],
    "static_kwargs": {{"calls": {calls!r}, "limits": LIMITS}},
}}
config["channels"][1]["observables"][0] |= {{
    "function": limited_observable,
    "use": [("event", "ht"), ("event", "event")],
    "static_kwargs": {{"limits": LIMITS}},
}}
"""


def limited_skim(met, events, *, calls, limits):
    """Skim that notes its calls, and has the disk full from a chunk on if the file ``skim`` says so."""
    note(calls, events)
    limit_if_asked(Path(limits) / "skim", events)
    return {"MET > 20 GeV": met > 20}


def limited_observable(ht, events, *, limits):
    limit_if_asked(Path(limits) / "observable", events)
    return ht


def limit_if_asked(path, events):
    """Limit the size of files as ``[first event of a chunk, bytes]`` say, in that chunk; cuts may have taken events."""
    if not path.exists():
        return
    first, size = json.loads(path.read_text())
    if any(first <= number < first + SHORTEST for number in events.tolist()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Analysis:
    """A configuration that can be told where to fail."""

    def __init__(self, folder, toys):
        self.folder, self.calls, self.limits = folder, folder / "calls", folder / "limits"
        self.output, self.skims = folder / "out", folder / "out" / "skimmed"
        self.limits.mkdir()
        self.config = folder / "analysis_that_fails.py"
        text = CONFIG.format(
            limits=str(self.limits),
            datasets=datasets_of(toys),
            output=str(self.output),
            calls=str(self.calls),
            chunk_size=CHUNK_SIZE,
        )
        self.config.write_text(text)
        self.overrides = []

    def run(self, *overrides, command="", prepare=None):
        return start(self.config, *self.overrides, *overrides, command=command, prepare=prepare).wait()

    def assert_stops(self, *words, **how):
        """Run, and check that it stopped with a message, a traceback nowhere, and no chunk called a failure."""
        status, text = self.run(command="run", **how)
        shown = " ".join(text.split())
        assert status == 2, text
        for word in words:
            assert word in shown
        assert "Traceback" not in text
        assert not (self.output / "output.coffea").exists()
        assert not (self.output / "report.json").exists()

    def assert_nothing_is_half_written(self):
        left = [path for path in self.folder.rglob("*") if path.is_file() and path.name.endswith(".part")]
        assert left == []
        for path in self.output.rglob("*.json"):
            json.loads(path.read_text())

    def completes(self, expected, chunks, *, twice=()):
        """Run again, and check the bits, the report, and that only what had not been committed was computed."""
        status, text = self.run()
        assert status == 0, text
        assert_same_bits(bits(self.output), expected)
        assert (report_of(self.output)["complete"], report_of(self.output)["failures"]) == (True, [])
        assert sorted(calls_in(self.calls)) == sorted([*chunks, *twice])


@pytest.fixture
def analysis(toys, tmp_path):
    return Analysis(tmp_path, toys)


@pytest.fixture(scope="module")
def expected(toys, tmp_path_factory):
    """Bits of a run in which nothing fails."""
    undisturbed = Analysis(tmp_path_factory.mktemp("undisturbed"), toys)
    status, text = undisturbed.run()
    assert status == 0, text
    return bits(undisturbed.output)


@pytest.fixture(scope="module")
def chunks(toys):
    return toy_events(toys, CHUNK_SIZE)


PLACES = {
    "the ledger": ("general.ledger_url={}", "ledger"),
    "the skims": ("general.skimmed_dir={}", "skims"),
    "the metadata": ("general.metadata_dir={}", "metadata"),
    "the run directory": ("general.output_dir={}", "run"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", ["is read-only", "lies below a file"])
def test_a_folder_that_cannot_be_written_stops_the_run_before_events_are_read(
    fault, place, analysis, tmp_path
):
    override, name = PLACES[place]
    folder = tmp_path / "place" / name
    if fault == "is read-only":
        folder.mkdir(parents=True)
        folder.chmod(0o555)
    else:
        (tmp_path / "place").write_text("no folder")
    analysis.overrides = [override.format(folder), "general.save_skimmed_output=true"]
    analysis.assert_stops(
        str(folder),
        "Permission denied" if fault == "is read-only" else "Not a directory",
        "permissions",
        prepare=permissions_bind,
    )
    assert calls_in(analysis.calls) == []


def test_a_run_goes_on_in_a_folder_that_was_made_writable_again(analysis, expected, chunks, tmp_path):
    ledger = tmp_path / "ledger"
    ledger.mkdir(mode=0o555)
    analysis.overrides = [f"general.ledger_url={ledger}"]
    analysis.assert_stops(str(ledger), "Permission denied", prepare=permissions_bind)
    ledger.chmod(0o755)
    analysis.completes(expected, chunks)


FULL_AT = 2_076
"""First event of the second of three chunks of the second file of ``tt``, the seventh of all."""

IN_VAIN = [2_076, 2_153]
"""That chunk and the rest of its group: a worker that cannot write goes on, and leaves the writing to the client."""


@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
def test_a_disk_full_while_a_part_is_written(executor, analysis, expected, chunks, toys):
    analysis.overrides = [f"general.executor={executor}", "general.save_skimmed_output=true"]
    (analysis.limits / "skim").write_text(json.dumps([FULL_AT, 2_000]))
    analysis.assert_stops("cannot write", str(analysis.skims / "tt"), "File too large", "free space")
    analysis.assert_nothing_is_half_written()
    begun = calls_in(analysis.calls)
    assert FULL_AT in begun
    (analysis.limits / "skim").unlink()
    # what another worker was at when the run stopped may have been committed, or not
    status, text = analysis.run()
    assert status == 0, text
    again = calls_in(analysis.calls)[len(begun) :]
    assert FULL_AT in again
    assert set(begun) | set(again) == set(chunks)
    assert len(set(begun) & set(again)) <= (1 if executor == "iterative" else 2)
    assert_same_bits(bits(analysis.output), expected)
    assert_skims_are_whole(analysis.skims, toys)


def test_a_disk_full_while_a_record_is_written(analysis, expected, chunks):
    (analysis.limits / "observable").write_text(json.dumps([FULL_AT, 100]))
    analysis.assert_stops(
        "cannot write", str(analysis.output / "ledger" / "tt"), "File too large", "free space"
    )
    analysis.assert_nothing_is_half_written()
    assert calls_in(analysis.calls)[-2:] == IN_VAIN
    (analysis.limits / "observable").unlink()
    analysis.completes(expected, chunks, twice=IN_VAIN)


def test_a_part_whose_record_finds_the_disk_full_is_not_written_twice_under_two_names(
    analysis, expected, chunks, toys
):
    analysis.overrides = ["general.save_skimmed_output=true"]
    (analysis.limits / "observable").write_text(json.dumps([FULL_AT, 100]))
    analysis.assert_stops("cannot write", "File too large")
    (analysis.limits / "observable").unlink()
    analysis.completes(expected, chunks, twice=IN_VAIN)
    assert_skims_are_whole(analysis.skims, toys)


@pytest.mark.slow
def test_a_worker_whose_disk_is_full_has_the_client_write(analysis, expected, chunks):
    analysis.overrides = ["general.executor=futures"]
    (analysis.limits / "observable").write_text(json.dumps([FULL_AT, 100]))
    analysis.completes(expected, chunks)


def test_a_disk_full_while_the_manifest_is_written(analysis, expected, chunks, toys):
    """The last chunk, of which few events pass, and its records are small; the manifest of ``tt`` is not."""
    analysis.overrides = ["general.save_skimmed_output=true"]
    last = chunks[-1]
    assert last == toys["data"][0].columns["event"][173]
    manifest = analysis.skims / "tt" / "manifest.json"
    (analysis.limits / "observable").write_text(json.dumps([int(last), 1_500]))
    analysis.assert_stops("cannot write", str(manifest), "File too large", "free space")
    analysis.assert_nothing_is_half_written()
    assert sorted(calls_in(analysis.calls)) == chunks
    (analysis.limits / "observable").unlink()
    analysis.completes(expected, chunks)
    assert_skims_are_whole(analysis.skims, toys)


def test_a_disk_full_while_results_are_written(analysis, expected, chunks):
    (analysis.limits / "observable").write_text(json.dumps([chunks[-1], 4_000]))
    analysis.assert_stops("cannot write", str(analysis.output), "File too large")
    analysis.assert_nothing_is_half_written()
    (analysis.limits / "observable").unlink()
    analysis.completes(expected, chunks)


def test_old_histograms_do_not_stand_beside_a_run_that_could_not_write_its_own(analysis, expected, chunks):
    status, text = analysis.run()
    assert status == 0, text
    (analysis.limits / "observable").write_text(json.dumps([chunks[-1], 4_000]))
    changed = "channels.1.observables.0.binning.bins=16"
    status, text = analysis.run(changed, command="run")
    assert status == 2, text
    assert not (analysis.output / "output.coffea").exists() or bits(analysis.output) == expected
    (analysis.limits / "observable").unlink()
    analysis.completes(expected, chunks, twice=chunks)
