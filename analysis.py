"""Run an analysis: ``python analysis.py [--config MODULE_OR_FILE] [key=value ...]``, the same as ``intccms run``."""

from __future__ import annotations

import click

from intccms.cli import main

DEFAULT_CONFIG = "example_opendata"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config",
    "--cfg",
    "config",
    default=DEFAULT_CONFIG,
    show_default=True,
    metavar="MODULE_OR_FILE",
    help="A module, a Python file or package folder that exposes `config`, or `demo`.",
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def analysis(config: str, overrides: tuple[str, ...]) -> None:
    """Run an analysis; KEY=VALUE changes one field, such as general.executor=futures."""
    main(["run", config, *overrides])


if __name__ == "__main__":
    analysis()
