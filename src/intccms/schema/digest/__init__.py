"""Content digests: the same for the same content, on every machine, in every process.

A digest tells whether a stored result still belongs to a configuration. It sees through

- data: None, numbers, text, bytes, paths (as written), dates, enums, containers, NumPy arrays, dataclasses,
  Pydantic models, histogram axes, and any object that can be pickled, by its state. ``1``, ``1.0``, ``True``
  and ``"1"`` differ; the order of dicts and sets does not count;
- functions of the user: the syntax tree without comments, docstrings, annotations and layout, the defaults,
  closure values and attributes, and all that the code refers to by name, recursively through the user's
  modules. Constants of a module count by value, so a changed ``PT_MIN = 55`` is a changed function. Where
  the source is not to be had, or is no longer that of the running code, the code object counts instead;
- classes of the user: their bases, functions, constants and declared fields, as they are now;
- functions and classes of installed packages: by the version of the distribution (of Python for the
  standard library) and their name. Those of intccms: by the code of the module that defines them and of
  what this module imports (:mod:`.own`);
- files that functions name, by the sha256 of their content in the place of the path: texts with a suffix and
  paths in the ``static_kwargs`` of functors, in defaults, closures, referenced globals, the state of objects
  that are called, and texts in the code itself (looked up in the working folder and beside the module), if
  such a file exists. One above 256 MiB counts by size and time of change. A file that does not exist, a
  folder, a remote file count as written; so do the input files of datasets.

A Pydantic field with ``json_schema_extra={"digest": False}``, a dataclass field with
``metadata={"digest": False}`` do not count; of a Pydantic field with ``{"digest": "files"}`` the content of
the files that it names does; of an object whose class sets ``__digest_exclude__ = True`` and
of a logger only the class does.
Not seen are names that are computed when the code runs, those of files included, and the attributes that code
takes from its arguments.
"""

from __future__ import annotations

from intccms.errors import ConfigError
from intccms.schema.digest.files import named_file
from intccms.schema.digest.graph import GraphHasher
from intccms.schema.digest.own import own_closure, own_code
from intccms.schema.digest.values import describe

__all__ = ["digest", "function_digest", "own_closure", "own_code"]


def digest(value: object, *, where: str = "", files: bool = False) -> str:
    """Return the sha256 of a value's content, in hexadecimal.

    Parameters
    ----------
    value
        Any value; see the module for what counts.
    where
        The place of the value in the configuration, for error messages.
    files
        Whether texts and paths in the value name files that code opens, as they do in ``static_kwargs``.

    Raises
    ------
    ConfigError
        If the value holds or refers to something without reproducible content (an open file, a lock, an
        iterator, ...); the message names the place, as in ``channels[SR].selection.function > global 'LOCK'``.
    """
    return GraphHasher(describe, where=where, named_file=named_file).digest(value, files=files).hex()


def function_digest(function: object, *, where: str = "") -> str:
    """Return the sha256 of a function with all it refers to, in hexadecimal; the same as :func:`digest`.

    Parameters
    ----------
    function
        Anything that can be called: a function, lambda, method, ``functools.partial``, class or instance.
    where
        As in :func:`digest`; by default the name of the function.

    Raises
    ------
    ConfigError
        If it cannot be called, or as in :func:`digest`.
    """
    if not callable(function):
        message = (
            f"cannot digest {where or 'the value'} as a function: it is a '{type(function).__name__}', which cannot "
            "be called. Use digest(value) for data."
        )
        raise ConfigError(message)
    return digest(function, where=where or str(getattr(function, "__qualname__", "")))
