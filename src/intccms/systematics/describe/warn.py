"""What a plan has that is probably not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.schema.base import ObjVar
from intccms.schema.correction_lists import years_named
from intccms.schema.reach import reach
from intccms.systematics.describe.steps import few
from intccms.systematics.describe.years import corrections_of, years_by_source
from intccms.systematics.plan import SystematicsPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from intccms.schema import Config
    from intccms.schema.corrections import Correction, UncertaintySource

__all__ = ["slips_of", "warnings_of"]

_MET = frozenset({"MET", "PuppiMET", "ChsMET", "PFMET"})
_JETS = ("Jet", "FatJet")
_SCALE = "jes"
"""What the names of uncertainty sources of the jet energy scale begin with."""


def warnings_of(plans: Sequence[SystematicsPlan]) -> list[str]:
    """Return warnings about the plans of all datasets, each once, with the years that it is about."""
    found: dict[str, dict[str, None]] = {}
    simulated = [plan for plan in plans if not plan.dataset.is_data]
    for plan in simulated:
        for text in (*_met(plan), *_jets(plan), *_dropped(plan), *_slips(plan)):
            found.setdefault(text, {})[plan.dataset.year or ""] = None
    years = list(dict.fromkeys(plan.dataset.year or "" for plan in simulated))
    merged = [
        text if set(there) == set(years) else f"{', '.join(there)}: {text}" for text, there in found.items()
    ]
    return [*merged, *_incomplete(simulated), *(_years(simulated, years) if len(years) > 1 else ())]


def slips_of(config: Config) -> list[str]:
    """Return what the corrections of the selected datasets have that is more often a slip than meant, each once."""
    channels = config.selected_channels()
    plans = [SystematicsPlan(config, one, channels) for one in config.selected_datasets() if not one.is_data]
    return list(dict.fromkeys(text for plan in plans for text in _slips(plan)))


def _met(plan: SystematicsPlan) -> Iterator[str]:
    """Yield collections of missing momentum that do not follow the jets."""
    moved = [one.name for one in plan.chain if one.targets_collection == "Jet" and "pt" in one.targets_fields]
    if not moved:
        return
    for collection, readers in _readers(plan).items():
        is_met = collection in _MET or collection.startswith("DeepMET")
        if is_met and collection not in plan.corrected:
            yield (
                f"{few(readers)} {_verb(readers, 'read')} {collection}, which stays as it was read while {few(moved)} "
                f"{_verb(moved, 'change')} Jet. To follow the jets, it takes an object correction of {collection}: with "
                "the payloads of its kind of jets (Puppi for PuppiMET), or with the shifts that NanoAOD stores "
                "(intccms.systematics.met.stored_met)."
            )


def _jets(plan: SystematicsPlan) -> Iterator[str]:
    """Yield kinds of jets that are used, and of which only the other one moves with the energy scale."""
    readers = _readers(plan)
    scales = [name for name in plan.object_variations if name.lower().startswith(_SCALE)]
    moved = frozenset().union(*plan.touches(scales).values())
    for one, other in (_JETS, _JETS[::-1]):
        if one in readers and other in moved and one not in moved:
            yield (
                f"{few(readers[one])} {_verb(readers[one], 'read')} {one}, but the sources of the jet energy scale vary "
                f"{other} only. Correct {one} as well, with sources that say varies_with."
            )


def _dropped(plan: SystematicsPlan) -> Iterator[str]:
    """Yield corrections whose result nothing uses."""
    there = {one.name for one in corrections_of(plan)}
    for one in plan.corrections:
        if one.name not in there:
            sources = [source.name for source in plan.sources(one)]
            lost = f", and the sources {few(sources)} are left out" if sources else ""
            yield (
                f"correction {one.name!r} changes {', '.join(map(str, one.target or []))}, which no channel uses: it is "
                f"not evaluated{lost}."
            )


def _slips(plan: SystematicsPlan) -> Iterator[str]:
    """Yield what is allowed in a correction, and more often a slip."""
    for one in plan.corrections:
        for source in plan.sources(one):
            if one.type != "normalisation" and _has_nominal_key(one, source):
                yield (
                    f"source {source.name!r} of {one.name} has the nominal key {one.nominal_idx!r} in up_and_down_idx: that "
                    "direction varies nothing."
                )
            if source.name.endswith(("_up", "_down")):
                yield (
                    f"source {source.name!r} of {one.name} is named like a variation: it makes {source.name}_up and "
                    f"{source.name}_down. A source is one nuisance with both directions."
                )
        whole = [x for x in one.args if isinstance(x, ObjVar) and x.field is None and x.collection != "event"]
        if one.uses_payload and one.transform_in is not None and len(one.args) > 1 and whole:
            yield (
                f"{one.name}: its payload gets what transform_in makes of the whole collection {whole[0].collection}, which has "
                f"to be a field of it, such as pt: abs({whole[0].collection.lower()}) is the mass."
            )


def _has_nominal_key(correction: Correction, source: UncertaintySource) -> bool:
    """Tell whether one direction of a source is the nominal evaluation."""
    own = (source.key, source.file, source.args, source.up_function)
    nominal = correction.nominal_idx
    if source.is_delta or nominal is None or any(item is not None for item in own):
        return False
    return any(type(key) is type(nominal) and key == nominal for key in source.up_and_down_idx or ())


def _incomplete(plans: Sequence[SystematicsPlan]) -> Iterator[str]:
    """Yield the corrections that some files may do without, once for all years and datasets."""
    lenient = list(
        dict.fromkeys(
            one.name for plan in plans for one in (*plan.chain, *plan.weights) if one.ignore_missing
        )
    )
    if lenient:
        yield (
            f"{', '.join(lenient)} {_verb(lenient, 'change')} nothing where a file lacks a column of "
            f"{'theirs' if len(lenient) > 1 else 'its own'} (ignore_missing)."
        )


def _years(plans: Sequence[SystematicsPlan], years: Sequence[str]) -> Iterator[str]:
    """Yield sources that some years have, although their names do not end in these years."""
    partial: dict[tuple[str, ...], list[str]] = {}
    for name, mine in years_by_source(plans).items():
        if not years_named(name, years) and set(mine) != set(years):
            partial.setdefault(tuple(mine), []).append(name)
    for those, names in partial.items():
        lacking = [year for year in years if year not in those]
        yield (
            f"{few(names)}: in {', '.join(those)}, not in {', '.join(lacking)}, and not of one year by its name: one "
            "nuisance for all years that have it, and no effect in the others."
        )


def _readers(plan: SystematicsPlan) -> dict[str, list[str]]:
    """Return collection -> the functors that read it."""
    config = plan.config
    reached = reach(config, plan.channels, plan.corrections)
    uses: dict[str, list[ObjVar]] = {}
    for index in reached.masks:
        mask = config.good_object_masks[index]
        uses[f"good_object_masks.{index}"] = [ObjVar(mask.collection), *mask.use]
    if config.baseline_selection is not None:
        uses["baseline_selection"] = config.baseline_selection.use
    for index in reached.ghosts:
        uses[f"ghost_observables.{index}"] = config.ghost_observables[index].use
    for channel in plan.channels:
        if channel.selection is not None:
            uses[f"channels.{channel.name}.selection"] = channel.selection.use
        for observable in channel.observables:
            uses[f"channels.{channel.name}.observables.{observable.name}"] = observable.use
    found: dict[str, list[str]] = {}
    for name, columns in uses.items():
        for collection in dict.fromkeys(ObjVar(*column).collection for column in columns):
            found.setdefault(collection, []).append(name)
    return found


def _verb(names: Sequence[str], verb: str) -> str:
    return verb if len(names) > 1 else f"{verb}s"
