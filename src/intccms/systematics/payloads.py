"""Correction payloads: opened once per process, evaluated on flat and jagged arrays, with errors that say what to do.

What a correction does with the result, and which objects are masked, is not decided here.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

import correctionlib
import numpy as np

from intccms.errors import PayloadError, PayloadFileError
from intccms.schema.base import Payload
from intccms.schema.explain import did_you_mean
from intccms.systematics.payload_arrays import Input, flatten, listing
from intccms.systematics.payload_refusals import known_keys, refusals
from intccms.systematics.payload_trees import Outline, outline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Evaluator", "Input", "open_payload", "parsed", "state_of", "unknown_key"]

_GZIP = b"\x1f\x8b"


def open_payload(payload: Payload) -> Evaluator:
    """Return the evaluator of a correction; a file is read once per process, and again if it changes.

    Parameters
    ----------
    payload
        A correctionlib file, ``.json`` or gzipped, and the name of a simple or compound correction in it.

    Returns
    -------
    Evaluator
        May be used by several threads at once.

    Raises
    ------
    PayloadFileError
        If the file is not there, cannot be read or is no correctionlib file, or if it does not hold the correction.
    """
    file = _open_file(payload)
    with file.lock:
        if payload.key not in file.evaluators:
            file.evaluators[payload.key] = Evaluator(payload, file)
        return file.evaluators[payload.key]


class Evaluator:
    """A correction of an opened payload. It travels between processes as its file and key.

    Parameters
    ----------
    payload
        File and key.
    opened
        The opened file.

    Raises
    ------
    PayloadFileError
        If the file does not hold the key.
    """

    def __init__(self, payload: Payload, opened: _File) -> None:
        self.file = payload.file
        """Path, as it was given."""
        self.key = payload.key
        """Name of the correction in the file."""
        self._opened = opened
        self._correction = opened.correction(payload)
        self.inputs: tuple[Input, ...] = tuple(
            Input(one.name, cast("Literal['real', 'int', 'string']", one.type))
            for one in self._correction.inputs
        )
        """What it takes, in order."""

    def __repr__(self) -> str:
        return f"{self.key!r} of {self.file} ({listing(self.inputs)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return open_payload, (Payload(self.file, self.key),)

    def choices(self, name: str) -> tuple[str | int, ...] | None:
        """Return the keys that an input may have, or None if any value is taken or this cannot be told.

        Not every combination of keys need exist: a systematic key may be there for some flavours only.
        """
        self._known(name)
        found = self._outline
        return None if name in found.open else found.choices.get(name)

    def limits(self, name: str) -> tuple[float, float] | None:
        """Return the range of an input, upper end excluded, outside of which all values are refused.

        None if there is no such range, or if this cannot be told.
        """
        self._known(name)
        return self._outline.ranges.get(name)

    def _known(self, name: str) -> None:
        names = [one.name for one in self.inputs]
        if name not in names:
            message = f"{self!r} has no input {name!r}.{did_you_mean(name, names)}"
            raise PayloadError(message)

    @cached_property
    def _outline(self) -> Outline:
        return outline(self._opened.document(), self.key)

    def evaluate(self, *args: Any) -> Any:
        """Evaluate the correction.

        Parameters
        ----------
        args
            One per input, in order: texts, numbers, NumPy arrays of shape ``(n_events,)``, awkward arrays of type
            ``n_events * number`` or ``n_events * var * number``. A flat array counts for each object of its event.

        Returns
        -------
        float, numpy.ndarray or awkward.Array
            float64 in the structure of the arguments: ``n_events * var`` if one of them is jagged, ``(n_events,)`` if
            one is an array, else one number. Without objects the payload is not asked.

        Raises
        ------
        PayloadError
            For arguments of a wrong number, type or length, for None and NaN, and for values outside of what the payload
            holds; naming payload, input, values and the range or the keys that there are.
        """
        try:
            flat, shape = flatten(args, self.inputs)
        except PayloadError as exc:
            self._refuse(str(exc), exc)
        if shape.size == 0:
            return shape.wrap(np.empty(0))
        try:
            result = self._correction.evaluate(*flat)
        except (RuntimeError, IndexError, ValueError) as exc:
            self._refuse(" And ".join(self._reasons(flat)) or f"correctionlib says: {exc}.", exc)
        return shape.wrap(result)

    def _reasons(self, flat: list[Any]) -> list[str]:
        try:
            return refusals(self._opened.document(), self.key, self.inputs, flat)
        except (OSError, ValueError, KeyError):
            # the file was removed or replaced meanwhile: what correctionlib says has to do
            return []

    def _refuse(self, reason: str, cause: Exception) -> NoReturn:
        message = f"cannot evaluate correction {self.key!r} of {self.file}: {reason}"
        raise PayloadError(message) from cause


@dataclass(eq=False)
class _File:
    """An opened file, with the evaluators that were asked for."""

    path: Path
    state: tuple[int, ...]
    corrections: correctionlib.CorrectionSet
    evaluators: dict[str, Evaluator] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def correction(self, payload: Payload) -> Any:
        """Return correctionlib's object, simple or compound."""
        simple, compound = list(self.corrections), self.corrections.compound
        if payload.key in simple:
            return self.corrections[payload.key]
        if payload.key in compound:
            return compound[payload.key]
        raise unknown_key(payload, [*simple, *compound])

    def document(self) -> Mapping[str, Any]:
        """Read the JSON again; it is not kept, for its size."""
        document: Mapping[str, Any] = json.loads(_text(self.path))
        return document


def unknown_key(payload: Payload, names: list[str]) -> PayloadFileError:
    """Return the error for a correction that a file does not hold."""
    near = did_you_mean(payload.key, names)
    return PayloadFileError(
        f"{payload.file} holds no correction {payload.key!r}.{near} It holds {len(names)}: {known_keys(names)}."
    )


_opened: dict[Path, _File] = {}
_opening = threading.Lock()


def _open_file(payload: Payload) -> _File:
    path = Path(payload.file).absolute()
    state = state_of(path, payload)
    with _opening:
        known = _opened.get(path)
        if known is None or known.state != state:
            known = _opened[path] = _File(path, state, _read(path, payload))
    return known


def state_of(path: Path, payload: Payload) -> tuple[int, ...]:
    """Return what tells whether a file has changed.

    Raises
    ------
    PayloadFileError
        If it is not there.
    """
    try:
        stat = path.stat()
    except OSError as exc:
        message = (
            f"there is no file {payload.file} ({exc.strerror or exc}). Check the path, "
            "and whether its file system (CVMFS, EOS) is mounted here."
        )
        raise PayloadFileError(message) from exc
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path, payload: Payload) -> correctionlib.CorrectionSet:
    return parsed(path, payload, correctionlib.CorrectionSet.from_string)


def parsed[T](path: Path, payload: Payload, parse: Callable[[str], T]) -> T:
    """Return what a function makes of the text of a payload; its ValueError says "JSON parse error" if it is no JSON.

    Raises
    ------
    PayloadFileError
        If the file cannot be read, or the function raises.
    """
    try:
        return parse(_text(path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        reason = f"cannot be uncompressed ({exc})"
        cause: Exception = exc
    except OSError as exc:
        reason = f"cannot be read ({exc.strerror or exc})"
        cause = exc
    except UnicodeDecodeError as exc:
        reason, cause = "is neither JSON nor gzipped JSON", exc
    except (RuntimeError, IndexError, ValueError) as exc:
        is_json = not str(exc).startswith("JSON parse error")
        reason = f"is no correctionlib file, schema 2 ({exc})" if is_json else f"is not JSON ({exc})"
        cause = exc
    message = f"{payload.file} {reason}. A correction payload was expected, .json or .json.gz."
    raise PayloadFileError(message) from cause


def _text(path: Path) -> str:
    """Return the text of a file; whether it is gzipped is seen from its first bytes, not from its name."""
    content = path.read_bytes()
    return (gzip.decompress(content) if content.startswith(_GZIP) else content).decode()
