"""Where code comes from: the Python distribution, an installed package, intccms itself or the user.

Installed code counts by name and version; only the user's code is looked into.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intccms.errors import ConfigError
from intccms.schema.digest.forms import Form, leaf
from intccms.schema.digest.own import OWN_PACKAGE, own_code

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Origin", "is_importable", "module_file", "origin_of", "origin_of_module", "published"]

_STDLIB = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a piece of code, and which version of it this is.

    Attributes
    ----------
    kind
        Who wrote it.
    label
        Distribution and version; the name of the module for intccms, empty for a user's code.
    """

    kind: Literal["python", "installed", "intccms", "user"]
    label: str = ""

    @property
    def version(self) -> str:
        """What stands for the code: its label; for intccms also the content of the module and its imports."""
        return f"{self.label} {_own_content(self.label)}" if self.kind == "intccms" else self.label

    @property
    def is_published(self) -> bool:
        """Whether name and version identify the code, so that it need not be read."""
        return self.kind != "user"


def module_file(module: ModuleType) -> str | None:
    """Return the file of a module, the folder of a namespace package, None for built-in modules."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    folders = getattr(module, "__path__", None)
    return next(iter(folders), None) if folders is not None else None


def origin_of_module(module: ModuleType) -> Origin:
    """Return the origin of a module object."""
    return origin_of(module.__name__, module_file(module))


def origin_of(module: str | None, file: str | None = None) -> Origin:
    """Return the origin of code by the name of its module, and its file where the module is not imported.

    The code of ``__main__`` (scripts, notebooks) is always the user's.
    """
    if not module or module == "__main__":
        return Origin("user")
    loaded = sys.modules.get(module)
    if loaded is not None:
        file = module_file(loaded) or file
    return _origin(module, file)


def published(value: object) -> Form | None:
    """Return the form of an object that its module gives out by name, if that is not a user's module.

    Such an object counts by the version of its distribution and its qualified name. None otherwise.
    """
    if not is_importable(value):
        return None
    module, name = (str(part) for part in _address(value))
    origin = origin_of(module)
    return leaf("published", origin.version, module, name) if origin.is_published else None


def is_importable(value: object) -> bool:
    """Tell whether the name and module that an object claims lead back to it."""
    module, name = _address(value)
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    found: object = sys.modules.get(module)
    for step in name.split("."):
        found = getattr(found, step, None)
    return found is value


def _address(value: object) -> tuple[object, object]:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return getattr(value, "__module__", None), name


@functools.lru_cache(maxsize=4096)
def _origin(module: str, file: str | None) -> Origin:
    top = module.partition(".")[0]
    if top == OWN_PACKAGE:
        return Origin("intccms", module)
    if file is None or file.startswith("<frozen"):
        is_stdlib = top in sys.stdlib_module_names
    else:
        path = Path(file).resolve()
        if _INSTALLED_FOLDERS.intersection([*Path(file).parts, *path.parts]):
            return Origin("installed", _distribution_version(top, path))
        is_stdlib = any(path.is_relative_to(folder) for folder in _STDLIB)
    if is_stdlib:
        return Origin("python", f"python {sys.version_info.major}.{sys.version_info.minor}")
    return Origin("user")


def _own_content(module: str) -> str:
    try:
        return own_code((module,))
    except ConfigError:  # imported from an archive, where there are no files
        try:
            return importlib.metadata.version(OWN_PACKAGE)
        except importlib.metadata.PackageNotFoundError:
            return "no source"


@functools.lru_cache(maxsize=1024)
def _distribution_version(top: str, file: Path) -> str:
    """Return names and versions of the distributions that install a top-level module."""
    try:
        return f"{top.lower()} {importlib.metadata.version(top)}"
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(top, ())))
    if names:
        return " ".join(f"{name.lower()} {importlib.metadata.version(name)}" for name in names)
    # a module copied into site-packages by hand has no version: only its content tells it apart
    return f"{top} {hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else 'without version'}"


@functools.cache
def _distributions() -> dict[str, list[str]]:
    # half a second with 200 distributions: only for modules named otherwise than their distribution
    return dict(importlib.metadata.packages_distributions())
