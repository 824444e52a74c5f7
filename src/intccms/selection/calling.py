"""Calls functions of the user: constants evaluated at the moment of use, errors that name the functor."""

from __future__ import annotations

import platform
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intccms.errors import BrokenFileError, FunctorError
from intccms.schema import WorkerEval
from intccms.schema.base import function_name
from intccms.schema.secrets import hide_in_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["call", "evaluated", "has_worker_values"]


def call(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    constants: Mapping[str, Any],
    where: str,
) -> Any:
    """Call a function of the user with columns and constants.

    Values of `WorkerEval` among the arguments, also inside lists and dicts, are computed now; no error shows them.

    Raises
    ------
    FunctorError
        If the function raises; the message names the functor, the cause is chained.
    """
    given, named = _values(function, arguments, constants, where)
    try:
        return function(*given, **named)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except FunctorError as exc:  # ours already: a reference that must not be followed
        message = f"{where}: {function_name(function).rpartition(':')[2]}: {exc}"
        raise FunctorError(message) from exc
    # also sys.exit(), which would end the run with a status of the user's choice
    except BaseException as exc:
        hide_in_error(exc)
        if not has_worker_values((constants, list(arguments))):
            message = f"{where}: {_place(function, exc)} raised {type(exc).__name__}: {exc}"
            raise FunctorError(message) from exc
        # its text may quote a credential in any form, and would go to the report
        message = (
            f"{where}: {_place(function, exc)} raised {type(exc).__name__} (its text is withheld, because the "
            "function has WorkerEval arguments)"
        )
        error, inner = FunctorError(message), _not_of_the_function(exc)
        error.add_note("".join(traceback.format_tb(exc.__traceback__)))
    raise error from inner  # not in the handler: what it handles would hang on it


def _values(
    function: Callable[..., Any], arguments: Sequence[Any], constants: Mapping[str, Any], where: str
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments with the values of `WorkerEval` computed.

    Raises
    ------
    FunctorError
        If that fails, naming the argument, and the variable if one is not set; the error itself may hold a credential.
    """
    labelled = {f"argument {number}": value for number, value in enumerate(arguments, 1)}
    labelled |= {f"static_kwargs.{name}": value for name, value in constants.items()}
    values: list[Any] = []
    try:
        for value in labelled.values():
            values.append(evaluated(value))  # noqa: PERF401 - how many there are tells which one failed
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:  # noqa: BLE001 - whatever the user's function raises, sys.exit() too
        place, of = list(labelled)[len(values)], function_name(function).rpartition(":")[2]
        reason = f"raised {type(exc).__name__}"
        if isinstance(exc, KeyError) and _is_of_environment(exc):
            reason = f"needs the environment variable {exc.args[0]}, which is not set"
        message = f"{where}: the WorkerEval for {place} of {of} {reason} on {platform.node()}"
        error, inner = FunctorError(message), _not_of_the_function(exc)
        error.add_note("".join(traceback.format_tb(exc.__traceback__)))
    else:
        count = len(arguments)
        return values[:count], dict(zip(constants, values[count:], strict=True))
    raise error from inner  # not in the handler: what it handles would hang on it


def _is_of_environment(exc: BaseException) -> bool:
    """Tell whether an error comes from ``os.environ``."""
    last = traceback.extract_tb(exc.__traceback__)[-1]
    return Path(last.filename).name in {"os.py", "<frozen os>"}


def _not_of_the_function(exc: BaseException | None) -> BaseException | None:
    """Return what lies behind an error, if it says why the chunk failed and is not of the function's making."""
    while exc is not None and not isinstance(exc, BrokenFileError | MemoryError):
        exc = exc.__cause__ or exc.__context__
    return exc


def evaluated(value: Any) -> Any:
    """Return constants with the values of `WorkerEval` computed, also inside lists and dicts."""
    if isinstance(value, WorkerEval):
        return value()
    if isinstance(value, dict):
        return {key: evaluated(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(evaluated(item) for item in value)
    return value


def has_worker_values(value: Any) -> bool:
    """Tell whether a `WorkerEval` is among constants."""
    if isinstance(value, dict):
        return any(has_worker_values(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_worker_values(item) for item in value)
    return isinstance(value, WorkerEval)


def _place(function: Callable[..., Any], exc: BaseException) -> str:
    """Return the function, with the last line of the user's own code that the error went through."""
    name = function_name(function).rpartition(":")[2]
    frames = traceback.extract_tb(exc.__traceback__)[1:]
    own = [
        frame for frame in frames if not {"site-packages", "dist-packages"} & set(Path(frame.filename).parts)
    ]
    return f"{name} ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else name
