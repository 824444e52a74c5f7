"""Names of files: the logical one, and the URLs under which it can be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intccms.utils.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SourceFile", "is_remote", "join_redirector", "logical_name", "replicas", "source_file"]


@dataclass(frozen=True)
class SourceFile:
    """One input file: its name in listings, and its replicas in the order in which they are tried."""

    name: str
    """Logical name (``/store/...``), path or URL; identifies the file in metadata and reports."""
    urls: tuple[str, ...]
    """Where it can be read, best first."""
    replicated: bool | None = None
    """Whether it has several replicas; it stays true when only one of them is left to be tried."""

    def __post_init__(self) -> None:
        """Note whether there are several replicas."""
        if self.replicated is None:
            object.__setattr__(self, "replicated", len(self.urls) > 1)


def source_file(line: str, redirectors: Sequence[str]) -> SourceFile:
    """Return the file that a line of a listing names: several URLs in it are its replicas, in this order.

    Examples
    --------
    >>> source_file("root://a.example//store/x.root root://b.example//store/x.root", []).name
    '/store/x.root'
    >>> source_file("/store/x.root", ["root://a.example/"]).urls
    ('root://a.example//store/x.root',)
    """
    urls = tuple(dict.fromkeys(re.split(r"\s+(?=[a-z][a-z0-9+.-]*://)", line)))
    if len(urls) > 1 and all(map(is_url, urls)):
        return SourceFile(logical_name(urls[0]) or urls[0], urls)
    return SourceFile(line, replicas(line, redirectors))


def is_remote(name: str) -> bool:
    """Tell whether a name is a URL or a logical name of CMS, rather than a path below a folder."""
    return is_url(name) or name.startswith(("/store/", "/eos/"))


def logical_name(name: str) -> str | None:
    """Return the logical part of a name, which redirectors can be put before, or None for a plain path.

    ``root://host//store/x`` has ``/store/x``; an absolute path is taken to be a logical name.

    Examples
    --------
    >>> logical_name("root://xrootd.example//store/mc/a.root")
    '/store/mc/a.root'
    >>> logical_name("data/a.root") is None
    True
    """
    if not is_url(name):
        return name if name.startswith("/") else None
    _, _, rest = name.partition("://")
    host_and_path = rest.split("/", 1)
    if len(host_and_path) < 2:
        return None
    return "/" + host_and_path[1].lstrip("/")


def join_redirector(redirector: str, logical: str) -> str:
    """Put a redirector before a logical name, with the double slash that XRootD wants.

    Examples
    --------
    >>> join_redirector("root://xrootd.example/", "/store/a.root")
    'root://xrootd.example//store/a.root'
    >>> join_redirector("https://host/path", "/store/a.root")
    'https://host/path/store/a.root'
    """
    prefix = redirector.rstrip("/")
    if re.match(r"^x?roots?://[^/]+$", prefix):
        return f"{prefix}//{logical.lstrip('/')}"
    return f"{prefix}/{logical.lstrip('/')}"


def replicas(name: str, redirectors: Sequence[str]) -> tuple[str, ...]:
    """Return the URLs of a file: its logical name behind each redirector, or the name as it is."""
    logical = logical_name(name)
    if not redirectors or logical is None:
        return (name,)
    return tuple(dict.fromkeys(join_redirector(one, logical) for one in redirectors))
