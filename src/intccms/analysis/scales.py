"""How each dataset counts in its process, in every variation: factors, yields, and sets of members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intccms.histograms import MemberSet, Scale
from intccms.systematics.plan import SystematicsPlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.analysis.normalise import Normalisation
    from intccms.schema import Config, Dataset

__all__ = ["member_sets", "scale_of", "variations_of"]


def scale_of(config: Config, dataset: Dataset, normalisation: Normalisation) -> Scale:
    """Return how a dataset is scaled.

    Theory weights are normalised to their own sums over generated events, so that they change shapes and acceptance
    and not the cross-section; normalisations change the yield alone.
    """
    plan = SystematicsPlan(config, dataset, config.selected_channels())
    variations = {
        shift.variation: normalisation.scale(shift.source.weight_sums, shift.key)
        for correction in plan.corrections
        if correction.type == "event"
        for shift in plan.shifts(correction)
        if shift.source.weight_sums is not None
    }
    return Scale(normalisation.factor, variations, plan.normalisation_factors, dataset.is_data)


def member_sets(config: Config, datasets: Iterable[Dataset]) -> list[MemberSet]:
    """Return the sources of all datasets that are sets of members, each once."""
    found: dict[str, MemberSet] = {}
    for dataset in datasets:
        plan = SystematicsPlan(config, dataset, config.selected_channels())
        for correction in plan.corrections:
            for source in plan.sources(correction):
                if source.members is not None:
                    names = tuple(name for name, _ in source.variations())
                    found.setdefault(source.name, MemberSet(source.name, names, source.combine))
    return list(found.values())


def variations_of(config: Config, datasets: Iterable[Dataset]) -> dict[str, list[str]]:
    """Return the variations that the histograms of each channel have, in order, whatever could be processed."""
    channels = config.selected_channels()
    found: dict[str, dict[str, None]] = {channel.name: {} for channel in channels}
    for dataset in datasets:
        plan = SystematicsPlan(config, dataset, channels)
        for channel in channels:
            found[channel.name] |= dict.fromkeys(plan.of_channel(channel))
    return {name: list(names) for name, names in found.items()}
