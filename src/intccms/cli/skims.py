"""Commands on skims."""

from __future__ import annotations

import json
import sys

import click

from intccms.cli.base import CONFIG_HELP, EXIT_INCOMPLETE, config_arguments, main, without_traceback

__all__ = ["skim"]


@main.group()
def skim() -> None:
    """Check and pack skims."""


@skim.command(
    help=f"Look for events that the analysis selects and the skim has lost.\n\n{CONFIG_HELP}\n\n"
    "A sample of the events before the skim is read from the source. The selections of all channels run on it without "
    "the skim, in all variations of objects, and each event that one of them selects must be in the skim: in the written "
    "one, or, before it is written, among those that the skim function keeps. The exit status is 1 if one is not, if "
    "chunks are missing in the written skim, or if some of the sample could not be read."
)
@config_arguments
@click.option(
    "--fraction",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.01,
    show_default=True,
    help="Of the events of each dataset; at least a few thousand are read.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Of the choice of events; another one, other events."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
@without_traceback
def check(
    *, config: str, overrides: tuple[str, ...], fraction: float, seed: int, as_json: bool, no_progress: bool
) -> None:
    """Check a sample."""
    from intccms.analysis import AnalysisRunner
    from intccms.schema import load_config

    runner = AnalysisRunner(load_config(config, overrides), progress=not no_progress and not as_json)
    found = runner.check_skim(fraction=fraction, seed=seed)
    click.echo(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.lines()))
    sys.exit(0 if found.sound else EXIT_INCOMPLETE)


@skim.command(
    help=f"Put small skim parts together into fewer files.\n\n{CONFIG_HELP}\n\n"
    "Neighbouring parts of a dataset are written into common files, where chunks stay what they are: results do not "
    "change, and nothing is computed again. What they were in before is removed when the manifest names the new files."
)
@config_arguments
@click.option(
    "--events", type=click.IntRange(min=1), default=50_000, show_default=True, help="Of a file, to aim at."
)
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
@without_traceback
def pack(*, config: str, overrides: tuple[str, ...], events: int, no_progress: bool) -> None:
    """Pack parts."""
    from intccms.analysis import AnalysisRunner
    from intccms.schema import load_config

    runner = AnalysisRunner(load_config(config, overrides), progress=not no_progress)
    for one in runner.pack_skim(events=events):
        click.echo(f"{one.dataset}: {one.before:,} files are {one.after:,} now")
