"""``python -m benchmarks``: make full-size files (once), measure, and print tables."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from benchmarks.inputs import branches_of, copies, full_size_file
from benchmarks.ledger import LEDGER_LINES, measure_ledger
from benchmarks.merging import CONTENTS, MERGING_LINES, measure_merging
from benchmarks.part_formats import FORMATS, PART_LINES, measure_part_formats
from benchmarks.planning import PLANNING_LINES, measure_planning
from benchmarks.remote import REMOTE_LINES, measure_remote
from benchmarks.skims import SKIM_LINES, measure_skims
from benchmarks.tables import as_table, keep, of_parts
from benchmarks.throughput import THROUGHPUT_LINES, measure_throughput
from benchmarks.variations import MEASUREMENTS, find_payloads

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Place:
    """Where files and figures are kept, and how large the files are."""

    folder: Path
    events: int
    branches: int
    console: Console

    def file(self, compression: str) -> Path:
        """Return the full-size file."""
        with self.console.status(f"generating {self.events:,} events with {compression} (once)"):
            return full_size_file(
                self.folder, events=self.events, branches=self.branches, compression=compression
            )

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new folder that is removed afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self.folder) as name:
            yield Path(name)


@click.group(invoke_without_command=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/benchmarks"), show_default=True
)
@click.option("--events", default=100_000, show_default=True, help="Events in a generated file.")
@click.option("--branches", default=1_500, show_default=True, help="Branches in a generated file.")
@click.pass_context
def main(context: click.Context, *, folder: Path, events: int, branches: int) -> None:
    """Measure one thing, or all of them."""
    context.obj = Place(folder.absolute(), events, branches, Console())
    if context.invoked_subcommand is None:
        for command in (throughput, ledger, planning, merging, skims, formats):
            context.invoke(command)


@main.command()
@click.option(
    "--compression", multiple=True, default=("lzma:9", "zstd:5"), show_default=True, help="Codec and level."
)
@click.option(
    "--chunk-size", multiple=True, default=(100_000, 10_000), show_default=True, help="Events per chunk."
)
@click.option("--repeat", default=3, show_default=True, help="Repetitions; the fastest of each counts.")
@click.pass_obj
def throughput(
    place: Place, *, compression: tuple[str, ...], chunk_size: tuple[int, ...], repeat: int
) -> None:
    """Compare metadata, skim filter and histogram pass with plain uproot reading of the same branches."""
    rows = []
    for codec in compression:
        path = place.file(codec)
        for size in chunk_size:
            with place.console.status(f"measuring {codec}, chunks of {size:,}"):
                rows.append(measure_throughput(path, chunk_size=size, repeat=repeat))
    place.console.print(as_table("One file, CPU time on one core", THROUGHPUT_LINES, rows))
    keep(place.folder / "throughput.json", rows)


@main.command()
@click.option("--files", default=20, show_default=True, help="Copies of the generated file.")
@click.option("--chunk-size", default=2_000, show_default=True, help="Events per chunk.")
@click.pass_obj
def ledger(place: Place, *, files: int, chunk_size: int) -> None:
    """Measure what the ledger takes of the CPU time of a run, and of the disk."""
    source = place.file("lzma:9")
    with place.scratch() as folder, place.console.status("measuring the ledger in a run"):
        inputs = copies(source, files, folder / "input")
        cost = measure_ledger(inputs, folder / "output", chunk_size=chunk_size)
    heads = ("CPU time [s]", "per chunk [ms]", "share")
    place.console.print(of_parts("A run, CPU time on one core", heads, cost.lines()))
    place.console.print(as_table("The ledger on disk", LEDGER_LINES, [cost]))
    keep(place.folder / "ledger.json", [cost])


@main.command()
@click.option("--chunks", default=10_000, show_default=True, help="Chunks of the finished run.")
@click.option("--repeat", default=3, show_default=True, help="Processes; the fastest counts.")
@click.pass_obj
def planning(place: Place, *, chunks: int, repeat: int) -> None:
    """Measure how long a finished run takes to find out that nothing is to be done."""
    names = branches_of(place.file("lzma:9"))
    rows = []
    for files, of_each in ((chunks // 10, 10), (chunks, 1)):
        with place.scratch() as folder, place.console.status(f"planning {files:,} files of {of_each} chunks"):
            rows += measure_planning(
                folder / "run", files=files, chunks=of_each, branches=names, repeat=repeat
            )
    place.console.print(as_table("Planning a finished run", PLANNING_LINES, rows))
    keep(place.folder / "planning.json", rows)


@main.command()
@click.option(
    "--results", multiple=True, default=(1_000, 3_000, 10_000), show_default=True, help="Results to add up."
)
@click.pass_obj
def merging(place: Place, *, results: tuple[int, ...]) -> None:
    """Measure how long adding results up takes, and in how much memory."""
    for contents in CONTENTS:
        rows = []
        for number in results:
            with place.scratch() as folder, place.console.status(f"adding {number:,} results: {contents}"):
                rows.append(measure_merging(folder, contents, results=number))
        place.console.print(as_table("Adding results up, CPU time on one core", MERGING_LINES, rows))
        keep(place.folder / f"merging-{CONTENTS.index(contents)}.json", rows)


@main.command()
@click.option("--files", default=20, show_default=True, help="Copies of the generated file.")
@click.option(
    "--chunk-size", multiple=True, default=(100_000, 20_000), show_default=True, help="Events per chunk."
)
@click.option(
    "--missing-momentum", default=215.0, show_default=True, help="Threshold of the filter [GeV]: 4 % pass."
)
@click.option("--repeat", default=2, show_default=True, help="Processes for each pass; the fastest counts.")
@click.pass_obj
def skims(
    place: Place, *, files: int, chunk_size: tuple[int, ...], missing_momentum: float, repeat: int
) -> None:
    """Compare histograms from skims with histograms from the source, and measure writing skims."""
    rows, source = [], place.file("lzma:9")
    with place.scratch() as folder:
        inputs = copies(source, files, folder / "input")
        for size in chunk_size:
            with place.console.status(f"measuring skims, chunks of {size:,}"):
                rows.append(
                    measure_skims(
                        inputs,
                        folder / f"chunks_of_{size}",
                        chunk_size=size,
                        missing_momentum=missing_momentum,
                        repeat=repeat,
                    )
                )
    place.console.print(as_table("Skims, CPU time on one core", SKIM_LINES, rows))
    keep(place.folder / "skims.json", rows)


@main.command()
@click.option(
    "--part-events", multiple=True, default=(4_000, 20_000), show_default=True, help="Events in a part."
)
@click.option("--part-columns", default=400, show_default=True, help="Columns in a part.")
@click.option("--repeat", default=3, show_default=True, help="Repetitions; the fastest of each counts.")
@click.pass_obj
def formats(place: Place, *, part_events: tuple[int, ...], part_columns: int, repeat: int) -> None:
    """Compare skim parts of each format with the library's own writer and reader called bare."""
    rows, source = [], place.file("zstd:5")
    with place.scratch() as folder:
        for events in part_events:
            with place.console.status(f"measuring parts of {events:,} events"):
                home = folder / str(events)
                rows += measure_part_formats(source, home, events=events, columns=part_columns, repeat=repeat)
    place.console.print(as_table("Skim parts, CPU time on one core", PART_LINES, rows))
    keep(place.folder / "formats.json", rows)


@main.command()
@click.option("--files", default=4, show_default=True, help="Copies of the generated file.")
@click.option("--chunk-size", default=34_000, show_default=True, help="Events per chunk.")
@click.option("--form", type=click.Choice(FORMATS), multiple=True, default=FORMATS, show_default=True)
@click.option("--round-trip", default=10.0, show_default=True, help="Delay of every answer [ms].")
@click.option("--repeat", default=3, show_default=True, help="Repetitions; the fastest of each counts.")
@click.pass_obj
def remote(
    place: Place, *, files: int, chunk_size: int, form: tuple[str, ...], round_trip: float, repeat: int
) -> None:
    """Compare skims behind a slow server (XRootD, which has to be installed) with local ones."""
    if shutil.which("xrootd") is None:
        message = "there is no xrootd: apt-get install xrootd-server xrootd-server-plugins"
        raise click.ClickException(message)
    rows, source = [], place.file("zstd:5")
    with place.scratch() as folder:
        inputs = copies(source, files, folder / "input")
        for name in form:
            with place.console.status(f"measuring {name} behind a slow server"):
                rows.append(
                    measure_remote(
                        inputs,
                        folder / name,
                        form=name,
                        chunk_size=chunk_size,
                        round_trip=round_trip / 1e3,
                        repeat=repeat,
                    )
                )
    place.console.print(as_table("Skims behind root://, time on the wall", REMOTE_LINES, rows))
    keep(place.folder / "remote.json", rows)


@main.command()
@click.option(
    "--payloads",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder POG of correctionlib payloads, by default $INTCCMS_PAYLOADS or that below $INTCCMS_REFERENCE_DATA.",
)
@click.option(
    "--what",
    type=click.Choice(list(MEASUREMENTS)),
    multiple=True,
    default=tuple(MEASUREMENTS),
    show_default=True,
    help="What to measure.",
)
@click.option("--repeat", default=3, show_default=True, help="Repetitions; the fastest of each counts.")
@click.pass_obj
def systematics(place: Place, *, payloads: Path | None, what: tuple[str, ...], repeat: int) -> None:
    """Compare variations with the nominal pass, with a loop over them, and with ROOT's RDataFrame."""
    if any(MEASUREMENTS[one].needs_payloads for one in what):
        find_payloads(payloads)
    for name in what:
        one = MEASUREMENTS[name]
        with place.console.status(f"measuring {name}"):
            rows = one.measure(place, repeat)
        place.console.print(as_table(one.title, one.lines, rows))
        keep(place.folder / f"systematics-{name}.json", rows)


if __name__ == "__main__":
    main()
