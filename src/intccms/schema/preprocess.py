"""What happens before the analysis proper: the loose filter, the chunks and the columns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from intccms.schema.base import Count, Function, Functor, Model, ObjVar, StaticArguments
from intccms.schema.places import Place
from intccms.schema.secrets import literal_credentials

__all__ = ["PreprocessConfig", "SkimOutput", "SkimmingConfig"]

_not_in_digest: dict[str, JsonValue] = {"digest": False}


class SkimOutput(Model):
    """Written skims: their format, their place and the options of the libraries that write and read them."""

    format: Literal["parquet", "ttree", "rntuple"] = "parquet"
    """File format of the parts: parquet, or ROOT files with a TTree like that of NanoAOD, or with an RNTuple."""
    output_dir: Place | None = Field(default=None, json_schema_extra=_not_in_digest)
    """Local folder or URL (``s3://bucket/skims``); default: `general.skimmed_dir`, else ``{output_dir}/skimmed``."""
    to_kwargs: StaticArguments = {}
    """Further options of ``awkward.to_parquet``, or ``compression`` and ``compression_level`` of ROOT files;
    ``storage_options`` go to the file system that is written to; credentials in them must be `WorkerEval`."""
    from_kwargs: StaticArguments = Field(default={}, json_schema_extra=_not_in_digest)
    """Further options of ``NanoEventsFactory.from_parquet``, or of ``uproot.open`` for ROOT files; ``storage_options``
    go to the file system, as in `to_kwargs`."""

    @field_validator("to_kwargs", "from_kwargs")
    @classmethod
    def _holds_no_credentials(cls, value: dict[str, Any]) -> dict[str, Any]:
        if found := list(literal_credentials(value)):
            message = (
                f"{', '.join(found)}: a credential stands here as text, which would go to the workers and to whoever "
                "gets the configuration. Let each worker look it up: WorkerEval(lambda: os.environ['NAME']), such as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. S3 needs no options for these two where they are set."
            )
            raise ValueError(message)
        return value

    @field_validator("to_kwargs")
    @classmethod
    def _leaves_the_array_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _without(value, ("array", "destination"))

    @field_validator("from_kwargs")
    @classmethod
    def _leaves_the_range_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        # a buffer cache would serve the columns of another part: parquet files have no identity in its keys
        return _without(value, ("file", "entry_start", "entry_stop", "metadata", "buffer_cache"))


def _without(options: dict[str, Any], ours: tuple[str, ...]) -> dict[str, Any]:
    if taken := sorted(set(options) & set(ours)):
        message = f"{', '.join(taken)} cannot be set here: each part has its own. Leave it out."
        raise ValueError(message)
    return options


class SkimmingConfig(Model):
    """The skim: a loose event filter, applied before any correction."""

    function: Function | None = None
    """Returns one boolean per event (or named cuts, as selections do); None keeps every event."""
    use: list[ObjVar] = []
    """Columns for the function."""
    static_kwargs: StaticArguments = {}
    """Constants for the function, by keyword."""
    chunk_size: Count = 100_000
    """Target number of events in a chunk, the unit of work; chunks of a file are made equally long."""
    output: SkimOutput = SkimOutput()
    """Written skims, where `general.save_skimmed_output` or `general.use_skimmed_input` ask for them."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_functor(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("function") is not None:
            keys = {key: data[key] for key in ("function", "use", "static_kwargs") if key in data}
            functor = Functor(**keys)
            return {**data, **{name: getattr(functor, name) for name in keys}}
        return data

    def functor(self) -> Functor | None:
        """Return the filter as a functor, or None if there is none."""
        if self.function is None:
            return None
        return Functor(function=self.function, use=self.use, static_kwargs=self.static_kwargs)


class PreprocessConfig(Model):
    """The skim, and the columns that whole-collection uses stand for."""

    branches: dict[str, list[str]] = {}
    """Narrows whole collections: ``{"Muon": ["pt", "eta"]}`` makes ``ObjVar("Muon")`` stand for those fields."""
    mc_branches: dict[str, list[str]] = {}
    """Further fields of whole collections that only simulation has."""
    ignore_missing: bool = False
    """True: a field listed in `branches` or `mc_branches` that a file lacks is left out instead of an error."""
    skimming: SkimmingConfig = SkimmingConfig()
    """The loose event filter."""
