"""Hides what looks like a credential in texts and data that are written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["masked", "masked_text"]

_NAME = r"[\w.-]*(?:secret|token|passw|credential|api_?key|access_key)[\w.-]*"


_OPTIONS = "storage_options"


def masked_text(text: str) -> str:
    """Return a text with ``***`` for values of names such as ``token``, and for passwords in URLs.

    Examples
    --------
    >>> masked_text("preprocess.skimming.static_kwargs.token=abc")
    'preprocess.skimming.static_kwargs.token=***'
    >>> masked_text("root://me:abc@host//store")
    'root://me:***@host//store'
    """
    text = re.sub(r"(://[^/\s:@]+):[^/\s@]+@", r"\1:***@", text)
    return re.sub(rf"(?i)(\b{_NAME}[\"']?\s*[:=]\s*[\"']?)[^\"',}}\s]+", r"\1***", text)


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
        return "***" if re.fullmatch(f"(?i){_NAME}", name) else masked_text(data)
    return data


def _hidden(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _hidden(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_hidden(value) for value in data]
    return "***" if isinstance(data, str) else data
