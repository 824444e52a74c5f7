"""The demo: simulated NanoAOD with known truth, to run a whole analysis on without any input of one's own.

`generate` makes the files of a search for a heavy resonance that decays to t tbar, in muon + jets, and returns
the truth about them: sums of weights, and the events, candidates and m(tt) spectrum that the demo's selection
must find, counted independently of the analysis code.
"""

from __future__ import annotations

from intccms.demo.counting import MTT_BINS, MTT_EDGES, MTT_HIGH, MTT_LOW, SelectionCounts
from intccms.demo.generator import DEFAULT_SEED, GENERATOR_VERSION, generate
from intccms.demo.golden import GOLDEN_FILE
from intccms.demo.samples import DEMO_SAMPLES, LUMINOSITY, SIGNAL_STRENGTH, DemoSample
from intccms.demo.truth import TRUTH_FILE, DatasetTruth, DemoTruth, FileTruth

__all__ = [
    "DEFAULT_SEED",
    "DEMO_SAMPLES",
    "GENERATOR_VERSION",
    "GOLDEN_FILE",
    "LUMINOSITY",
    "MTT_BINS",
    "MTT_EDGES",
    "MTT_HIGH",
    "MTT_LOW",
    "SIGNAL_STRENGTH",
    "TRUTH_FILE",
    "DatasetTruth",
    "DemoSample",
    "DemoTruth",
    "FileTruth",
    "SelectionCounts",
    "generate",
]
