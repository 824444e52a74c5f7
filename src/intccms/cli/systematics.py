"""The command that shows the variation plan."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from intccms.cli.base import CONFIG_HELP, EXIT_INCOMPLETE, config_arguments, main, without_traceback

if TYPE_CHECKING:
    from intccms.schema import Config

__all__ = ["systematics"]


@main.command(
    help=f"Show the systematic variations of an analysis before it runs.\n\n{CONFIG_HELP}\n\n"
    "Which nuisances there are, in which years, what they vary and what they need; what of a chunk is evaluated once and "
    "what for every variation, and why; how much memory that takes; and what is probably not meant. No event file and no "
    "payload is needed, unless --check-locality is given."
)
@config_arguments
@click.option("--year", default=None, help="Only this year.")
@click.option("--all", "full", is_flag=True, help="List every source, and what is evaluated for data.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option(
    "--events",
    type=click.IntRange(min=1),
    default=None,
    help="Selected events of a chunk, for the estimate of memory (default 4000); with --check-locality events that are "
    "looked at (default 2000).",
)
@click.option(
    "--check-locality",
    is_flag=True,
    help="Evaluate every function and correction on events of the first file of each process, in other orders and in "
    "parts, and name those that depend on it.",
)
@without_traceback
def systematics(
    *,
    config: str,
    overrides: tuple[str, ...],
    year: str | None,
    full: bool,
    as_json: bool,
    events: int | None,
    check_locality: bool,
) -> None:
    """Show the variation plan."""
    from intccms.schema import load_config

    loaded = load_config(config, overrides)
    if check_locality:
        sys.exit(_check_locality(loaded, year, events, as_json=as_json))
    from intccms.systematics.describe import describe_plan

    given: dict[str, int] = {} if events is None else {"events": events}
    description = describe_plan(loaded, year=year, **given)
    if as_json:
        click.echo(json.dumps(description.to_json(), indent=2))
        return
    from rich.console import Console

    # what is piped into a file or a pager has room
    console = Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=160)
    console.print(description.in_full() if full else description)


def _check_locality(config: Config, year: str | None, events: int | None, *, as_json: bool) -> int:
    """Check events of the first file of each process, print what was found, and return the exit status."""
    from intccms.analysis.locality import EVENTS, check_locality
    from intccms.analysis.preflight import check_corrections
    from intccms.datasets import DatasetManager

    check_corrections(config)
    manager = DatasetManager(config)
    first = {
        one.process: one for one in reversed(manager.datasets) if year is None or one.year in {year, None}
    }
    if not first:
        message = f"no selected dataset has the year {year!r}"
        raise click.BadParameter(message, param_hint="--year")
    found: dict[str, Any] = {}
    for process in reversed(first):
        dataset = first[process]
        file = manager.files(dataset.name)[0]
        report = check_locality(config, file, dataset=dataset.name, n_events=events or EVENTS)
        found[process] = report
        if not as_json:
            click.secho(f"{process}: {file.name}", bold=True)
            click.echo("\n".join(f"  {line}" for line in report.lines()))
    if as_json:
        click.echo(json.dumps({process: report.to_json() for process, report in found.items()}, indent=2))
    return 0 if all(report.is_local for report in found.values()) else EXIT_INCOMPLETE
