"""The stage switches: which combinations mean something, and which are refused.

Expected outcomes are the mode table of the documentation, written out case by case.
"""

from __future__ import annotations

import itertools

import pytest

from intccms.errors import ConfigError
from intccms.schema import Config

SWITCHES = ("run_skimming", "save_skimmed_output", "run_analysis", "use_skimmed_input")

MODES = {
    # run_skimming, save_skimmed_output, run_analysis, use_skimmed_input
    (False, False, True, False): None,
    (False, True, True, False): None,
    (False, True, False, False): None,
    (False, False, True, True): None,
    (False, False, False, False): "nothing to do",
    (False, False, False, True): "nothing to do",
    (False, True, True, True): "skims of skims",
    (False, True, False, True): "skims of skims",
    (True, False, True, False): "set general.use_skimmed_input=True as well",
    (True, False, False, False): "set general.use_skimmed_input=True as well",
    (True, False, True, True): None,
    (True, False, False, True): None,
    (True, True, True, False): None,
    (True, True, False, False): None,
    (True, True, True, True): None,
    (True, True, False, True): None,
}


def test_the_table_covers_every_combination():
    assert set(MODES) == set(itertools.product([True, False], repeat=len(SWITCHES)))


@pytest.mark.parametrize(("values", "words"), MODES.items())
def test_each_combination_of_the_skim_switches_does_what_the_table_says(configuration, values, words):
    configuration["general"] |= dict(zip(SWITCHES, values, strict=True))
    if words is None:
        assert Config(**configuration).analyses == values[2]
        return
    with pytest.raises(ConfigError) as caught:
        Config(**configuration)
    assert words in str(caught.value)
    assert str(caught.value).count("general.") >= 1


@pytest.mark.parametrize(
    ("general", "words"),
    [
        ({"analysis": "skip"}, "nothing to do"),
        ({"run_analysis": False}, "general.run_processor=False to leave out the events"),
    ],
)
def test_a_run_that_would_do_nothing_is_refused_with_the_way_out(configuration, general, words):
    configuration["general"] |= general
    with pytest.raises(ConfigError, match=words):
        Config(**configuration)


@pytest.mark.parametrize(
    "general",
    [
        {"analysis": "skip", "save_skimmed_output": True},
        {"run_plots_only": True},
        {"run_plots_only": True, "run_analysis": False},
        {"run_processor": False},
        {"run_processor": False, "run_analysis": False},
        {"run_histogramming": False},
        {"run_metadata_generation": False},
        {"run_systematics": False},
    ],
)
def test_switching_off_single_stages_is_allowed(configuration, general):
    configuration["general"] |= general
    config = Config(**configuration)
    assert {name: getattr(config.general, name) for name in general} == general


def test_contradictory_assignments_are_found_by_the_check_before_a_run(configuration):
    config = Config(**configuration)
    config.general.run_skimming = True
    with pytest.raises(ConfigError, match=r"use_skimmed_input=True as well"):
        config.check()
