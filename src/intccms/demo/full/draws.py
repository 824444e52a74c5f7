"""Random numbers for the full content: one stream per column, so that a new column changes no other."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

__all__ = ["Draws"]


@dataclass(frozen=True, slots=True)
class Draws:
    """Random generators by name, for one cluster of events.

    Parameters
    ----------
    seed
        Seed of the file.
    sample
        What the events are, such as ``wjets 2018``; files of other samples differ at the same seed.
    cluster
        Position of the cluster in the file.
    """

    seed: int
    sample: str
    cluster: int

    def __call__(self, name: str) -> np.random.Generator:
        """Return a new generator that depends on seed, sample, cluster and ``name`` alone."""
        key = (zlib.crc32(self.sample.encode()), self.cluster, zlib.crc32(name.encode()))
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
