"""The command line: ``intccms ...``. Heavy imports happen in the commands, so that help comes at once."""

from __future__ import annotations

import json
import sys
from functools import wraps
from pathlib import Path
from traceback import print_exc
from typing import TYPE_CHECKING, Any

import click

from intccms import __version__
from intccms.errors import IntccmsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from intccms.analysis import RunResult

__all__ = ["main"]

EXIT_INCOMPLETE = 1
"""The run ended, but part of the input was not processed."""
EXIT_ERROR = 2
"""The run stopped: the configuration is wrong, or input or output cannot be used."""

_CONFIG_HELP = "CONFIG is a module, a Python file or package folder that exposes `config`, or `demo`."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="intccms")
@click.option("--traceback", is_flag=True, help="Show Python tracebacks of errors.")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens in detail.")
@click.pass_context
def main(context: click.Context, *, traceback: bool, verbose: bool) -> None:
    """From NanoAOD files to histograms, plots and fits.

    Try `intccms demo` first: it makes its own input and needs no network.
    """
    context.obj = {"traceback": traceback}
    if Path(".env").is_file():
        from intccms.utils.tools import load_dotenv

        load_dotenv()
    _configure_logging(verbose=verbose)


def _configure_logging(*, verbose: bool) -> None:
    import logging

    from rich.console import Console
    from rich.logging import RichHandler

    level = logging.DEBUG if verbose else logging.INFO
    handler = RichHandler(level, console=Console(stderr=True), show_path=False, show_time=False)
    # Dask sets its own level when it is imported, and tells of every connection
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("intccms"))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("intccms").setLevel(level)


def _without_traceback[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Show errors of users' making as one message, and set the exit status."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except IntccmsError as exc:
            if (click.get_current_context().find_root().obj or {}).get("traceback"):
                print_exc()
            click.secho("error: ", fg="red", bold=True, nl=False, err=True)
            click.echo(str(exc), err=True)
            sys.exit(EXIT_ERROR)
        except KeyboardInterrupt:
            click.echo(
                "interrupted: what was read of the metadata is kept; the same command starts again", err=True
            )
            sys.exit(130)

    return guarded


def _config_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)
    return click.argument("config")(command)


@main.command(
    help=f"Run an analysis.\n\n{_CONFIG_HELP} KEY=VALUE changes one field, such as general.executor=futures."
)
@_config_arguments
@click.option("--no-progress", is_flag=True, help="Show no progress bars.")
@_without_traceback
def run(*, config: str, overrides: tuple[str, ...], no_progress: bool) -> None:
    """Run an analysis."""
    sys.exit(run_and_show(config, overrides, progress=not no_progress))


def run_and_show(config: Any, overrides: tuple[str, ...], *, progress: bool = True) -> int:
    """Run a configuration, print report, cutflow and yields, and return the exit status."""
    from intccms.analysis import AnalysisRunner
    from intccms.schema import load_config

    result = AnalysisRunner(load_config(config, overrides), progress=progress).run()
    _show(result)
    return 0 if result.succeeded else EXIT_INCOMPLETE


def _show(result: RunResult) -> None:
    from rich.console import Console

    from intccms.plotting import cutflow_table, yields_table

    console = Console()
    if result.report is not None:
        console.print(result.report)
        if not any(one.processed for one in result.report.datasets):
            return
    data = result.output["report"]["data_processes"]
    for channel, cutflow in result.output["cutflow"].items():
        console.print(cutflow_table(cutflow, data_processes=data, title=f"Cutflow of {channel}"))
    if any(result.output["histograms"].values()):
        console.print(yields_table(result.output))
    console.print(f"\n[bold]Results[/bold] are in {result.path}")
    for name, what in (
        ("plots", f"{sum(path.parts[-3] == 'plots' for path in result.plots)} pictures"),
        ("cutflow", "tables of the cutflow"),
        ("output.coffea", "histograms, entries, cutflow, report, configuration"),
        ("histograms/histograms.root", "the same histograms for ROOT"),
        ("report.json", "what was and was not processed"),
    ):
        if (result.path / name).exists():
            console.print(f"  {result.path / name}  [dim]{what}[/dim]", soft_wrap=True)


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
@_without_traceback
def demo(
    *, folder: Path | None, scale: float, seed: int | None, workers: int | None, overrides: tuple[str, ...]
) -> None:
    """Make simulated NanoAOD, search it for a heavy resonance, and compare with the truth.

    Takes less than a minute on two cores, and no network. KEY=VALUE changes one field of the demo's configuration.
    """
    from intccms.demo.run import run_demo

    sys.exit(run_demo(folder, scale=scale, seed=seed, workers=workers, overrides=overrides, show=_show))


@main.group()
def config() -> None:
    """Look at a configuration and check it."""


@config.command(help=f"Print the resolved configuration as JSON.\n\n{_CONFIG_HELP}")
@_config_arguments
@_without_traceback
def show(*, config: str, overrides: tuple[str, ...]) -> None:
    """Print the resolved configuration."""
    from intccms.schema import load_config

    click.echo(json.dumps(load_config(config, overrides).to_json(), indent=2))


@config.command(help=f"Check a configuration without reading any event file.\n\n{_CONFIG_HELP}")
@_config_arguments
@_without_traceback
def validate(*, config: str, overrides: tuple[str, ...]) -> None:
    """Check a configuration."""
    from intccms.schema import load_config

    loaded = load_config(config, overrides)
    datasets, channels = loaded.selected_datasets(), loaded.selected_channels()
    observables = sum(len(channel.observables) for channel in channels)
    if "plotting" in loaded.model_fields_set:
        from intccms.analysis.preflight import check_plotting

        check_plotting(loaded)
    click.echo(
        f"valid: datasets: {len(datasets)}, channels: {len(channels)}, observables: {observables} "
        "(files are looked for when it runs)"
    )
    click.echo(f"digest: {loaded.digest()}")


@config.command()
@_without_traceback
def schema() -> None:
    """Print the JSON schema of configurations, with the help of every field."""
    from intccms.schema import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))


if __name__ == "__main__":
    main()
