"""Credentials in texts and data that are written down."""

from __future__ import annotations

import base64
from urllib.parse import quote
from uuid import uuid4

import pytest

from intccms import Config
from intccms.errors import ConfigError
from intccms.schema import Functor, WorkerEval, load_config_with_restricted_cli
from intccms.schema.secrets import masked, masked_source, masked_text
from tests.configurations import minimal, same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.token=TOK1", "a.token=***"),
        ('a.static_kwargs={"token": "TOK1", "cut": 3}', 'a.static_kwargs={"token": "***", "cut": 3}'),
        ("aws_secret_access_key=X/y+z", "aws_secret_access_key=***"),
        ("root://me:PASS@host//store/a.root", "root://me:***@host//store/a.root"),
        ("general.lumi=16400", "general.lumi=16400"),
        ("login (my_secrets.py:12) raised", "login (my_secrets.py:12) raised"),
        ("password: 'two words, and a \" mark', x", "password: '***', x"),
        ('{\\"token\\": \\"a b\\"}', '{\\"token\\": \\"***\\"}'),
        ("Authorization: Bearer abc.def-1", "Authorization: ***"),
        ("https://host/a?authz=Bearer%20abc", "https://host/a?authz=***"),
        ("s3://host/a?X-Amz-Signature=0a1b", "s3://host/a?X-Amz-Signature=***"),
        ("basic selections, bearers of tokens", "basic selections, bearers of tokens"),
        ("root://host:1094//store/a.root", "root://host:1094//store/a.root"),
        ("root://host:1094//store/a@b.root", "root://host:1094//store/a@b.root"),
        ("root://me:PA/SS@host//store", "root://me:***@host//store"),
        ("abfs://c/a?sv=2024&sig=aB%2Fc&se=1", "abfs://c/a?sv=2024&sig=***&se=1"),
        ('{"url":"https://a","mail":"x/y@z"}', '{"url":"https://a","mail":"x/y@z"}'),
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


SOURCE = """
import os
token = os.environ["MY_TOKEN"]  # looked up: stays
api_token: str = "TOK1"
store = {"password": 'TOK1', "name": "n", "url": "https://me:TOK1@host/a"}
open_store(secret="TOK1", cut=3)
self.credentials["secret"] = '''TOK1
TOK1'''
def login(user, password="TOK1", *, key_secret="TOK1"): ...
passing = "a word"
"""


def test_code_is_kept_without_the_credentials_that_stand_in_it():
    hidden = masked_source(SOURCE)
    assert "TOK1" not in hidden
    assert 'token = os.environ["MY_TOKEN"]  # looked up: stays' in hidden
    assert 'open_store(secret="***", cut=3)' in hidden
    assert 'passing = "a word"' in hidden
    compile(hidden, "config.py", "exec")


def test_code_without_credentials_stays_as_it_is():
    code = "def cut(token):\n    return token == 'x'  # token: yes\n"
    assert masked_source(code) == code


@pytest.mark.parametrize("form", ["{0}", "a{0}b", "{1}", "{2}", "{3!r}"])
def test_values_that_are_known_are_hidden_in_all_forms(form, monkeypatch):
    value = "wJalr/XUtn+FEMI'K7 MDENG"
    text = form.format(value, quote(value, safe=""), base64.b64encode(value.encode()).decode(), value)
    assert masked_text(text) == text
    monkeypatch.setenv("MY_STORE_SECRET", value)
    assert "FEMI" not in masked_text(text)
    assert "***" in masked_text(text)
    assert "FEMI" not in str(ConfigError(f"no {text}"))


def test_values_of_other_variables_and_paths_of_credentials_are_no_secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_STORE_NAME", "an-ordinary-word")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(tmp_path))
    monkeypatch.setenv("MY_SHORT_TOKEN", "abc")
    text = f"an-ordinary-word {tmp_path} abc"
    assert masked_text(text) == text


def test_what_worker_eval_computed_is_known_from_then_on():
    value = f"computed-{uuid4()}"
    assert masked_text(value) == value
    assert WorkerEval(lambda: {"a": [value], "n": 3})() == {"a": [value], "n": 3}
    assert masked_text(f"see {value}") == "see ***"
    assert WorkerEval(lambda: "https://store.example:9000")() == "https://store.example:9000"
    assert masked_text("https://store.example:9000") == "https://store.example:9000"


def test_an_override_that_is_refused_is_shown_without_its_credential():
    with pytest.raises(ConfigError) as caught:
        load_config_with_restricted_cli(minimal(), ['general.lumi={"token": "TOK1"}'])
    assert "TOK1" not in str(caught.value)


def test_a_display_of_a_configuration_shows_no_credential():
    functor = Functor(function=accept, use=[("MET", "pt")], static_kwargs={"token": "TOK1", "cut": 3})
    assert "TOK1" not in repr(functor)
    assert "'cut': 3" in repr(functor)


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
