"""Credentials in texts and data that are written down."""

from __future__ import annotations

import pytest

from intccms import Config
from intccms.errors import ConfigError
from intccms.schema import load_config_with_restricted_cli
from intccms.schema.secrets import masked, masked_text
from tests.configurations import minimal, same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.token=TOK1", "a.token=***"),
        ('a.static_kwargs={"token": "TOK1", "cut": 3}', 'a.static_kwargs={"token": "***", "cut": 3}'),
        ("aws_secret_access_key=X/y+z", "aws_secret_access_key=***"),
        ("root://me:PASS@host//store/a.root", "root://me:***@host//store/a.root"),
        ("general.lumi=16400", "general.lumi=16400"),
        ("root://host:1094//store/a.root", "root://host:1094//store/a.root"),
    ],
)
def test_values_of_credentials_are_masked_and_nothing_else(text, expected):
    assert masked_text(text) == expected


def test_data_are_masked_by_key_at_any_depth():
    data = {"x": [{"api_token": "TOK1", "name": "n"}], "password": ["a", "b"], "n": 3}
    assert masked(data) == {"x": [{"api_token": "***", "name": "n"}], "password": ["***", "***"], "n": 3}


def test_the_dump_of_a_configuration_hides_a_token_in_constants():
    base = minimal()
    base["channels"][0]["selection"]["function"] = accept
    text = 'channels.SR.selection.static_kwargs={"token": "TOK1"}'
    config = load_config_with_restricted_cli(base, [text])
    assert config.channels[0].selection.static_kwargs == {"token": "TOK1"}
    assert "TOK1" not in str(config.to_json())


def accept(values, token="", cut=0):
    return values > 0


def test_a_process_cannot_be_data_and_simulation():
    base = minimal()
    base["datasets"]["datasets"][0]["process"] = "data"
    with pytest.raises(ConfigError, match="process 'data' holds data \\('data'\\) and simulation \\('tt'\\)"):
        Config(**base)


@pytest.mark.parametrize("name", ["process", "variation", "dataset"])
def test_an_observable_cannot_be_named_as_an_axis_of_the_histograms(name):
    base = minimal()
    observable = {"name": name, "function": same, "use": [("MET", "pt")], "binning": [0, 1]}
    base["channels"][0]["observables"] = [observable]
    with pytest.raises(ConfigError, match="names other than process, variation and dataset"):
        Config(**base)


def test_a_process_is_a_plain_name():
    base = minimal()
    base["datasets"]["datasets"][0]["process"] = "../up"
    with pytest.raises(ConfigError, match="process"):
        Config(**base)
