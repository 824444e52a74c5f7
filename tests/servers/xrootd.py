"""XRootD: a data server, and a redirector with data servers behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.process import HOST, ServerProcess, free_port, needs, server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cluster", "XRootDServer", "cluster", "give", "xrootd"]

_USER = "xrootd"
"""Made by the Debian package; the server refuses to run as root."""

_PACKAGES = "apt-get install xrootd-server xrootd-server-plugins"

_CONFIGURATION = """\
xrd.port {port}
xrd.network nodnr
oss.localroot {folder}/files
all.export /store
all.adminpath {folder}/admin
all.pidpath {folder}/admin
"""

_CHECKSUMS = "xrootd.chksum max 2 adler32 crc32c\n"

_FORMED = 20
"""Seconds that data servers have to be known to their redirector."""


class XRootDServer(ServerProcess):
    """Serves the files below a folder for reading and writing.

    Parameters
    ----------
    folder
        For configuration, logs and files; processes of one machine share it.
    shim
        Keeps the server on the loopback address.
    more
        Further lines of its configuration.
    program
        ``xrootd``, or ``cmsd``, which stands beside it in a cluster.
    """

    def __init__(self, folder: Path, shim: Path, more: str = _CHECKSUMS, program: str = "xrootd") -> None:
        self._folder, self._more, self._program = folder, more, program
        self._path = needs(program, _PACKAGES)
        self.files = folder / "files/store"
        """Where the files lie on this machine."""
        for path in (self.files, folder / "admin", folder / "log"):
            path.mkdir(parents=True, exist_ok=True)
        give(self.files.parent, self.files, folder / "admin", folder / "log")
        user = _USER if os.geteuid() == 0 else None
        super().__init__(self._arguments, folder / f"{program}.output", user, {"LD_PRELOAD": str(shim)})

    @property
    def host(self) -> str:
        """Return the URL of the server."""
        return f"root://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL of the folder."""
        return f"{self.host}//store"

    def _arguments(self, port: int) -> list[str]:
        configuration = self._folder / f"{self._program}.cfg"
        configuration.write_text(_CONFIGURATION.format(port=port, folder=self._folder) + self._more)
        log = self._folder / f"log/{self._program}.log"
        return [self._path, "-I", "v4", "-c", str(configuration), "-l", str(log), "-n", "data"]


class _Companion(XRootDServer):
    """The ``cmsd`` beside a data server: it tells the redirector of it, and listens on no port that one could choose."""

    def _answers(self) -> bool:
        return (self._folder / "admin/data/.olb/olbd.admin").exists()


def give(*paths: Path) -> None:
    """Make the servers' user the owner of files and folders, where that is not who runs the tests."""
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, _USER, _USER)


def _shim(folder: Path) -> Path:
    compiler = needs("gcc", "apt-get install gcc libc6-dev")
    shim, source = folder / "loopback.so", Path(__file__).with_name("loopback.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    return shim


@contextmanager
def xrootd(more: str = "") -> Iterator[XRootDServer]:
    """Yield a server that has started; with further lines of configuration."""
    needs("xrootd", _PACKAGES)
    with server_folder() as folder:
        server = XRootDServer(folder, _shim(folder), _CHECKSUMS + more)
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Cluster:
    """A redirector and data servers, each with its ``cmsd``.

    Parameters
    ----------
    folder
        For all of them.
    number
        Of data servers.
    """

    def __init__(self, folder: Path, number: int) -> None:
        shim = _shim(folder)
        self._folder, self._port = folder / "redirector", free_port()
        where = f"all.manager {HOST}:{self._port}\n"
        # the file of a redirector is looked for during 2 s, if no server is known to have it
        first = f"all.role manager\n{where}cms.delay startup 1 lookup 2\n"
        self._manager = XRootDServer(self._folder, shim, first, "cmsd")
        self.redirector = XRootDServer(self._folder, shim, first)
        more = f"all.role server\n{where}{_CHECKSUMS}"
        self.servers = [XRootDServer(folder / f"data{index}", shim, more) for index in range(number)]
        """The data servers."""
        self._companions = [
            _Companion(folder / f"data{index}", shim, more, "cmsd") for index in range(number)
        ]

    def start(self) -> None:
        """Start everything, and wait until the redirector knows the data servers."""
        self._manager.port = self._port
        self._manager.restart()
        # before its data server, which otherwise looks for it again after 10 s only
        for one in (*self._companions, *self.servers, self.redirector):
            one.start()
        self._wait()

    def kill_server(self, index: int) -> None:
        """Kill a data server, as when its machine fails."""
        self.servers[index].kill()
        self._companions[index].kill()

    def kill(self) -> None:
        """Kill everything."""
        for one in (self.redirector, self._manager, *self.servers, *self._companions):
            one.kill()

    def _wait(self) -> None:
        log, wanted = self._folder / "log/data/cmsd.log", [f":{one.port} logged in" for one in self.servers]
        end = time.monotonic() + _FORMED
        while True:
            text = log.read_text(errors="replace") if log.exists() else ""
            if "manager service enabled" in text and all(one in text for one in wanted):
                return
            if time.monotonic() > end:
                pytest.fail(
                    f"the data servers are not known to the redirector:\n{text[-2000:]}", pytrace=False
                )
            time.sleep(0.05)


@contextmanager
def cluster(number: int = 2) -> Iterator[Cluster]:
    """Yield a redirector with data servers, all of which have started."""
    needs("cmsd", _PACKAGES)
    with server_folder() as folder:
        started = Cluster(folder, number)
        try:
            started.start()
            yield started
        finally:
            started.kill()
