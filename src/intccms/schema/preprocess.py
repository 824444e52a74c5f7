"""What happens before the analysis proper: the loose filter, the chunks and the columns."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from intccms.schema.base import Count, Function, Functor, Model, ObjVar, StaticArguments

__all__ = ["PreprocessConfig", "SkimmingConfig"]


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
