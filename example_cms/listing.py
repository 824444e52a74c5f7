"""Write the lists of files that the configuration reads: ``python -m example_cms.listing [DATASET_YEAR ...]``.

Asks DAS through ``dasgoclient``, which needs a grid proxy. Not needed where ``datasets.base_dir`` says where files are.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from .configs.datasets import LISTINGS, SAMPLES, das_names
from .configs.eras import ERAS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["main", "write_listing"]

logger = logging.getLogger(__name__)


def write_listing(name: str, year: str, folder: Path = LISTINGS) -> Path:
    """Write the files of a dataset of an era, one text file for each dataset in DAS.

    Returns
    -------
    pathlib.Path
        The folder with the text files.

    Raises
    ------
    FileNotFoundError
        If there is no ``dasgoclient``.
    LookupError
        If DAS knows no such dataset, or no file of it.
    """
    target = folder / f"{name}_{year}"
    found = {}
    for pattern in das_names(name, ERAS[year]):
        dataset = _newest(_ask(f"dataset={pattern}"), pattern)
        files = _ask(f"file dataset={dataset}")
        if not files:
            message = f"DAS lists no file of {dataset}. Look it up at https://cmsweb.cern.ch/das."
            raise LookupError(message)
        found[dataset] = sorted(files)
    # only now: a folder says that its listing is complete
    target.mkdir(parents=True, exist_ok=True)
    for dataset, files in found.items():
        text = "\n".join([f"# {dataset}", *files, ""])
        (target / f"{dataset.strip('/').replace('/', '--')}.txt").write_text(text, encoding="utf-8")
        logger.info("%s: %d files of %s", target.name, len(files), dataset)
    return target


def main(wanted: list[str]) -> None:
    """Write the listings of the datasets that are named, or of all that have none."""
    names = [(name, year) for name in ("data", *(sample.name for sample in SAMPLES)) for year in ERAS]
    if unknown := set(wanted) - {f"{name}_{year}" for name, year in names}:
        message = f"no dataset {', '.join(sorted(unknown))}: names are those of the configuration, such as data_2018."
        raise LookupError(message)
    for name, year in names:
        if f"{name}_{year}" in wanted or not (wanted or (LISTINGS / f"{name}_{year}").is_dir()):
            write_listing(name, year)


def _command(wanted: list[str]) -> int:
    """Write the listings, and return the exit status: 2 with one line if DAS cannot be asked or does not know."""
    try:
        main(wanted)
    except FileNotFoundError:
        sys.stderr.write(
            "error: there is no 'dasgoclient' on the PATH, which asks DAS for the files. Set up CMS software (CVMFS) and a grid "
            "proxy, or name a folder with the files: datasets.base_dir=FOLDER needs no lists.\n"
        )
    except subprocess.CalledProcessError as exc:
        lines = (exc.stderr or exc.stdout or "no message").strip().splitlines()
        sys.stderr.write(
            f"error: dasgoclient failed: {lines[-1]} A grid proxy is needed (voms-proxy-init).\n"
        )
    except LookupError as exc:
        sys.stderr.write(f"error: {exc.args[0]}\n")
    else:
        return 0
    return 2


def _ask(query: str) -> list[str]:
    command = ["dasgoclient", "-query", query]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return answer.stdout.split()


def _newest(datasets: list[str], pattern: str) -> str:
    if not datasets:
        message = f"DAS knows no dataset {pattern}. Correct its name in example_cms/configs."
        raise LookupError(message)
    return max(datasets, key=lambda name: [int(number) for number in re.findall(r"-v(\d+)/", name)])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(_command(sys.argv[1:]))
