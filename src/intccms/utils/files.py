"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import pickle
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from intccms.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DAMAGED_PICKLE", "atomic_path", "write_atomically"]

DAMAGED_PICKLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    pickle.UnpicklingError,
)
"""What unpickling raises on bytes that are no pickle, or one of other versions."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of a path that takes its place if the block ends well.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as exc:
        message = f"cannot write {path}: {exc.strerror or exc}. Check space and permissions of {path.parent}."
        raise OutputError(message) from exc
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file, atomically.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
