"""The tree of exceptions that intccms raises.

::

    IntccmsError
    |-- ConfigError (ValueError)              the configuration is wrong; no event was read
    |-- MissingBranchError (KeyError)         a declared branch is not in a file
    |-- InputFileError (OSError)              an input file cannot be read, or is not what was expected
    |   |-- NoReachableReplicaError           every redirector or replica of a file failed
    |   |-- BrokenFileError                   a file could be opened, and then not be read
    |   `-- ReplacedFileError                 a file is not the one whose metadata were read
    |-- CredentialsError (RuntimeError)       a server does not accept who asks: no file of it can be read or written
    |-- MetadataError (RuntimeError)          the metadata needed are absent, stale or contradictory
    |-- PayloadError (ValueError)             a correction payload was asked for what it does not hold
    |   `-- PayloadFileError                  it cannot be opened, or lacks a correction: no event can be processed
    |-- FunctorError (RuntimeError)           a user function returned something that cannot be used
    |-- OutputError (OSError)                 our own output cannot be written or read
    |-- LockedError (RuntimeError)            another process works in the same run directory
    |-- FacilityError (RuntimeError)          workers cannot be had or do not fit
    `-- StoppedError (RuntimeError)           the user wanted to stop; what ran was finished and saved

Errors of users' making say what was wrong, with the value and the place, what was expected and what to do;
the command line prints them without a traceback.
"""

from __future__ import annotations

__all__ = [
    "BrokenFileError",
    "ConfigError",
    "CredentialsError",
    "FacilityError",
    "FunctorError",
    "InputFileError",
    "IntccmsError",
    "LockedError",
    "MetadataError",
    "MissingBranchError",
    "NoReachableReplicaError",
    "OutputError",
    "PayloadError",
    "PayloadFileError",
    "ReplacedFileError",
    "StoppedError",
]


class IntccmsError(Exception):
    """Base of every error that intccms raises on purpose; credentials that are known are not in its text."""

    def __init__(self, *args: object) -> None:
        from intccms.schema.secrets import without_known  # not before: the schema raises these errors

        super().__init__(*(without_known(one) if isinstance(one, str) else one for one in args))


class ConfigError(IntccmsError, ValueError):
    """The configuration is wrong: an unknown key, a wrong type, a contradiction."""


class MissingBranchError(IntccmsError, KeyError):
    """A declared branch is not in a file."""

    def __str__(self) -> str:
        """Return the message itself, where ``KeyError`` would print its ``repr``."""
        return str(self.args[0]) if self.args else ""


class InputFileError(IntccmsError, OSError):
    """An input file cannot be read, or does not hold what was expected."""


class NoReachableReplicaError(InputFileError):
    """Every redirector or replica of a file failed."""


class BrokenFileError(InputFileError):
    """A file could be opened, and a part of it cannot be read."""

    url: str = ""
    """The file."""


class ReplacedFileError(InputFileError):
    """A file is not the one whose metadata were read."""


class CredentialsError(IntccmsError, RuntimeError):
    """A server accepts no credentials of the user: a grid proxy has expired, a key is wrong, or there are none.

    No `OSError`, so that nobody takes it for the failure of one file.
    """


class MetadataError(IntccmsError, RuntimeError):
    """Metadata that a later stage needs are absent, stale or contradictory."""


class PayloadError(IntccmsError, ValueError):
    """A correction payload was asked for what it does not hold."""


class PayloadFileError(PayloadError):
    """A correction payload cannot be opened, or holds no correction of a name; no fault of the events."""


class FunctorError(IntccmsError, RuntimeError):
    """A user function returned something that cannot be used."""


class OutputError(IntccmsError, OSError):
    """Our own output cannot be written or read; never a fault of the input."""


class LockedError(IntccmsError, RuntimeError):
    """Another process, or another thread of this one, works in the same run directory."""


class FacilityError(IntccmsError, RuntimeError):
    """Workers cannot be had, or do not fit the client."""


class StoppedError(IntccmsError, RuntimeError):
    """The user wanted to stop; what ran was finished and saved."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows instead of a traceback: nothing went wrong."""
        return [str(self)]
