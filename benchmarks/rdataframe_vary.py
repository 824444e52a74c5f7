"""The analysis of two jets with ROOT RDataFrame and ``Vary``; run by a Python that has ROOT and need not have intccms.

``python rdataframe_vary.py FILE --sources N --met NAME --repeat N`` prints CPU times and histograms as JSON. With
``--sources 0`` there is no variation. The same selection is in `varied_configurations`.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from itertools import pairwise
from typing import Any

JETS_SHIFTED = """
using ROOT::RVec;

int in_region(double abseta, int source)
{
   return source % 3 == 0 || (abseta < 1.3) == (source % 3 == 1);
}

// up and down of each source, one after the other
RVec<RVec<double>> shifted(const RVec<double> &pt, const RVec<float> &eta, int sources)
{
   RVec<RVec<double>> all(2 * sources, RVec<double>(pt.size()));
   for (int source = 0; source < sources; ++source) {
      for (std::size_t i = 0; i < pt.size(); ++i) {
         const double size = 0.01 * (source + 1) / sources * (1.0 + 30.0 / pt[i]);
         const double shift = in_region(std::abs(double(eta[i])), source) ? size : 0.0;
         all[2 * source][i] = pt[i] * (1.0 + shift);
         all[2 * source + 1][i] = pt[i] * (1.0 - shift);
      }
   }
   return all;
}

double mass_of_two(const RVec<double> &pt, const RVec<float> &eta, const RVec<float> &phi)
{
   const auto order = ROOT::VecOps::StableArgsort(pt, [](double x, double y) { return x > y; });
   const auto a = order[0], b = order[1];
   const double deta = double(eta[a]) - double(eta[b]), dphi = double(phi[a]) - double(phi[b]);
   return std::sqrt(2.0 * pt[a] * pt[b] * (std::cosh(deta) - std::cos(dphi)));
}
"""

HISTOGRAMS = {
    "leading_pt": ("Max(good_pt)", 50, 0.0, 1500.0),
    "ht": ("Sum(good_pt)", 50, 0.0, 3000.0),
    "mjj": ("mass_of_two(good_pt, good_eta, good_phi)", 50, 0.0, 3000.0),
    "met": ("missing", 40, 50.0, 850.0),
}
"""Name -> expression, bins, start and stop [GeV]."""


def book(root: Any, path: str, *, sources: int, met: str, weight: str) -> tuple[dict[str, Any], Any]:
    """Return the histograms of a new graph, which run when they are looked at, and the number of selected events."""
    frame = root.RDataFrame("Events", path)
    frame = (
        frame.Filter("Sum(Muon_pt > 55 && abs(Muon_eta) < 2.4) == 1", "one muon")
        .Filter(f"{met}_pt > 50", "MET > 50 GeV")
        .Define("weight", f"double({weight})")
        .Define("missing", f"double({met}_pt)")
        .Define("jet_pt", "ROOT::RVec<double>(Jet_pt.begin(), Jet_pt.end())")
    )
    if sources:
        tags = [f"{source}_{direction}" for source in range(sources) for direction in ("up", "down")]
        frame = frame.Vary("jet_pt", f"shifted(jet_pt, Jet_eta, {sources})", tags, "jes")
    frame = (
        frame.Define("good", "jet_pt > 30 && abs(Jet_eta) < 2.4")
        .Define("good_pt", "jet_pt[good]")
        .Filter("good_pt.size() >= 2 && Max(good_pt) > 150 && Sum(good_pt > 50) >= 2", "two jets")
        .Define("good_eta", "Jet_eta[good]")
        .Define("good_phi", "Jet_phi[good]")
    )
    booked = {}
    for name, (expression, *binning) in HISTOGRAMS.items():
        model = root.RDF.TH1DModel(name, name, *binning)
        booked[name] = frame.Define(f"value_{name}", expression).Histo1D(model, f"value_{name}", "weight")
    if sources:
        booked = {name: root.RDF.Experimental.VariationsFor(one) for name, one in booked.items()}
    return booked, frame.Count()


def run(root: Any, path: str, *, sources: int, met: str, weight: str) -> tuple[dict[str, Any], int]:
    """Return filled histograms and the number of selected events."""
    booked, selected = book(root, path, sources=sources, met=met, weight=weight)
    for one in booked.values():
        if sources:
            one["nominal"]
        else:
            one.GetValue()
    return booked, int(selected.GetValue())


def contents(booked: dict[str, Any], *, sources: int) -> dict[str, dict[str, list[float]]]:
    """Return the bins of all histograms by variation, flow bins included."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, one in booked.items():
        every = {str(key): one[key] for key in one.GetKeys()} if sources else {"nominal": one.GetValue()}
        found[name] = {
            key.replace("jes:", "jes_"): [histogram.GetBinContent(i) for i in range(histogram.GetNcells())]
            for key, histogram in every.items()
        }
    return found


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--sources", type=int, default=27)
    parser.add_argument("--met", default="MET")
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import ROOT  # type: ignore[import-not-found,unused-ignore]

    ROOT.gInterpreter.ProcessLine("0;")  # only now are its libraries loaded
    times = [time.process_time()]
    ROOT.gInterpreter.Declare(JETS_SHIFTED)
    for _ in range(1 + options.repeat):
        booked, selected = run(
            ROOT, options.path, sources=options.sources, met=options.met, weight="genWeight"
        )
        times.append(time.process_time())
    weighted = contents(booked, sources=options.sources)
    counted, _ = run(ROOT, options.path, sources=options.sources, met=options.met, weight="1")
    passes = [after - before for before, after in pairwise(times)]
    print(
        json.dumps(
            {
                "version": ROOT.gROOT.GetVersion(),
                "start": times[0],
                "passes": passes,
                "selected": selected,
                "weighted": weighted,
                "counted": contents(counted, sources=options.sources),
            }
        )
    )


if __name__ == "__main__":
    main()
