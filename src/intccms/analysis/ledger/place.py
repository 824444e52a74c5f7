"""Where workers commit results: into the ledger itself if they can reach it, else the client does."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intccms.errors import CredentialsError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from intccms.analysis.ledger.names import Name
    from intccms.utils.storage import Storage

__all__ = ["Place"]

_reachable: dict[tuple[str, str], bool] = {}


@dataclass(frozen=True)
class Place:
    """The ledger as a worker sees it.

    A folder of the same name on another machine is another place. So the client leaves a token there, and a
    worker writes only where it finds it.
    """

    storage: Storage
    token: str

    @classmethod
    def open(cls, storage: Storage) -> Place:
        """Return the place after leaving a token there.

        Raises
        ------
        OutputError
            If the ledger cannot be written.
        """
        token = f".token-{secrets.token_hex(8)}.tmp"  # a name that listings leave out
        storage.put(token, token.encode())
        return cls(storage, token)

    def close(self) -> None:
        """Take the token away."""
        self.storage.delete([self.token])

    @property
    def reachable(self) -> bool:
        """Whether this process can read and write the ledger; found out once."""
        key = (self.storage.folder, self.token)
        if key not in _reachable:
            _reachable[key] = self._probe()
        return _reachable[key]

    def _probe(self) -> bool:
        try:
            if self.storage.get(self.token) != self.token.encode():
                return False
            name = f".probe-{secrets.token_hex(8)}.tmp"
            self.storage.put(name, b"")
            self.storage.delete([name])
        except (FileNotFoundError, OutputError, CredentialsError):
            return False
        return True

    def has(self, name: Name) -> bool:
        """Tell whether a record is there already."""
        return self.reachable and self.storage.size(str(name)) is not None

    def commit(self, contents: Iterable[tuple[Name, bytes]]) -> tuple[tuple[Name, bytes], ...]:
        """Write records, and return those that the client has to write in this process's stead."""
        given = tuple(contents)
        if not self.reachable:
            return given
        try:
            for name, content in given:
                self.storage.put(str(name), content)
        except (OutputError, CredentialsError):
            return given  # the client tries, and stops the run if it cannot write them either
        return ()
