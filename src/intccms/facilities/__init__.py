"""Where it runs: facilities that hand out Dask clients."""

from __future__ import annotations

from intccms.facilities.base import Facility, acquire_client

__all__ = ["Facility", "acquire_client"]
