"""Commands on run directories."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intccms.cli.base import EXIT_INCOMPLETE, main, without_traceback
from intccms.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from intccms.analysis.ledger import Missing
    from intccms.analysis.report import RunReport
    from intccms.analysis.results import Chunk
    from intccms.schema import Config
    from intccms.utils.output import RunDirectory

__all__ = ["clean", "replay", "report", "rerun", "status"]

_RUN = click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
_OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")


@main.command()
@_RUN
@click.option("--html", "form", flag_value="html", help="Print the page for a browser.")
@click.option("--json", "form", flag_value="json", help="Print it as JSON.")
@without_traceback
def report(*, folder: Path, form: str | None) -> None:
    """Show the report of the run directory RUN: what was processed, what was not and why."""
    from intccms.analysis.report import html_page, json_text, read_report

    found = read_report(folder)
    if form is not None:
        click.echo(html_page(found) if form == "html" else json_text(found), nl=False)
        return
    from rich.console import Console

    Console().print(found, crop=False)  # commands stay on one line


@main.command()
@_RUN
@without_traceback
def status(*, folder: Path) -> None:
    """Show how far the run directory RUN is: chunks done, failed and left, and who works in it."""
    from rich.console import Console

    from intccms.analysis.status import run_status

    Console().print(run_status(_directory(folder)), crop=False)


@main.command()
@_RUN
@_OVERRIDES
@click.option(
    "--failed", is_flag=True, help="Only chunks that failed, and those that changed code has made stale."
)
@click.option("--no-progress", is_flag=True, help="Show no progress bars.")
@without_traceback
def rerun(*, folder: Path, overrides: tuple[str, ...], failed: bool, no_progress: bool) -> None:
    """Go on with the run directory RUN: compute what failed or was not reached.

    The configuration is loaded from where it was, with the overrides of then and KEY=VALUE after them; what its
    changes since then concern is computed again as well.
    """
    from intccms.analysis import AnalysisRunner
    from intccms.analysis.reopen import present_config, read_origin, working_folder
    from intccms.cli.run import run_and_show

    directory = _directory(folder)
    only = _only_failed(directory) if failed else None
    with working_folder(read_origin(directory)):
        runner = AnalysisRunner(present_config(directory, overrides), progress=not no_progress)
        sys.exit(run_and_show(runner, only=only))


@main.command()
@_RUN
@click.argument("chunk")
@_OVERRIDES
@click.option("--current", is_flag=True, help="With the code as it is now, not as it was run.")
@click.option("--debug", is_flag=True, help="Start the debugger where it fails.")
@without_traceback
def replay(*, folder: Path, chunk: str, overrides: tuple[str, ...], current: bool, debug: bool) -> None:
    """Process one CHUNK of the run directory RUN again, here and alone, exactly as it was run.

    CHUNK is what the report calls it, such as ttbar/3/2: dataset, file, chunk of the file. Nothing is written.
    """
    from intccms.analysis.reopen import config_as_run, present_config, read_origin, working_folder
    from intccms.schema import load_config

    directory = _directory(folder)
    origin = read_origin(directory)
    with working_folder(origin):
        here = (*overrides, f"general.output_dir={directory.path}", "general.executor=iterative")
        if not current and origin.source is not None and not _is_as_run(origin.source, directory):
            click.echo(
                f"{origin.source} has changed since the run: what runs is as it was, lines shown are those of now"
            )
        as_run = not current
        config = load_config(config_as_run(directory), here) if as_run else present_config(directory, here)
        _replay(config, directory, chunk, debug=debug)


def _replay(config: Config, directory: RunDirectory, label: str, *, debug: bool) -> None:
    from intccms.analysis import AnalysisRunner
    from intccms.analysis.replay import find_chunk
    from intccms.analysis.replay import replay as process

    config.general.save_skimmed_output = config.general.run_skimming = False
    found = find_chunk(directory, AnalysisRunner(config, progress=False).plans(), label)
    click.echo(f"{label} is {found}")
    try:
        result = process(config, found)
    except Exception as exc:  # noqa: BLE001  whatever the user's code raises is what this command is for
        _show_failure(exc, found, debug=debug)
    steps = {
        **result.sums.common.steps,
        **{f"{c}: {n}": v for c, flow in result.sums.channels.items() for n, v in flow.steps.items()},
    }
    for name, (entries, sumw) in steps.items():
        click.echo(f"  {name:<40} {entries:>10,} {sumw:>16.6g}")
    click.echo(f"went through in {result.seconds:.2f} s")


def _is_as_run(source: Path, directory: RunDirectory) -> bool:
    copy = directory.path / "config.py"
    return source.is_file() and copy.is_file() and source.read_bytes() == copy.read_bytes()


def _show_failure(exc: Exception, chunk: Chunk, *, debug: bool) -> None:
    import pdb  # noqa: T100  this is the debugger's command
    import traceback

    traceback.print_exception(exc)
    if debug:
        cause: BaseException = exc
        while cause.__cause__ is not None:  # the user's own error, not the one that tells where it came from
            cause = cause.__cause__
        click.echo(f"\nin {chunk}; `q` leaves the debugger")
        pdb.post_mortem(cause.__traceback__)
    sys.exit(EXIT_INCOMPLETE)


@main.command()
@_RUN
@click.option(
    "--also",
    multiple=True,
    metavar="CONFIG",
    help="A further configuration whose results stay; may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and stop.")
@click.option("--force", is_flag=True, help="Also where other run directories use the ledger.")
@without_traceback
def clean(*, folder: Path, also: tuple[str, ...], dry_run: bool, force: bool) -> None:
    """Remove from the ledger of the run directory RUN what its present configuration does not reach.

    Results of all channels and processes of the configuration stay, whatever its filters leave out.
    """
    from intccms.analysis.cleaning import find_rubbish
    from intccms.analysis.context import other_runs
    from intccms.analysis.reopen import present_config, read_origin, working_folder
    from intccms.schema import load_config
    from intccms.utils.lock import run_lock

    directory = _directory(folder)
    with working_folder(read_origin(directory)), run_lock(directory.path):
        config = present_config(directory)
        if not force and (others := other_runs(config)):
            message = (
                f"the ledger also serves {', '.join(others)}, whose results would go. Name their configurations with "
                "--also and add --force, while none of them is running."
            )
            raise ConfigError(message)
        rubbish = find_rubbish([config, *(load_config(one) for one in also)])
        what = f"{len(rubbish.names):,} files of {rubbish.size / 1e6:,.1f} MB, and parts of {len(rubbish.trimmed):,} others"
        if dry_run:
            click.echo(f"would remove {what}; {rubbish.kept:,} records would stay")
            return
        rubbish.remove()
        click.echo(f"removed {what}; {rubbish.kept:,} records stay")


def _directory(folder: Path) -> RunDirectory:
    from intccms.utils.output import RunDirectory

    if not folder.is_dir():
        message = f"there is no folder {folder}. Name a run directory: what general.output_dir gave (default: outputs)."
        raise OutputError(message)
    directory = RunDirectory(folder.resolve())
    if not directory.origin.is_file() and (folder / "output" / "config").is_dir():
        message = f"{folder} is no run directory. Did you mean {folder / 'output'}?"
        raise OutputError(message)
    return directory


def _only_failed(directory: RunDirectory) -> Callable[[Missing], Missing]:
    """Return what chooses failed chunks, and those whose results are stale, from the work that is left."""
    from intccms.analysis.ledger.plan import only_touched
    from intccms.analysis.report import read_report

    found: RunReport = read_report(directory.path)
    failed: set[tuple[str, str, Any]] = {(one.dataset, one.file, one.start) for one in found.failures}
    return lambda missing: only_touched(missing, failed)
