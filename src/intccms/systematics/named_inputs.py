"""Calls payloads with the inputs that they name, whatever their order and number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from intccms.errors import ConfigError
from intccms.schema.explain import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Evaluator", "evaluate"]


class Input(Protocol):
    """An input of a payload."""

    @property
    def name(self) -> str:
        """Its name, such as ``JetPt``."""


class Evaluator(Protocol):
    """A correction of a payload, as functions receive it."""

    @property
    def inputs(self) -> Sequence[Input]:
        """What it takes, in order."""

    def evaluate(self, *args: Any) -> Any:
        """Return its value for inputs in order."""


def evaluate(evaluator: Evaluator, **inputs: Any) -> NDArray[np.float64]:
    """Return the value of a payload for flat arrays and constants, given by the names of its inputs.

    Inputs that the payload does not take are left out: campaigns differ in them.

    Raises
    ------
    ConfigError
        If the payload takes an input that is not given.
    """
    names = [one.name for one in evaluator.inputs]
    if unknown := [name for name in names if name not in inputs]:
        message = (
            f"a payload takes {', '.join(names)}; there is no {unknown[0]!r} here, only {', '.join(inputs)}."
            f"{did_you_mean(unknown[0], list(inputs))} Give the payload of the kind that the function asks for."
        )
        raise ConfigError(message)
    values = np.asarray(evaluator.evaluate(*(inputs[name] for name in names)), dtype=np.float64)
    arrays = [value for value in inputs.values() if isinstance(value, np.ndarray)]
    return np.broadcast_to(values, np.broadcast_shapes(*(array.shape for array in arrays)))
