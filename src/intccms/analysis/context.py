"""What a run leaves for later commands: its configuration as it was, what it wanted, and where its ledger is."""

from __future__ import annotations

import json
import logging
import pickle
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from intccms.analysis.ledger import Ledger
from intccms.analysis.ledger.names import RUNS, short_hash
from intccms.schema.loading import config_modules
from intccms.schema.secrets import credentials_in_source, exposed_by, masked_text
from intccms.utils.files import write_atomically
from intccms.utils.pickling import pickled_by_value
from intccms.utils.storage import Storage
from intccms.utils.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from intccms.analysis.ledger import DatasetPlan
    from intccms.schema import Config
    from intccms.utils.output import RunDirectory

__all__ = ["open_ledger", "other_runs", "register", "write_context", "write_plan"]

logger = logging.getLogger(__name__)

_PARTS = (
    "datasets",
    "preprocess",
    "good_object_masks",
    "baseline_selection",
    "ghost_observables",
    "channels",
)


def open_ledger(config: Config) -> Ledger:
    """Return the ledger that a configuration names."""
    general = config.general
    place = general.ledger_url or str(general.output_dir / "ledger")
    # workers may work in another folder
    return Ledger(Storage(place if is_url(place) else str(Path(place).absolute())))


def register(config: Config) -> None:
    """Note in the ledger that a run directory uses it, so that `clean` knows.

    Raises
    ------
    OutputError
        If the ledger cannot be written.
    """
    folder = str(config.general.output_dir.absolute())
    open_ledger(config).storage.put(
        f"{RUNS}/{short_hash(folder)}.json", json.dumps({"folder": folder}).encode()
    )


def other_runs(config: Config) -> list[str]:
    """Return the other run directories that use the ledger of a configuration."""
    storage, own = open_ledger(config).storage, str(config.general.output_dir.absolute())
    folders = [str(json.loads(storage.get(name))["folder"]) for name in storage.sizes(RUNS)]
    return sorted(folder for folder in folders if folder != own)


def write_context(config: Config, directory: RunDirectory) -> None:
    """Write the configuration, so that commands on the run directory can take it up again.

    Raises
    ------
    OutputError
        If the run directory cannot be written.
    """
    modules = config_modules(config)
    directory.write_config(
        config.to_json(),
        modules=modules,
        source=config.source,
        overrides=config.overrides,
        digests={part: config.digest(part) for part in _PARTS},
    )
    origin = {
        "source": None if config.source is None else str(Path(config.source).resolve()),
        "changed": config.was_changed,
        "overrides": [masked_text(text) for text in config.overrides],
        "folder": str(Path.cwd()),
    }
    directory.write_json(directory.origin, origin)
    content = _pickled(config, modules)
    if content is None:
        directory.pickled_config.unlink(missing_ok=True)
    else:
        write_atomically(directory.pickled_config, content)


def _pickled(config: Config, modules: Sequence[ModuleType]) -> bytes | None:
    """Return the configuration with its functions, None if it must not or cannot be kept."""
    # what looks like a credential, or is computed to be one, is not written anywhere
    signs = {"WorkerEval(...)": "it has WorkerEval values", "***": "it holds what looks like a credential"}
    shown = str(config.to_json())
    for sign, reason in signs.items():
        if sign in shown:
            logger.info(
                "the configuration is not kept as it is, because %s: intccms replay will need --current",
                reason,
            )
            return None
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        content = pickled_by_value(config)
    except (
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        NotImplementedError,
        pickle.PicklingError,
    ) as exc:
        logger.info("the configuration cannot be kept as it is (%s); intccms replay will need --current", exc)
        return None
    if named := _with_credentials(modules, content):
        logger.warning(
            "%s: what looks like a credential stands in the code, and goes to the workers with it. Let them look it up: "
            "WorkerEval(lambda: os.environ['NAME'])",
            ", ".join(named),
        )
        return None
    # functions are kept with the globals that they refer to, and modules read variables when they are imported
    return None if exposed_by(content) else content


def _with_credentials(modules: Sequence[ModuleType], content: bytes) -> list[str]:
    """Return the names of modules of which credentials, as text in their code, have come into a pickle."""
    found = []
    for module in modules:
        try:
            source = Path(str(module.__file__)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):  # typed in, or compiled
            continue
        if any(text.encode() in content for text in credentials_in_source(source)):
            found.append(module.__name__)
    return found


def write_plan(config: Config, directory: RunDirectory, plans: Sequence[DatasetPlan]) -> None:
    """Write what the run wants, so that its state can be told without the configuration.

    Raises
    ------
    OutputError
        If the run directory cannot be written.
    """
    ledger = None if config.general.ledger_url is None else open_ledger(config).storage.folder
    datasets: list[dict[str, Any]] = [
        {
            "name": plan.name,
            "channels": plan.digests,
            "whole": str(plan.whole),
            "files": [
                {
                    "index": file.index,
                    "name": masked_text(file.chunks[0].file.name),
                    "key": file.key,
                    "edges": file.edges,
                }
                for file in plan.files
            ],
            "skims": Counter(index for index, _ in plan.targets),
        }
        for plan in plans
    ]
    data = {"ledger": ledger, "datasets": datasets}
    directory.write_json(directory.plan, data)
