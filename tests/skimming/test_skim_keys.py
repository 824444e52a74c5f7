"""The configuration keys of written skims."""

from __future__ import annotations

import pytest

from intccms.errors import ConfigError
from intccms.schema import Config, load_config_with_restricted_cli


def config_with(configuration, **output):
    configuration["preprocess"]["skimming"]["output"] = output
    return Config(**configuration)


def test_the_format_is_parquet(configuration):
    assert Config(**configuration).preprocess.skimming.output.format == "parquet"
    with pytest.raises(ConfigError, match=r"preprocess.skimming.output.format.*'parquet'"):
        config_with(configuration, format="feather")


@pytest.mark.parametrize("name", ["array", "destination"])
def test_what_is_written_cannot_be_set(configuration, name):
    with pytest.raises(ConfigError, match=rf"output.to_kwargs.*{name} cannot be set here"):
        config_with(configuration, to_kwargs={name: 1})


@pytest.mark.parametrize("name", ["file", "entry_start", "entry_stop", "metadata", "buffer_cache"])
def test_what_is_read_cannot_be_set(configuration, name):
    with pytest.raises(ConfigError, match=rf"output.from_kwargs.*{name} cannot be set here"):
        config_with(configuration, from_kwargs={name: 1})


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ({"to_kwargs": {"compression": "lz4"}}, True),
        ({"from_kwargs": {"mode": "eager"}}, False),
        ({"output_dir": "elsewhere"}, False),
    ],
)
def test_only_what_changes_the_files_is_in_the_digest(configuration, output, counts):
    before = Config(**configuration).digest()
    assert (config_with(configuration, **output).digest() != before) is counts


@pytest.mark.parametrize("key", ["skimmed_dir", "cache_dir"])
def test_folders_are_not_in_the_digest(configuration, key):
    before = Config(**configuration).digest()
    configuration["general"][key] = "elsewhere"
    assert Config(**configuration).digest() == before


def test_they_can_be_overridden_on_the_command_line(configuration):
    config = load_config_with_restricted_cli(
        configuration,
        [
            "preprocess.skimming.output.output_dir=s3://bucket/x",
            "general.cache_dir=/scratch",
            "general.skimmed_dir=a",
        ],
    )
    assert config.preprocess.skimming.output.output_dir == "s3://bucket/x"
    assert str(config.general.cache_dir) == "/scratch"
    assert config.general.skimmed_dir == "a"


def test_the_public_names_of_the_package_can_be_had():
    import intccms.skimming as package

    assert {
        name for name in package.__all__ if getattr(package, name).__module__.startswith("intccms.skimming.")
    } == set(package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Skim'"):
        _ = package.Skim
