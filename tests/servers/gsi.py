"""A grid of its own: an authority, certificates of a host and a user, proxies, and servers that ask for them."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.process import HOST, needs, server_folder
from tests.servers.xrootd import give, xrootd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.xrootd import XRootDServer

__all__ = ["Grid", "grid"]

_SUBJECT = "/DC=test/CN=Authority"

_AUTHORITY = """\
[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

_POLICY = f"""\
access_id_CA X509 '{_SUBJECT}'
pos_rights globus CA:sign
cond_subjects globus '"/DC=test/*"'
"""

_DAYS = "2"


class Grid:
    """An authority that has signed the certificates of one host and one user.

    Parameters
    ----------
    folder
        For keys and certificates.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._openssl = needs("openssl", "apt-get install openssl")
        self._faker = needs("voms-proxy-fake", "apt-get install voms-clients")
        self.authorities = folder / "certificates"
        """The folder for ``X509_CERT_DIR``."""
        self._make_authority()
        self._sign("host", f"/DC=test/CN={HOST}", f"subjectAltName=IP:{HOST}\n")
        self._sign("user", "/DC=test/CN=alice", "keyUsage=critical,digitalSignature,keyEncipherment\n")
        give(folder / "host.pem", folder / "host.key")

    @property
    def configuration(self) -> str:
        """Return the lines with which a server asks for proxies."""
        host = self._folder / "host"
        return (
            "xrootd.seclib libXrdSec.so\n"
            f"sec.protocol gsi -certdir:{self.authorities} -cert:{host}.pem -key:{host}.key -crl:0 -gmapopt:10 -dlgpxy:0\n"
        )

    def environment(self, proxy: Path) -> dict[str, str]:
        """Return the variables of a user with a proxy."""
        return {
            "X509_USER_PROXY": str(proxy),
            "X509_CERT_DIR": str(self.authorities),
            "XrdSecGSISRVNAMES": "*",
        }

    def write_proxy(self, path: Path, seconds: int = 12 * 3600) -> Path:
        """Write a proxy of the user for ``cms``, valid for a number of seconds from now; one of 0 has expired."""
        files = [
            *("-cert", "user.pem", "-key", "user.key", "-hostcert", "host.pem", "-hostkey", "host.key"),
            *("-certdir", str(self.authorities), "-out", str(path)),
        ]
        of_whom = ["-voms", "cms", "-fqan", "/cms/Role=NULL/Capability=NULL", "-uri", "voms.test:15002"]
        hours = seconds // 3600 + 1  # there is no finer unit, but it may have begun before
        begun = ["-hours", str(hours), "-pastproxy", str(hours * 3600 - seconds)]
        self._run(self._faker, *files, *of_whom, *begun, "-rfc", "-bits", "2048")
        return path

    @contextmanager
    def server(self) -> Iterator[XRootDServer]:
        """Yield a server that has started and asks for proxies."""
        with xrootd(self.configuration) as started:
            yield started

    def _make_authority(self) -> None:
        (self._folder / "authority.cnf").write_text(_AUTHORITY)
        new = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", _DAYS, "-config", "authority.cnf"]
        files = ["-keyout", "authority.key", "-out", "authority.pem"]
        self._run(self._openssl, "req", *new, "-subj", _SUBJECT, *files)
        self.authorities.mkdir()
        certificate = (self._folder / "authority.pem").read_text()
        for kind in ("-subject_hash", "-subject_hash_old"):
            name = self._run(self._openssl, "x509", "-in", "authority.pem", "-noout", kind).strip()
            (self.authorities / f"{name}.0").write_text(certificate)
            (self.authorities / f"{name}.signing_policy").write_text(_POLICY)

    def _sign(self, name: str, subject: str, extensions: str) -> None:
        (self._folder / f"{name}.ext").write_text(f"basicConstraints=CA:FALSE\n{extensions}")
        files = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
        self._run(self._openssl, "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, *files)
        by = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", _DAYS]
        what = ["-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.pem"]
        self._run(self._openssl, "x509", "-req", *by, *what)
        (self._folder / f"{name}.key").chmod(0o400)

    def _run(self, *command: str) -> str:
        environment = {**os.environ, "X509_CERT_DIR": str(self.authorities)}
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def grid() -> Iterator[Grid]:
    """Yield an authority with what it has signed."""
    needs("xrootd", "apt-get install xrootd-server xrootd-server-plugins")
    with server_folder() as folder:
        yield Grid(folder)
