"""The JSON side of configurations: the schema with its help, and dumps that can be read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from intccms.schema import Config, load_config
from tests.configurations import minimal

UNITS = {
    ("GeneralConfig", "lumi"): "pb^-1",
    ("DatasetEntry", "cross_sections"): "pb",
    ("PlottingConfig", "com"): "TeV",
}


def fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    schema = Config.model_json_schema()
    for model, definition in {"Config": schema, **schema["$defs"]}.items():
        for name, field in definition.get("properties", {}).items():
            yield model, name, field


def test_every_field_of_the_schema_has_a_help_text():
    found = list(fields())
    assert {"general", "datasets", "channels"} <= {name for model, name, _ in found if model == "Config"}
    assert [(model, name) for model, name, field in found if not field.get("description", "").strip()] == []


@pytest.mark.parametrize(("place", "unit"), UNITS.items())
def test_fields_with_a_dimension_carry_their_unit_for_machines_and_for_people(place, unit):
    (field,) = [field for model, name, field in fields() if (model, name) == place]
    assert f'"unit": "{unit}"' in json.dumps(field)
    assert f"[{unit}]" in field["description"]


def test_every_help_text_that_names_a_unit_of_luminosity_or_cross_section_has_it_in_the_type_too():
    named = {(model, name) for model, name, field in fields() if "[pb" in field["description"]}
    assert named == {place for place, unit in UNITS.items() if unit.startswith("pb")}


def test_every_object_of_the_schema_refuses_unknown_keys():
    schema = Config.model_json_schema()
    assert [name for name, one in {"Config": schema, **schema["$defs"]}.items() if one["type"] == "object"
            and one.get("additionalProperties") is not False] == []  # fmt: skip


@pytest.mark.parametrize("source", [minimal(), "demo"], ids=["minimal", "demo"])
def test_a_dump_is_valid_by_the_schema_and_survives_json(source):
    dumped = load_config(source).to_json()
    assert json.loads(json.dumps(dumped)) == dumped
    jsonschema.validate(dumped, Config.model_json_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("source", [minimal(), "demo"], ids=["minimal", "demo"])
def test_a_dump_makes_the_same_configuration_again(source):
    config = load_config(source)
    again = Config(**json.loads(json.dumps(config.to_json())))
    assert again.to_json() == config.to_json()
    assert again.channels == config.channels
    assert again.digest("channels") == config.digest("channels")


def test_paths_and_executor_objects_are_dumped_as_text():
    class MyExecutor:
        def __call__(self):
            raise NotImplementedError

    configuration = minimal()
    configuration["general"] |= {"output_dir": Path("a/b"), "executor": MyExecutor()}
    general = Config(**configuration).to_json()["general"]
    assert (general["output_dir"], general["executor"]) == ("a/b", "MyExecutor")


def test_a_dump_of_constants_that_json_does_not_know_shows_them_as_text():
    configuration = minimal()
    constants = {"cut": 3, "table": {1: (2, 3)}, "names": {"a"}, "function": len, "path": Path("x")}
    configuration["channels"][0]["selection"] = {
        "function": lambda met, **kwargs: met,
        "use": [("MET", "pt")],
        "static_kwargs": constants,
    }
    dumped = Config(**configuration).to_json()["channels"][0]["selection"]["static_kwargs"]
    assert dumped == {
        "cut": 3,
        "table": {"1": [2, 3]},
        "names": ["a"],
        "function": "builtins:len",
        "path": "PosixPath('x')",
    }
