"""The systematic keys of functions that know two directions: nominal, up, down."""

from __future__ import annotations

from typing import Any

from intccms.errors import ConfigError
from intccms.schema.explain import did_you_mean

__all__ = ["direction"]

DIRECTIONS = {None: 0, "nominal": 0, "up": 1, "down": -1}


def direction(key: Any, function: str) -> int:
    """Return +1 for up, -1 for down, 0 for nominal (also None).

    Raises
    ------
    ConfigError
        For another key, naming the function.
    """
    if not isinstance(key, str | None) or key not in DIRECTIONS:
        message = (
            f"{function} has no systematic key {key!r}; it knows 'nominal' (or None), 'up' and 'down'."
            f"{did_you_mean(str(key), ['nominal', 'up', 'down'])} Set 'nominal_idx' and 'up_and_down_idx' to these."
        )
        raise ConfigError(message)
    return DIRECTIONS[key]
