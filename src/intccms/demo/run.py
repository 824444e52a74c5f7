"""The demo from start to end: make the input, run the analysis, compare with the truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from intccms.analysis import AnalysisRunner
from intccms.analysis.progress import show_progress
from intccms.demo.compare import compare_with_truth
from intccms.demo.config import DEMO_FOLDER, demo_config
from intccms.demo.generator import DEFAULT_SEED, generate
from intccms.demo.samples import DEMO_SAMPLES
from intccms.schema import load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from intccms.demo.truth import DemoTruth

__all__ = ["make_input", "run_demo"]


def make_input(
    folder: Path | str = DEMO_FOLDER,
    *,
    scale: float = 1.0,
    seed: int = DEFAULT_SEED,
    workers: int | None = None,
) -> DemoTruth:
    """Make the input of the demo below ``{folder}/input``, or find it there, with a progress bar.

    Returns
    -------
    DemoTruth
        What is in the files.
    """
    files = sum(sample.n_files for sample in DEMO_SAMPLES)
    with show_progress("simulate", files, "files") as advance:
        made: list[Path] = []

        def note(path: Path, events: int) -> None:
            del events
            made.append(path)
            advance(1)

        truth = generate(
            Path(folder) / "input",
            scale=scale,
            seed=seed,
            workers=workers or os.cpu_count() or 1,
            on_file=note,
        )
        advance(files - len(made))  # those that were there
        return truth


def run_demo(
    folder: Path | None = None,
    *,
    scale: float = 1.0,
    seed: int | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    show: Callable[[Any], None] = lambda _result: None,
) -> int:
    """Run the demo and return the exit status: 0 if everything was processed and agrees with the truth.

    Parameters
    ----------
    folder
        Where input and output go; None for ``./intccms-demo``.
    scale
        Number of events, in units of the default.
    seed
        Seed of the simulation.
    workers
        Processes.
    overrides
        ``key=value`` texts for the configuration.
    show
        Prints the result of the run.
    """
    folder = folder or DEMO_FOLDER
    truth = make_input(folder, scale=scale, seed=DEFAULT_SEED if seed is None else seed, workers=workers)
    config = load_config(demo_config(folder, lumi=truth.luminosity_pb), overrides)
    if workers is not None:
        config.general.workers = workers
    result = AnalysisRunner(config).run()
    show(result)
    comparison = compare_with_truth(result.output, truth)
    Console().print(comparison)
    return 0 if result.succeeded and comparison.agrees else 1
