"""Limits for whoever reads behind a URL: no server is waited for without end."""

from __future__ import annotations

from intccms.utils.patience import PATIENCE
from intccms.utils.urls import is_s3
from intccms.utils.xrootd import is_xrootd, set_limits

__all__ = ["limit_waiting"]

_RETRIES = 3
"""Times that s3fs asks a server for facts of a file; for its bytes as often again each time."""


def limit_waiting(url: str) -> None:
    """Make the client of a URL's server give up in a bounded time; what the user has set stays.

    For XRootD see `set_limits`. S3's client would wait 15 s in each of up to 125 attempts, those of botocore times those
    of s3fs. Its limits are put where all users of s3fs in this process share them.
    """
    if is_xrootd(url):
        set_limits()
    elif is_s3(url):
        import fsspec
        import s3fs

        s3fs.S3FileSystem.retries = _RETRIES
        longest = PATIENCE / _RETRIES**2
        limits = {
            "connect_timeout": longest,
            "read_timeout": longest,
            "retries": {"total_max_attempts": 1},
        }
        fsspec.config.conf.setdefault("s3", {}).setdefault("config_kwargs", limits)
