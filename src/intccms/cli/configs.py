"""Commands that look at configurations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from intccms.cli.base import CONFIG_HELP, config_arguments, main, without_traceback

if TYPE_CHECKING:
    from intccms.schema import Config


@main.group()
def config() -> None:
    """Look at a configuration and check it."""


@config.command(help=f"Print the resolved configuration as JSON.\n\n{CONFIG_HELP}")
@config_arguments
@without_traceback
def show(*, config: str, overrides: tuple[str, ...]) -> None:
    """Print the resolved configuration."""
    from intccms.schema import load_config

    click.echo(json.dumps(load_config(config, overrides).to_json(), indent=2))


@config.command(help=f"Check a configuration without reading any event file.\n\n{CONFIG_HELP}")
@config_arguments
@without_traceback
def validate(*, config: str, overrides: tuple[str, ...]) -> None:
    """Check a configuration."""
    from intccms.schema import load_config

    loaded = load_config(config, overrides)
    datasets, channels = loaded.selected_datasets(), loaded.selected_channels()
    observables = sum(len(channel.observables) for channel in channels)
    if "plotting" in loaded.model_fields_set:
        from intccms.analysis.preflight import check_plotting

        check_plotting(loaded)
    if loaded.all_corrections():
        _check_payloads(loaded)
    digest = loaded.digest()  # refuses functions that cannot be hashed, so before anything is called valid
    click.echo(
        f"valid: datasets: {len(datasets)}, channels: {len(channels)}, observables: {observables} "
        "(event files are looked for when it runs)"
    )
    click.echo(f"digest: {digest}")


def _check_payloads(config: Config) -> None:
    """Check the payloads of corrections; that they are not mounted here says nothing of the configuration."""
    from intccms.analysis.preflight import check_corrections, check_payload_files
    from intccms.errors import ConfigError

    try:
        check_payload_files(config)
    except ConfigError as exc:
        click.secho("not checked: ", fg="yellow", nl=False, err=True)
        click.echo(str(exc), err=True)
    else:
        check_corrections(config)


@config.command()
@without_traceback
def schema() -> None:
    """Print the JSON schema of configurations, with the help of every field."""
    from intccms.schema import Config

    click.echo(json.dumps(Config.model_json_schema(), indent=2))
