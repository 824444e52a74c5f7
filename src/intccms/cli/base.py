"""What all commands share: options of the program, errors without tracebacks, exit statuses."""

from __future__ import annotations

import sys
from functools import wraps
from traceback import format_exc
from typing import TYPE_CHECKING, Any

import click

from intccms import __version__
from intccms.errors import IntccmsError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = [
    "CONFIG_HELP",
    "EXIT_ERROR",
    "EXIT_INCOMPLETE",
    "EXIT_STOPPED",
    "config_arguments",
    "main",
    "without_traceback",
]

EXIT_INCOMPLETE = 1
"""The run ended, but part of the input was not processed."""
EXIT_ERROR = 2
"""The run stopped: the configuration is wrong, or input or output cannot be used."""
EXIT_STOPPED = 130
"""The user stopped it, by Ctrl-C."""

CONFIG_HELP = "CONFIG is a module, a Python file or package folder that exposes `config`, or `demo`."


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
    from intccms.utils.interrupts import revive_lost_interrupts
    from intccms.utils.tools import load_dotenv

    revive_lost_interrupts()
    load_dotenv()
    _configure_logging(verbose=verbose)


def _configure_logging(*, verbose: bool) -> None:
    import logging

    from rich.console import Console
    from rich.logging import RichHandler

    from intccms.utils.logging import MaskingFormatter

    level = logging.DEBUG if verbose else logging.INFO
    handler = RichHandler(level, console=Console(stderr=True), show_path=False, show_time=False)
    # Dask sets its own level when it is imported, and tells of every connection
    handler.setFormatter(MaskingFormatter("%(message)s"))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("intccms"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("intccms").setLevel(level)


def without_traceback[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Show errors of users' making as one message, and set the exit status."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StoppedError as exc:
            click.echo(str(exc), err=True)
            sys.exit(EXIT_STOPPED)
        except IntccmsError as exc:
            if (click.get_current_context().find_root().obj or {}).get("traceback"):
                from intccms.schema.secrets import masked_text

                click.echo(masked_text(format_exc()), err=True)
            click.secho("error: ", fg="red", bold=True, nl=False, err=True)
            click.echo(str(exc), err=True)
            sys.exit(EXIT_ERROR)
        except KeyboardInterrupt:
            click.echo(
                "interrupted: what was done is kept, and the same command goes on from there", err=True
            )
            sys.exit(EXIT_STOPPED)

    return guarded


def config_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments CONFIG and KEY=VALUE."""
    command = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)
    return click.argument("config")(command)
