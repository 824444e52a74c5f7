"""Commands that run an analysis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intccms.cli.base import CONFIG_HELP, EXIT_INCOMPLETE, config_arguments, main, without_traceback

if TYPE_CHECKING:
    from collections.abc import Callable

    from intccms.analysis import AnalysisRunner, RunResult
    from intccms.analysis.ledger import Missing

__all__ = ["run_and_show", "show_result"]


@main.command(
    help=f"Run an analysis.\n\n{CONFIG_HELP} KEY=VALUE changes one field, such as general.executor=futures. "
    "What an earlier run has computed, and what the configuration has not changed since, is not computed again."
)
@config_arguments
@click.option("--dry-run", is_flag=True, help="Say what would be computed and why, and stop.")
@click.option("--no-progress", is_flag=True, help="Show no progress bars.")
@without_traceback
def run(*, config: str, overrides: tuple[str, ...], dry_run: bool, no_progress: bool) -> None:
    """Run an analysis."""
    from intccms.analysis import AnalysisRunner
    from intccms.schema import load_config

    runner = AnalysisRunner(load_config(config, overrides), progress=not no_progress)
    if dry_run:
        click.echo("\n".join(runner.plan().lines()))
        return
    sys.exit(run_and_show(runner))


def run_and_show(runner: AnalysisRunner, *, only: Callable[[Missing], Missing] | None = None) -> int:
    """Run an analysis, print report, cutflow and yields, and return the exit status."""
    result = runner.run(only=only)
    show_result(result)
    return 0 if result.succeeded else EXIT_INCOMPLETE


def show_result(result: RunResult) -> None:
    """Print report, cutflow, yields and what the run left behind."""
    from rich.console import Console

    from intccms.plotting import cutflow_table, yields_table

    console = Console()
    if result.report is not None:
        console.print(result.report, crop=False)  # commands stay on one line
        if not any(one.processed for one in result.report.datasets):
            return
    data = result.output["report"]["data_processes"]
    for channel, cutflow in result.output["cutflow"].items():
        if not cutflow["steps"]:  # no channel was analysed
            continue
        console.print(cutflow_table(cutflow, data_processes=data, title=f"Cutflow of {channel}"))
    if any(result.output["histograms"].values()):
        console.print(yields_table(result.output))
    plots = " and plots/" if any((result.path / "plots").rglob("*.*")) else ""
    console.print(
        f"\n[bold]Results[/bold] are in {result.path}; look at {result.path / 'report.html'}{plots}"
    )


@main.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where input and output go.  [default: ./intccms-demo]",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Number of events, in units of the default.",
)
@click.option("--seed", type=int, default=None, help="Seed of the simulation.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Worker processes; default: one per core."
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@without_traceback
def demo(
    *, folder: Path | None, scale: float, seed: int | None, workers: int | None, overrides: tuple[str, ...]
) -> None:
    """Make simulated NanoAOD, search it for a heavy resonance, and compare with the truth.

    Takes less than a minute on two cores, and no network. KEY=VALUE changes one field of the demo's configuration.
    """
    from intccms.demo.run import run_demo

    sys.exit(run_demo(folder, scale=scale, seed=seed, workers=workers, overrides=overrides, show=show_result))
