"""The documented import path of `acquire_client`."""

from __future__ import annotations

from intccms.facilities import acquire_client

__all__ = ["acquire_client"]
