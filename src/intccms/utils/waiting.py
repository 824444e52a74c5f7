"""Limits for whoever reads behind a URL: no server is waited for without end."""

from __future__ import annotations

from intccms.utils.patience import PATIENCE
from intccms.utils.xrootd import is_xrootd, set_limits

__all__ = ["limit_waiting"]

_ATTEMPTS = 10
"""Time-outs in a row that make a server of S3 count as silent; s3fs asks 5 times for facts and 25 times for bytes."""


def limit_waiting(url: str) -> None:
    """Make the client of a URL's server give up in a bounded time; what the user has set stays.

    For XRootD see `set_limits`. S3's client would wait 15 s in each of up to 125 attempts, those of botocore times those
    of s3fs. Here it waits for half of the patience for facts of a file and for two and a half times the patience for
    its bytes; the limits are put into the configuration of fsspec, which all users of it share.
    """
    if is_xrootd(url):
        set_limits()
    elif url.startswith(("s3://", "s3a://")):
        import fsspec

        limits = {
            "connect_timeout": min(5.0, PATIENCE / _ATTEMPTS),
            "read_timeout": PATIENCE / _ATTEMPTS,
            "retries": {"total_max_attempts": 1},
        }
        fsspec.config.conf.setdefault("s3", {}).setdefault("config_kwargs", limits)
