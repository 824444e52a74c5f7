"""Events made by hand, for the functions of the example."""

from __future__ import annotations

import awkward as ak
import pytest


def collection(events, *fields):
    """Make a collection of one tuple per object and event."""
    rows = [one for event in events for one in event]
    columns = {name: [row[index] for row in rows] for index, name in enumerate(fields)}
    return ak.unflatten(ak.zip(columns), [len(event) for event in events])


P4 = ("pt", "eta", "phi", "mass")


@pytest.fixture
def make():
    """The collections of the example: each function takes one list of tuples per event."""

    class Make:
        def muons(self, *events):
            return collection(events, *P4, "highPtId")

        def electrons(self, *events):
            return collection(events, "pt", "eta", "cutBased")

        def jets(self, *events):
            return collection(events, *P4, "jetId", "btagDeepFlavB")

        def fat_jets(self, *events):
            return collection(events, *P4, "jetId", "msoftdrop", "particleNet_TvsQCD")

    return Make()
