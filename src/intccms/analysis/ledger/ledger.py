"""What was computed: records under content-addressed names, on any storage.

A record is written once, whole, and never changed; a second delivery of the same result takes the place of the
first with the same content. What is done is known from names alone.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from intccms.analysis.ledger.names import Name, batch_of, batch_path
from intccms.analysis.ledger.records import DamagedRecordError, Record, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from intccms.analysis.ledger.units import Unit
    from intccms.utils.storage import Storage

__all__ = ["Ledger"]

logger = logging.getLogger(__name__)


class Ledger:
    """The records of a run directory, or of several runs that share a place.

    Parameters
    ----------
    storage
        Where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._names: dict[str, dict[tuple[str, str, str], set[str]]] = {}
        self._batches: dict[str, dict[str, dict[str, Any]]] = {}
        self._undescribed: set[str] = set()

    def look(self, dataset: str) -> None:
        """List what there is of a dataset; nothing else is looked up in the storage."""
        names: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for path in self.storage.sizes(dataset):
            name = Name.parse(path)
            if name is not None:
                names[name.kind, name.key, name.extent].add(name.batch)
        self._names[dataset] = names

    def batches(self, dataset: str, kind: str, key: str, extent: str) -> frozenset[str]:
        """Return the batches of which there are records."""
        return frozenset(self._names[dataset].get((kind, key, extent), ()))

    def names(self, dataset: str) -> list[Name]:
        """Return the names of all records of a dataset, as they were listed."""
        return [
            Name(dataset, kind, key, extent, batch)
            for (kind, key, extent), batches in self._names[dataset].items()
            for batch in batches
        ]

    def digests(self, batch: str) -> dict[str, str]:
        """Return the channels of a batch with their digests; empty if its description is lost."""
        return {name: str(unit["digest"]) for name, unit in self._batch(batch).items()}

    def parts(self, batch: str, channel: str) -> dict[str, str]:
        """Return what reached a channel of a batch."""
        return dict(self._batch(batch).get(channel, {}).get("parts", {}))

    def describe(self, units: Iterable[Unit]) -> str:
        """Return the name of a batch of units; its description is written with `write_descriptions`."""
        described = {unit.name: {"digest": unit.digest, "parts": dict(unit.parts)} for unit in units}
        batch = batch_of({name: str(one["digest"]) for name, one in described.items()})
        self._undescribed.add(batch)
        self._batches[batch] = described
        return batch

    def write_descriptions(self) -> None:
        """Make sure that the ledger can explain all batches that were described.

        Raises
        ------
        OutputError
            If the ledger cannot be written.
        """
        for batch in sorted(self._undescribed):
            path, text = batch_path(batch), json.dumps(self._batches[batch], indent=1).encode()
            if self.storage.size(path) != len(text):  # else it was written before; a damaged one is shorter
                self.storage.put(path, text)
        self._undescribed.clear()

    def note(self, name: Name) -> None:
        """Take notice of a record that was written elsewhere."""
        self._names[name.dataset][name.kind, name.key, name.extent].add(name.batch)

    def put(self, name: Name, content: Record | bytes) -> None:
        """Write a record.

        Raises
        ------
        OutputError
            If the ledger cannot be written.
        """
        self.write_descriptions()
        self.storage.put(str(name), content if isinstance(content, bytes) else encode(content, str(name)))
        self.note(name)

    def get(self, name: Name, channels: Mapping[str, Any] | None = None) -> Record:
        """Return a record, or those channels of it.

        Raises
        ------
        DamagedRecordError
            If it is gone or damaged; the ledger then no longer knows it.
        """
        try:
            return decode(self.storage.get(str(name)), str(name), channels)
        except (FileNotFoundError, DamagedRecordError) as exc:
            logger.warning("the record %s is lost (%s); what it held is computed again", name, exc)
            self.delete([name])
            message = f"{name}: {exc}"
            raise DamagedRecordError(message) from exc

    def delete(self, names: Iterable[Name]) -> None:
        """Remove records."""
        gone = list(names)
        for name in gone:
            self._names[name.dataset][name.kind, name.key, name.extent].discard(name.batch)
        self.storage.delete([str(name) for name in gone])

    def _batch(self, batch: str) -> dict[str, dict[str, Any]]:
        if batch not in self._batches:
            try:
                self._batches[batch] = json.loads(self.storage.get(batch_path(batch)))
            except (FileNotFoundError, ValueError) as exc:
                logger.warning("the ledger lacks the description of batch %s (%s)", batch, exc)
                self._batches[batch] = {}
        return self._batches[batch]
