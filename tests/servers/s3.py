"""An S3 server: rclone, which checks signatures."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers.process import HOST, ServerProcess, needs, server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["S3Server", "s3"]

_KEY = "TESTKEY0123456789AB"
_SECRET = "testsecret0123456789"  # of a server that lives for one test


class S3Server(ServerProcess):
    """Serves the folders of a folder as buckets; there is one, named ``bucket``."""

    def __init__(self, folder: Path, program: str, key: str = _KEY, secret: str = _SECRET) -> None:
        self._program = program
        self.key, self.secret = key, secret
        self.files = folder / "buckets"
        """Where the buckets lie on this machine; what is put there directly is seen late."""
        (self.files / "bucket").mkdir(parents=True)
        super().__init__(self._arguments, folder / "output")

    url = "s3://bucket"

    def options(
        self, *, port: int | None = None, key: str | None = None, secret: str | None = None
    ) -> dict[str, Any]:
        """Return the options for s3fs; with the port of a proxy, if it is to go through one."""
        return {
            "key": key or self.key,
            "secret": secret or self.secret,
            "endpoint_url": f"http://{HOST}:{port or self.port}",
            # rclone answers a request for a range with the checksum of the whole
            "config_kwargs": {
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        }

    def environment(self, **changes: Any) -> dict[str, str]:
        """Return the variables that stand for `options`."""
        options = self.options(**changes)
        return {
            "AWS_ACCESS_KEY_ID": options["key"],
            "AWS_SECRET_ACCESS_KEY": options["secret"],
            "AWS_ENDPOINT_URL": options["endpoint_url"],
            **{f"AWS_{name.upper()}": value for name, value in options["config_kwargs"].items()},
        }

    def _arguments(self, port: int) -> list[str]:
        return [
            *(self._program, "serve", "s3", str(self.files), "--addr", f"{HOST}:{port}"),
            *("--auth-key", f"{self.key},{self.secret}", "--config", "/dev/null", "--log-level", "INFO"),
        ]


@contextmanager
def s3(key: str = _KEY, secret: str = _SECRET) -> Iterator[S3Server]:
    """Yield a server that has started and knows one pair of credentials."""
    program = needs("rclone", 'pip install "intccms[servers]"')
    with server_folder() as folder:
        server = S3Server(folder, program, key, secret)
        try:
            server.start()
            yield server
        finally:
            server.kill()
