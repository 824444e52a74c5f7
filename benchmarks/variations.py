"""What is measured about variations, by name, and where the payloads of corrections are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.inputs import full_content_file, hard_file
from benchmarks.naive import LOOP_LINES, measure_loop
from benchmarks.rdataframe import RDATAFRAME_LINES, measure_rdataframe, python_with_root
from benchmarks.scaling import SCALING_LINES, measure_scaling
from benchmarks.systematics import FULL_SET_LINES, measure_full_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.__main__ import Place

__all__ = ["MEASUREMENTS", "Measured", "find_payloads"]

HARD_EVENTS = 300_000
"""Events of the file from which chunks of chosen size are taken: 50,000 of them pass the skim."""

EVENTS = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
"""Events of a chunk."""


@dataclass(frozen=True)
class Measured:
    """One table."""

    title: str
    lines: Sequence[tuple[str, Callable[[Any], str]]]
    measure: Callable[[Place, int], list[Any]]
    """Takes the place of files, and the number of repetitions."""
    needs_payloads: bool = True


def find_payloads(given: Path | None) -> None:
    """Set the folder of payloads for `example_cms`, in this process and those that it starts.

    Parameters
    ----------
    given
        The folder; None for that of the environment.

    Raises
    ------
    click.UsageError
        If there is none.
    """
    reference = os.environ.get("INTCCMS_REFERENCE_DATA")
    found = given or os.environ.get("INTCCMS_PAYLOADS")
    if found is None and reference:
        found = Path(reference) / "corrections" / "POG"
    if found is None or not (Path(found) / "JME" / "2018_UL").is_dir():
        place = "no folder is named" if found is None else f"{found} has no folder JME/2018_UL"
        others = " ".join(f"--what {name}" for name, one in MEASUREMENTS.items() if not one.needs_payloads)
        message = (
            f"the payloads of corrections of 2018 are needed, and {place}. Give the folder POG of CMS's payloads with "
            f"--payloads, or in INTCCMS_PAYLOADS; or measure what does without them: {others}."
        )
        raise click.UsageError(message)
    os.environ["INTCCMS_PAYLOADS"] = str(Path(found).absolute())


def _full_set(place: Place, repeat: int) -> list[Any]:
    rows = []
    for codec in ("lzma:9", "zstd:5"):
        path = full_content_file(
            place.folder, events=place.events, branches=place.branches, compression=codec
        )
        rows.append(measure_full_set(path, chunk_size=100_000, repeat=repeat))
    return rows


def _search_loop(place: Place, repeat: int) -> list[Any]:
    path = hard_file(place.folder, events=HARD_EVENTS)
    return [measure_loop(path, "search", events=size, every=6, repeat=repeat) for size in (1_000, 4_000)]


def _two_jets_loop(place: Place, repeat: int) -> list[Any]:
    path = hard_file(place.folder, events=HARD_EVENTS)
    sizes = (500, 1_000, 2_000, 4_000, 10_000)
    return [measure_loop(path, "two jets", events=size, every=1, repeat=repeat) for size in sizes]


def _number(kind: Any) -> Callable[[Place, int], list[Any]]:
    def measure(place: Place, repeat: int) -> list[Any]:
        path = hard_file(place.folder, events=HARD_EVENTS)
        return [
            measure_scaling(path, kind, events=5_000, variations=number, repeat=repeat)
            for number in (10, 30, 100, 300)
        ]

    return measure


def _chunks(kind: Any) -> Callable[[Place, int], list[Any]]:
    def measure(place: Place, repeat: int) -> list[Any]:
        path = hard_file(place.folder, events=HARD_EVENTS)
        return [measure_scaling(path, kind, events=size, variations=54, repeat=repeat) for size in EVENTS]

    return measure


def _rdataframe(place: Place, repeat: int) -> list[Any]:
    python = python_with_root(place.folder)
    files = {
        full_content_file(
            place.folder, events=place.events, branches=place.branches, compression=codec
        ): "MET"
        for codec in ("lzma:9", "zstd:5")
    }
    if reference := os.environ.get("INTCCMS_REFERENCE_DATA"):
        files[Path(reference) / "opendata2016" / "ttbar_lep_0.root"] = "PuppiMET"
    return [measure_rdataframe(path, python, met=met, repeat=repeat) for path, met in files.items()]


MEASUREMENTS = {
    "full-set": Measured("The search with all variations, reading included", FULL_SET_LINES, _full_set),
    "search-loop": Measured("The search against a loop over variations", LOOP_LINES, _search_loop),
    "two-jets-loop": Measured(
        "Two jets against a loop over variations", LOOP_LINES, _two_jets_loop, needs_payloads=False
    ),
    "objects": Measured(
        "Two jets, number of variations of objects", SCALING_LINES, _number("objects"), needs_payloads=False
    ),
    "weights": Measured(
        "Two jets, number of variations of weights", SCALING_LINES, _number("weights"), needs_payloads=False
    ),
    "chunks": Measured(
        "Two jets, events of a chunk", SCALING_LINES, _chunks("objects"), needs_payloads=False
    ),
    "search-chunks": Measured("The search, events of a chunk", SCALING_LINES, _chunks("search")),
    "rdataframe": Measured(
        "Two jets, this package and ROOT's RDataFrame", RDATAFRAME_LINES, _rdataframe, needs_payloads=False
    ),
}
"""Name on the command line -> what is measured."""
