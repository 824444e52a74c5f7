"""``python -m benchmarks``: make full-size files (once), measure, and print a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from benchmarks.inputs import full_size_file
from benchmarks.throughput import Measurement, measure_in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command()
@click.option("--events", default=100_000, show_default=True, help="Events in the generated file.")
@click.option("--branches", default=1_500, show_default=True, help="Branches in the generated file.")
@click.option(
    "--compression", multiple=True, default=("lzma:9", "zstd:5"), show_default=True, help="Codec and level."
)
@click.option(
    "--chunk-size", multiple=True, default=(100_000, 10_000), show_default=True, help="Events per chunk."
)
@click.option("--repeat", default=3, show_default=True, help="Repetitions; the fastest of each counts.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/benchmarks"), show_default=True
)
def main(
    *,
    events: int,
    branches: int,
    compression: tuple[str, ...],
    chunk_size: tuple[int, ...],
    repeat: int,
    folder: Path,
) -> None:
    """Measure metadata, skim filter and histogram pass against plain uproot reading of the same branches."""
    console = Console()
    rows: list[Measurement] = []
    for codec in compression:
        with console.status(f"generating {events:,} events with {codec} (once)"):
            path = full_size_file(folder, events=events, branches=branches, compression=codec)
        for size in chunk_size:
            with console.status(f"measuring {codec}, chunks of {size:,}"):
                rows.append(measure_in_fresh_process(path, chunk_size=size, repeat=repeat))
    console.print(_table(rows))
    (folder / "results.json").write_text(json.dumps([row.to_json() for row in rows], indent=2))


def _table(rows: list[Measurement]) -> Table:
    table = Table(title="CPU time on one core")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row.codec}\nchunks of {row.chunk_size:,}", justify="right")
    lines: list[tuple[str, Callable[[Measurement], str]]] = [
        ("events", lambda row: f"{row.events:,}"),
        ("branches", lambda row: f"{row.branches:,}"),
        ("plain read of the same branches [s]", lambda row: f"{row.plain:.2f}"),
        ("histogram pass [s]", lambda row: f"{row.histogram:.2f}"),
        ("  ratio to the plain read", lambda row: f"{row.histogram / row.plain:.2f}"),
        ("  events per second", lambda row: f"{row.events / row.histogram:,.0f}"),
        ("plain read of the filter's branches [s]", lambda row: f"{row.plain_skim:.2f}"),
        ("skim filter [s]", lambda row: f"{row.skim:.2f}"),
        ("  ratio to the plain read", lambda row: f"{row.skim / row.plain_skim:.2f}"),
        ("  skim filter, events per second", lambda row: f"{row.events / row.skim:,.0f}"),
        ("uproot.open and the tree [ms]", lambda row: f"{1e3 * row.opening:.0f}"),
        ("metadata of the file [ms]", lambda row: f"{1e3 * row.metadata:.1f}"),
        ("  files per second", lambda row: f"{1 / row.metadata:,.0f}"),
        ("  ratio to opening", lambda row: f"{row.metadata / row.opening:.3f}"),
        ("peak memory of the worker [MiB]", lambda row: f"{row.peak_rss:.0f}"),
    ]
    for title, text in lines:
        table.add_row(title, *(text(row) for row in rows))
    return table


if __name__ == "__main__":
    main()
