"""What a run does: luminosity, executor, stage switches, filters and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, PlainSerializer

from intccms.schema.base import Count, InversePicobarn, Model, YearKey
from intccms.schema.explain import did_you_mean
from intccms.schema.places import Folder, Place

__all__ = ["GeneralConfig"]

_not_in_digest: dict[str, JsonValue] = {"digest": False}
_EXECUTORS = ("iterative", "futures", "dask")


def _known_executor(value: Any) -> Any:
    if value in _EXECUTORS or (not isinstance(value, str) and callable(value)):
        return value
    near = did_you_mean(value, _EXECUTORS) if isinstance(value, str) else ""
    message = (
        f"should be {', '.join(map(repr, _EXECUTORS))} or a coffea executor object, not {value!r}.{near}"
    )
    raise ValueError(message)


class GeneralConfig(Model):
    """General settings and the switches of the stages."""

    lumi: InversePicobarn | dict[YearKey, InversePicobarn] | None = None
    """Integrated luminosity [pb^-1]: one number, or one per year. Needed as soon as simulation is read."""
    weight_branch: str = "genWeight"
    """Branch with the generator weight of simulated events; a dataset may name another."""

    executor: Annotated[
        Any,
        AfterValidator(_known_executor),
        PlainSerializer(
            lambda value: value if isinstance(value, str) else type(value).__name__, when_used="json"
        ),
        Field(json_schema_extra={**_not_in_digest, "enum": [*_EXECUTORS]}),
    ] = "dask"
    """Where chunks run: one after the other, local processes, or Dask (a local cluster if no client is given).
    In Python also any coffea executor object."""
    workers: Count | None = Field(default=None, json_schema_extra=_not_in_digest)
    """Number of worker processes of ``futures`` and of a local Dask cluster; default: the cores of this machine."""
    analysis: Literal["nondiff", "skip"] = "nondiff"
    """``nondiff``: fill histograms. ``skip``: leave it at the skim."""

    run_metadata_generation: bool = Field(default=True, json_schema_extra=_not_in_digest)
    """Read entries and sums of weights of every file. False: use what is stored; an error if that is not enough."""
    run_skimming: bool = False
    """(Re)write skims first, ignoring existing parts."""
    save_skimmed_output: bool = False
    """Write skims in this pass."""
    use_skimmed_input: bool = False
    """Read skims instead of the source."""
    run_processor: bool = True
    """False: no events are read; histograms come from the run directory."""
    run_analysis: bool = True
    """False: stop after the skim."""
    run_histogramming: bool = True
    """False: selection and cutflow only."""
    run_systematics: bool = True
    """False: nominal only."""
    tile_rows: Count = Field(default=200_000, json_schema_extra=_not_in_digest)
    """Events, each counted once for every variation of objects, that a worker holds at a time: variations are processed in
    batches of at most so many (one variation at least). Bounds memory; changes no result."""
    run_mva_training: bool = False
    """Train the models of the configuration."""
    run_statistics: bool = False
    """Fit the histograms."""
    run_plots_only: bool = Field(default=False, json_schema_extra=_not_in_digest)
    """Plots from the run directory, nothing else."""
    read_from_cache: bool = Field(default=True, json_schema_extra=_not_in_digest)
    """Use local copies of remote skim parts."""

    processes: list[str] | None = None
    """Only these processes; default: all."""
    channels: list[str] | None = None
    """Only these channels; default: all."""

    output_dir: Folder = Field(default=Path("outputs"), json_schema_extra=_not_in_digest)
    """The run directory."""
    metadata_dir: Folder | None = Field(default=None, json_schema_extra=_not_in_digest)
    """Where metadata of files are kept; default: ``{output_dir}/metadata``. May be shared by several runs."""
    skimmed_dir: Place | None = Field(default=None, json_schema_extra=_not_in_digest)
    """Folder or URL of skims, unless `preprocess.skimming.output` has its own; default: ``{output_dir}/skimmed``."""
    cache_dir: Folder | None = Field(default=None, json_schema_extra=_not_in_digest)
    """Where workers keep local copies, in ``skims``; default: ``$XDG_CACHE_HOME/intccms`` or ``~/.cache/intccms``."""
    ledger_url: Place | None = Field(default=None, json_schema_extra=_not_in_digest)
    """Folder or URL where results of chunks are kept, so that nothing is done twice; default: ``{output_dir}/ledger``.
    May be shared by several runs."""
    min_coverage: float = Field(default=1.0, ge=0.0, le=1.0, json_schema_extra=_not_in_digest)
    """Fraction of entries of the worst dataset that must be processed for the exit status to be zero."""
