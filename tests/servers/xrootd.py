"""An XRootD data server."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.process import HOST, ServerProcess, needs, server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["XRootDServer", "xrootd"]

_USER = "xrootd"
"""Made by the Debian package; the server refuses to run as root."""

_CONFIGURATION = """\
xrd.port {port}
xrd.network nodnr
oss.localroot {folder}/files
all.export /store
all.adminpath {folder}/admin
all.pidpath {folder}/admin
xrootd.chksum max 2 adler32 crc32c
"""


class XRootDServer(ServerProcess):
    """Serves the files below a folder for reading and writing."""

    def __init__(self, folder: Path, program: str, shim: Path) -> None:
        self._folder, self._program = folder, program
        self.files = folder / "files/store"
        """Where the files lie on this machine."""
        user = _USER if os.geteuid() == 0 else None
        for path in (self.files, folder / "admin", folder / "log"):
            path.mkdir(parents=True)
        if user is not None:
            for path in (self.files.parent, self.files, folder / "admin", folder / "log"):
                shutil.chown(path, user, user)
        super().__init__(self._arguments, folder / "output", user, {"LD_PRELOAD": str(shim)})

    @property
    def url(self) -> str:
        """Return the URL of the folder."""
        return f"root://{HOST}:{self.port}//store"

    def _arguments(self, port: int) -> list[str]:
        configuration = self._folder / "server.cfg"
        configuration.write_text(_CONFIGURATION.format(port=port, folder=self._folder))
        log = self._folder / "log/xrootd.log"
        return [self._program, "-I", "v4", "-c", str(configuration), "-l", str(log), "-n", "data"]


@contextmanager
def xrootd() -> Iterator[XRootDServer]:
    """Yield a server that has started."""
    program = needs("xrootd", "apt-get install xrootd-server xrootd-server-plugins")
    compiler = needs("gcc", "apt-get install gcc libc6-dev")
    with server_folder() as folder:
        shim = folder / "loopback.so"
        source = Path(__file__).with_name("loopback.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        server = XRootDServer(folder, program, shim)
        try:
            server.start()
            yield server
        finally:
            server.kill()
