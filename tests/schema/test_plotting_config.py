"""The options of plots: what they accept, and what they say of mistakes."""

import pytest

from intccms.errors import ConfigError
from intccms.schema.plotting import PlottingConfig


def test_options_survive_json():
    options = PlottingConfig(
        formats=["pdf", "png"],
        rebin={"met": 2, "SR/mtt": [0, 100, 500]},
        x_range={"met": (0, 300)},
        signals=["zprime"],
        signal_scale={"zprime": 10},
        ratio_range=(0, 2),
        com=13.6,
    )
    assert PlottingConfig(**options.model_dump(mode="json")) == options


def test_every_option_explains_itself():
    assert [name for name, field in PlottingConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": ["png"]}, r"unknown key 'format'. Did you mean 'formats'\?"),
        ({"formats": []}, "formats: .*at least 1"),
        ({"formats": ["png", "png"]}, r"\['png'\] listed more than once"),
        ({"formats": ["jpg"]}, "'png', 'pdf' or 'svg'"),
        ({"y_scale": "logarithmic"}, "y_scale: .*'linear', 'log' or 'both'"),
        ({"rebin": {"met": 0}}, "greater than or equal to 1"),
        ({"rebin": {"met": [0, 2, 1]}}, "edges must increase, but 1 follows 2"),
        ({"rebin": {"met": [3]}}, "at least 2"),
        ({"x_range": {"met": (3, 3)}}, r"upper end must lie above the lower one, but the range is \(3, 3\)"),
        ({"ratio_range": (2, 0)}, r"the range is \(2, 0\)"),
        ({"signals": ["a"], "signal_scale": {"b": 2}}, r"'signal_scale' names \['b'\].*'signals' \['a'\]"),
        ({"signal_scale": 0}, "greater than 0"),
        ({"order": ["a", "b", "a"]}, r"\['a'\] listed more than once"),
        ({"com": -13}, "com: .*greater than 0"),
        ({"dpi": 5}, "dpi: .*greater than or equal to 20"),
    ],
)
def test_mistakes_name_the_field_and_what_was_expected(options, words):
    with pytest.raises(ConfigError, match=words):
        PlottingConfig(**options)


def test_assignments_are_checked_like_constructions():
    options = PlottingConfig()
    options.ratio_range = (0.8, 1.2)
    with pytest.raises(ConfigError, match="ratio_range"):
        options.ratio_range = (1.2, 0.8)


def test_one_factor_serves_all_signals_and_a_dict_those_it_names():
    assert PlottingConfig(signal_scale=7).scale_of("a") == 7
    options = PlottingConfig(signals=["a", "b"], signal_scale={"a": 3})
    assert (options.scale_of("a"), options.scale_of("b")) == (3, 1)
