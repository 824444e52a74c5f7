"""Generate the demo: files of simulated NanoAOD and data, a golden JSON, and the truth about them.

`generate` is the whole interface. A folder that already holds what it would make is left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.demo.extra import check_extra_branches
from intccms.demo.golden import GOLDEN_FILE, golden_json, write_golden_json
from intccms.demo.production import CLUSTER_EVENTS, FileJob, produce_file
from intccms.demo.samples import (
    DEMO_SAMPLES,
    LUMINOSITY,
    SIGNAL_STRENGTH,
    DemoSample,
    select_samples,
)
from intccms.demo.truth import TRUTH_FILE, DatasetTruth, DemoTruth, FileTruth
from intccms.demo.writer import parse_compression
from intccms.errors import ConfigError, InputFileError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["DEFAULT_SEED", "GENERATOR_VERSION", "generate"]

logger = logging.getLogger(__name__)

GENERATOR_VERSION = 1
"""Raised by every change that gives other events, so that samples of an older version are made anew."""

DEFAULT_SEED = 20_240_805


def generate(
    folder: Path | str,
    *,
    scale: float = 1.0,
    seed: int = DEFAULT_SEED,
    workers: int = 2,
    extra_branches: int = 0,
    compression: str = "lzma",
    datasets: Iterable[str] | None = None,
    on_file: Callable[[Path, int], None] | None = None,
) -> DemoTruth:
    """Generate the demo's files in ``folder``, or find them there, and return the truth about them.

    The folder gets ``{dataset}_{i}.root``, ``golden.json`` and, last, ``truth.json``. If a ``truth.json`` of the
    same parameters is there and its files are complete, nothing is generated. At ``scale=1`` there are 202,000
    simulated and 12,000 recorded events in 12 files, together 30 MB. Files of an earlier generation in
    the same folder are removed first; other files are not touched.

    Parameters
    ----------
    folder
        Where the files go; made if it does not exist.
    scale
        Factor on the simulated events of a file and on the luminosity of data.
    seed
        Same seed, same events, whatever the number of workers.
    workers
        Processes; 1 works in this one. More than one start as fresh interpreters, so a script that calls this
        needs the usual ``if __name__ == "__main__"``.
    extra_branches
        Further branches per file; about 1,400 make the width of real NanoAOD. Laying out a tree takes a time
        that grows with the square of their number (9 s for 2,000).
    compression
        ``lzma``, ``zstd``, ``zlib`` or ``lz4``, with an optional level (``lzma:9``), or ``none``.
    datasets
        Names of the datasets to make; all by default. Data is always drawn from all processes.
    on_file
        Called with path and number of events of each file as it is finished, in no certain order; not called for
        files that were there.

    Returns
    -------
    DemoTruth
        Files, sums of weights and what the demo's selection keeps.

    Raises
    ------
    ConfigError
        If an argument is out of range.
    OutputError
        If the folder cannot be written, or a worker process died.
    """
    _check(scale, workers, extra_branches, compression)
    samples = select_samples(datasets)
    folder = Path(folder)
    parameters = {"scale": scale, "seed": seed, "extra_branches": extra_branches, "compression": compression}
    digest = _digest(samples, parameters)
    existing = _existing(folder)
    if existing is not None and existing.digest == digest and _complete(existing, folder):
        logger.info("the demo in %s is complete and matches; nothing to generate", folder)
        return existing
    jobs = [
        FileJob(folder, sample, index, scale, seed, extra_branches, compression)
        for sample in samples
        for index in range(sample.n_files)
    ]
    try:
        _prepare(folder, existing)
        files = _produce(jobs, workers, on_file)
        if any(sample.is_data for sample in samples):
            write_golden_json(folder / GOLDEN_FILE, _n_data_files())
        truth = DemoTruth(
            digest=digest,
            luminosity_pb=LUMINOSITY * scale,
            signal_strength=SIGNAL_STRENGTH,
            parameters=parameters,
            datasets={sample.name: _dataset_truth(sample, files) for sample in samples},
        )
        truth.save(folder)
    except BrokenProcessPool as exc:
        msg = (
            f"a process that was generating the demo in {folder} died. A script needs its calls under "
            "'if __name__ == \"__main__\":' for more than one worker; otherwise memory may have run out. "
            "Try again with workers=1."
        )
        raise OutputError(msg) from exc
    except OSError as exc:
        msg = f"cannot write the demo into {folder}: {exc}. Choose a folder with write access and free space."
        raise OutputError(msg) from exc
    return truth


def _check(scale: float, workers: int, extra_branches: int, compression: str) -> None:
    if not (math.isfinite(scale) and scale > 0.0):
        msg = f"cannot generate a demo of scale {scale}; expected a positive number, 1 for the standard size."
        raise ConfigError(msg)
    if workers < 1:
        msg = f"cannot generate a demo with {workers} workers; expected 1 or more."
        raise ConfigError(msg)
    check_extra_branches(extra_branches)
    parse_compression(compression)


def _n_data_files() -> int:
    return sum(sample.n_files for sample in DEMO_SAMPLES if sample.is_data)


def _digest(samples: tuple[DemoSample, ...], parameters: dict[str, object]) -> str:
    """Return the content hash of everything that decides the files; all samples count, data is drawn from them."""
    content = {
        "version": GENERATOR_VERSION,
        "cluster": CLUSTER_EVENTS,
        "luminosity": LUMINOSITY,
        "signal_strength": SIGNAL_STRENGTH,
        "golden": golden_json(_n_data_files()),
        "samples": [asdict(sample) for sample in DEMO_SAMPLES],
        "datasets": [sample.name for sample in samples],
        "parameters": parameters,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _existing(folder: Path) -> DemoTruth | None:
    if not (folder / TRUTH_FILE).exists():
        return None
    try:
        return DemoTruth.load(folder)
    except InputFileError as exc:
        logger.warning("%s", exc)
        return None


def _complete(truth: DemoTruth, folder: Path) -> bool:
    """Whether all files are there with the sizes that were written."""
    expected = {
        folder / file.name: file.n_bytes for dataset in truth.datasets.values() for file in dataset.files
    }
    if any(dataset.is_data for dataset in truth.datasets.values()) and not (folder / GOLDEN_FILE).is_file():
        return False
    return all(path.is_file() and path.stat().st_size == size for path, size in expected.items())


def _prepare(folder: Path, existing: DemoTruth | None) -> None:
    """Make the folder, and remove what an earlier generation left, its truth first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRUTH_FILE).unlink(missing_ok=True)
    if existing is None:
        return
    for dataset in existing.datasets.values():
        for file in dataset.files:
            (folder / Path(file.name).name).unlink(missing_ok=True)
    (folder / GOLDEN_FILE).unlink(missing_ok=True)


def _produce(
    jobs: list[FileJob], workers: int, on_file: Callable[[Path, int], None] | None
) -> dict[str, FileTruth]:
    """Return the finished files by name."""
    files: dict[str, FileTruth] = {}
    for path, truth in _finished(jobs, workers):
        files[truth.name] = truth
        if on_file is not None:
            on_file(path, truth.events)
    return files


def _finished(jobs: list[FileJob], workers: int) -> Iterator[tuple[Path, FileTruth]]:
    if workers == 1:
        yield from ((job.path, produce_file(job)) for job in jobs)
        return
    # the longest first, so that no worker is left alone with a long one at the end
    longest_first = sorted(jobs, key=lambda job: job.sample.events_per_file, reverse=True)
    # not "fork": the caller may have threads (Jupyter, Dask), and a forked lock can stay locked for ever
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        pending = {pool.submit(produce_file, job): job for job in longest_first}
        try:
            for future in as_completed(pending):
                yield pending[future].path, future.result()
        finally:
            for future in pending:
                future.cancel()


def _dataset_truth(sample: DemoSample, files: dict[str, FileTruth]) -> DatasetTruth:
    names = [f"{sample.name}_{index}.root" for index in range(sample.n_files)]
    return DatasetTruth(
        name=sample.name,
        process=sample.process,
        is_data=sample.is_data,
        xsec_pb=sample.xsec_pb,
        files=tuple(files[name] for name in names),
    )
