"""Payloads as their JSON describes them, for checks before a run.

They are not compiled, which costs several times as much for the largest files, and cannot be evaluated.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.systematics.payload_arrays import Input
from intccms.systematics.payload_trees import Outline, named, outline
from intccms.systematics.payloads import parsed, state_of, unknown_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intccms.schema.base import Payload

__all__ = ["Described", "Documents"]

_SCHEMA = 2


class Described:
    """A correction as its file describes it: like an `Evaluator`, without values.

    Parameters
    ----------
    payload
        File and key.
    document
        JSON of the file, which holds the key.
    """

    def __init__(self, payload: Payload, document: Mapping[str, Any]) -> None:
        self.file, self.key = payload.file, payload.key
        found, _ = named(document, payload.key)
        self.inputs = tuple(Input(one["name"], one["type"]) for one in found["inputs"])
        """What it takes, in order."""
        self._document = document

    def choices(self, name: str) -> tuple[str | int, ...] | None:
        """Return the keys that an input may have, None if any value is taken or this cannot be told."""
        return None if name in self._outline.open else self._outline.choices.get(name)

    def limits(self, name: str) -> tuple[float, float] | None:
        """Return the range of an input, upper end excluded, None if there is none or this cannot be told."""
        return self._outline.ranges.get(name)

    @cached_property
    def _outline(self) -> Outline:
        return outline(self._document, self.key)


class Documents:
    """Opens payloads for checks; each file is read once, and kept as long as this object is."""

    def __init__(self) -> None:
        self._documents: dict[str, Mapping[str, Any]] = {}
        self._described: dict[Payload, Described] = {}

    def open(self, payload: Payload) -> Described:
        """Return what a payload takes.

        Raises
        ------
        PayloadFileError
            As `intccms.systematics.payloads.open_payload`.
        """
        if payload not in self._described:
            document = self._document(payload)
            names = [
                one["name"]
                for kind in ("corrections", "compound_corrections")
                for one in document.get(kind) or ()
            ]
            if payload.key not in names:
                raise unknown_key(payload, names)
            self._described[payload] = Described(payload, document)
        return self._described[payload]

    def _document(self, payload: Payload) -> Mapping[str, Any]:
        if payload.file not in self._documents:
            path = Path(payload.file)
            state_of(path, payload)
            self._documents[payload.file] = parsed(path, payload, _parse)
        return self._documents[payload.file]


def _parse(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as exc:
        message = f"JSON parse error: {exc}"
        raise ValueError(message) from exc
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != _SCHEMA or not isinstance(document.get("corrections"), list):
        message = f"schema version {version!r}" if version != _SCHEMA else "no list of corrections"
        raise ValueError(message)
    found: Mapping[str, Any] = document
    return found
