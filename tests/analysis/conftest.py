"""Input files and a Dask cluster, made once for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest

from intccms.analysis import AnalysisRunner
from intccms.facilities import acquire_client
from tests.analysis.toys import Toy, write_toys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Toy]]:
    """Two files of simulation, one of another dataset, one of data."""
    return write_toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """A client of two worker processes; a task of which one worker dies is not tried on another."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        acquire_client("local", num_workers=2) as (connected, _),
    ):
        yield connected


@pytest.fixture
def run_quietly() -> Callable[..., Any]:
    """Return a function that fills histograms of a configuration, without plots and progress bars."""

    def run(config: Any, client: Any = None) -> Any:
        return AnalysisRunner(config, client, progress=False).histogram()

    return run


@pytest.fixture
def contents() -> Callable[[Any], dict[tuple[str, str, str], np.ndarray]]:
    """Return a function that lists all arrays in an output, with flow bins, by what they are."""

    def listed(output: Any) -> dict[tuple[str, str, str], np.ndarray]:
        found = {}
        for channel, observables in output["histograms"].items():
            for observable, histogram in observables.items():
                view = histogram.view(flow=True)
                found[channel, observable, "value"] = np.asarray(view["value"])
                found[channel, observable, "variance"] = np.asarray(view["variance"])
                entries = output["entries"][channel][observable]
                found[channel, observable, "entries"] = np.asarray(entries.view(flow=True))
        return found

    return listed
