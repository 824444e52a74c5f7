"""Folders and URLs of a run: what is a slip of the pen is told, and `~` is the home of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from intccms.errors import ConfigError
from intccms.schema import load_config

FOLDERS = ["general.output_dir", "general.metadata_dir", "general.cache_dir"]
PLACES = ["general.skimmed_dir", "general.ledger_url", "preprocess.skimming.output.output_dir"]


def value_of(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize("path", [*FOLDERS, *PLACES])
def test_the_home_of_the_user_is_found_as_the_shell_would(path, configuration, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = value_of(load_config(configuration, [f"{path}=~/kept"]), path)
    assert Path(found) == tmp_path / "kept"
    with pytest.raises(ConfigError, match="~nobody-of-this-name"):
        load_config(configuration, [f"{path}=~nobody-of-this-name/kept"])


@pytest.mark.parametrize("path", FOLDERS)
def test_a_url_is_no_local_folder(path, configuration):
    with pytest.raises(ConfigError, match=rf"{path}.*should be a local folder, not the URL"):
        load_config(configuration, [f"{path}=s3://bucket/kept"])


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("root:/host//store", "one slash behind the protocol; expected 'root://host//store'"),
        ("root://host//store/a?b=1", "question mark"),
    ],
)
def test_a_url_that_would_be_taken_for_another_place_is_refused(path, text, words, configuration):
    with pytest.raises(ConfigError) as caught:
        load_config(configuration, [f"{path}={text}"])
    assert words in str(caught.value)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "text", ["s3://bucket/a?b", "root://host:1094//store/a", "relative/a", "/absolute/a"]
)
def test_places_stay_what_they_are(text, configuration):
    assert load_config(configuration, [f"general.skimmed_dir={text}"]).general.skimmed_dir == text
