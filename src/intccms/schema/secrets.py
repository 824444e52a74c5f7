"""Keeps credentials out of texts and data that are written down, shown or sent to workers.

Two things are known of them: names that they go by (``token``), and values, which are those of environment variables
with such names and what `WorkerEval` has computed in this process.
"""

from __future__ import annotations

import ast
import base64
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = [
    "check_url",
    "credentials_in_source",
    "exposed_by",
    "hide_in_error",
    "known_secrets",
    "literal_credentials",
    "masked",
    "masked_source",
    "masked_text",
    "remembered",
    "url_credentials",
    "without_known",
]

_NAME = (
    r"[\w.-]*(?:secret|token|passw|credential|api_?key|access_?key|authorization|authz|amz-signature)[\w.-]*"
)

_OPTION = rf"key|auth|(?:sas|account|private|ssh)_?\w*|connection_?string|{_NAME}"
"""Options of file systems that are credentials; fsspec's file systems have such names."""

_NO_CREDENTIALS = frozenset({"anon", "browser", "cache", "cloud", "google_default"})
"""Ways to find a credential, as gcsfs names them in the place of one."""

_OPTIONS = "storage_options"

_SHORTEST = 6
"""Length below which a value is found in any text by chance."""

_computed: set[str] = set()
"""What `WorkerEval` gave in this process."""


def masked_text(text: str) -> str:
    """Return a text with ``***`` for credentials: known values, values of names such as ``token``, passwords in URLs.

    Examples
    --------
    >>> masked_text("preprocess.skimming.static_kwargs.token=abc")
    'preprocess.skimming.static_kwargs.token=***'
    >>> masked_text("root://me:abc@host//store")
    'root://me:***@host//store'
    """
    return _ASSIGNED.sub(_masked_value, without_known(text))


_ASSIGNED = re.compile(
    rf"(?i)(\b{_NAME}(?<!\.py)\\*[\"']?\s*[:=]\s*)(?:(\\*[\"'])(.*?)\2|((?:bearer|basic)(?:\s|%20)+)?[^\"',}}\s]+)"
)


def _masked_value(found: re.Match[str]) -> str:
    name, mark = found[1], found[2] or ""
    return f"{name}{mark}***{mark}"


def without_known(text: str) -> str:
    """Return a text with ``***`` for credentials whose values are known, and for passwords in URLs.

    The values are found as they are, quoted as in URLs and in Python, and in base64.
    """
    for form in _forms():
        if form in text:
            text = text.replace(form, "***")
    return _SIGNATURE.sub(r"\1***", _USERINFO.sub(r"\1:***@", text))


_USERINFO = re.compile(r"(://[^/\s:@]*):(?!\d+/)(?:[^/\s@]+|[^\s@\"',]+)@")
"""Password in a URL; it may hold slashes, which a path behind a port does not make of one."""

_SIGNATURE = re.compile(r"(?i)([?&](?:sig|signature)=)[^&\s\"']+")
"""Signature of a URL that is a credential by itself, as those of Azure and of Google are."""


def masked(data: Any, name: str = "") -> Any:
    """Return JSON data with ``***`` in the place of values whose key is named like a credential.

    Options of file systems are hidden altogether: their names (``key``) tell too little.
    """
    if name == _OPTIONS:
        return _hidden(data)
    if isinstance(data, Mapping):
        return {key: masked(value, str(key)) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [masked(value, name) for value in data]
    if isinstance(data, str):
        return "***" if _is_name(name) else masked_text(data)
    return data


def _hidden(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _hidden(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_hidden(value) for value in data]
    return "***" if isinstance(data, str) else data


def masked_source(source: str) -> str:
    """Return Python code with ``***`` for credentials that stand in it as text, in the place of their literals.

    Code that looks a credential up, and all other code, stays what it is.
    """
    source = without_known(source)
    try:
        literals = _literals_in(source)
    except (SyntaxError, ValueError):
        return masked_text(source)
    lines = source.encode().splitlines(keepends=True)
    for literal in sorted(literals, key=lambda one: (one.lineno, one.col_offset), reverse=True):
        first, last = literal.lineno - 1, (literal.end_lineno or literal.lineno) - 1
        head, tail = lines[first][: literal.col_offset], lines[last][literal.end_col_offset :]
        lines[first : last + 1] = [head + b'"***"' + tail]
    return b"".join(lines).decode()


def credentials_in_source(source: str) -> set[str]:
    """Return the texts that `masked_source` takes for credentials, but for very short ones."""
    try:
        found = [one.value for one in _literals_in(source)]
    except (SyntaxError, ValueError):
        return set()
    texts = {
        one if isinstance(one, str) else one.decode(errors="ignore")
        for one in found
        if isinstance(one, str | bytes)
    }
    return {text for text in texts if len(text) >= _SHORTEST}


@lru_cache(maxsize=64)
def _literals_in(source: str) -> tuple[ast.Constant, ...]:
    return tuple(_literals(ast.parse(source)))


def _literals(tree: ast.AST) -> Iterator[ast.Constant]:
    """Give the texts that are assigned to something named like a credential."""
    for node in ast.walk(tree):
        pairs: list[tuple[str, ast.AST | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(ast.unparse(target), node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            pairs = [(ast.unparse(node.target), node.value)]
        elif isinstance(node, ast.keyword):
            pairs = [(node.arg or "", node.value)]
        elif isinstance(node, ast.Dict):
            pairs = [
                (str(key.value), value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        elif isinstance(node, ast.arguments):
            plain = [*node.posonlyargs, *node.args]
            given = node.defaults
            pairs = [
                (arg.arg, value) for arg, value in zip(plain[len(plain) - len(given) :], given, strict=True)
            ]
            pairs += [(arg.arg, value) for arg, value in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
        for name, value in pairs:
            if not isinstance(value, ast.Constant) or not isinstance(value.value, str | bytes):
                continue
            if re.search(f"(?i){_NAME}[\"'\\])]*$", name):
                yield value


def remembered(value: Any) -> Any:
    """Return a value, and know the texts in it for credentials from now on; paths and plain URLs are none."""
    if isinstance(value, Mapping):
        for item in value.values():
            remembered(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            remembered(item)
    elif isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value.decode(errors="ignore")
        if _is_secret(text) and (not re.match(r"\w+://", text) or url_credentials(text)):
            _computed.add(text)
    return value


_PLACES = ("_FILE", "_PATH", "_DIR")
"""Ends of the names of variables that tell where a credential is, not what it is."""


def known_secrets() -> dict[str, str]:
    """Return the credentials that this process knows: value -> where it comes from."""
    computed = dict.fromkeys(tuple(_computed), "a value that WorkerEval computed")
    named = {
        value: f"the environment variable {name}"
        for name, value in os.environ.items()
        if _is_name(name) and not name.upper().endswith(_PLACES) and _is_secret(value)
    }
    return computed | named


def exposed_by(content: bytes) -> list[str]:
    """Return where the credentials come from whose values are in some bytes."""
    return sorted({origin for value, origin in known_secrets().items() if value.encode() in content})


def literal_credentials(options: Any, path: str = "") -> Iterator[str]:
    """Give the paths of credentials that stand in options of file systems as text."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            where = f"{path}.{key}" if path else str(key)
            if re.fullmatch(f"(?i){_OPTION}", str(key)) and any(map(_is_credential, _texts(value))):
                yield where
            else:
                yield from literal_credentials(value, where)
    elif isinstance(options, list | tuple):
        for item in options:
            yield from literal_credentials(item, path)
    elif isinstance(options, str) and url_credentials(options):
        yield path


def url_credentials(url: str) -> bool:
    """Tell whether a URL holds a password, a token or a signature."""
    signs = (_USERINFO.search(url), _SIGNATURE.search(url), re.search(rf"(?i)[?&]{_NAME}=[^&]", url))
    return any(sign is not None for sign in signs)


def check_url(url: str, where: str) -> None:
    """Refuse a URL that holds a credential.

    Raises
    ------
    ConfigError
        Naming the place, without the credential.
    """
    from intccms.errors import ConfigError  # not before: errors hide credentials

    if url_credentials(url):
        message = (
            f"{where}: {masked_text(url)!r} holds a credential, and URLs go to workers, into reports and metadata. Leave "
            "it out, and let the environment have it: the grid proxy (X509_USER_PROXY), a token (BEARER_TOKEN_FILE) or "
            "variables AWS_...; for skims also storage_options with WorkerEval."
        )
        raise ConfigError(message)


def hide_in_error(error: BaseException | None) -> None:
    """Take known credentials out of the texts of an error, and of those behind it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        args = tuple(without_known(arg) if isinstance(arg, str) else arg for arg in one.args)
        if args != one.args:
            one.args = args
        if isinstance(one, OSError) and isinstance(one.strerror, str):
            one.strerror = without_known(one.strerror)
        if notes := getattr(one, "__notes__", None):
            one.__notes__ = [without_known(str(note)) for note in notes]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | bytes):
        yield value if isinstance(value, str) else value.decode(errors="ignore")


def _is_credential(text: str) -> bool:
    return bool(text) and text not in _NO_CREDENTIALS and not _is_path(text)


def _is_secret(text: str) -> bool:
    return len(text) >= _SHORTEST and not _is_path(text)


def _is_path(text: str) -> bool:
    try:
        return text.startswith(("/", "~", ".")) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a path, or no home
        return False


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return re.fullmatch(f"(?i){_NAME}", name) is not None


def _forms() -> list[str]:
    """Return the known credentials in all forms, the longest first."""
    return _forms_of(frozenset(known_secrets()))


@lru_cache(maxsize=8)
def _forms_of(values: frozenset[str]) -> list[str]:
    found = {
        form
        for value in values
        for form in (value, quote(value, safe=""), quote(value), repr(value)[1:-1], _base64(value))
    }
    return sorted(found, key=len, reverse=True)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode(errors="surrogateescape")).decode()
