"""What a facility is, and how one is chosen by name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from intccms.errors import ConfigError
from intccms.schema.explain import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Facility", "acquire_client"]


class Facility(Protocol):
    """Hands out a Dask client and, where it starts one, the cluster behind it."""

    name: str
    """How users ask for it."""

    def open(self, num_workers: int | None) -> tuple[Any, Any]:
        """Return ``(client, cluster)``; cluster is None where the facility did not start one."""
        ...


@contextmanager
def acquire_client(
    af: str = "local", num_workers: int | None = None, close_after: bool = True
) -> Iterator[tuple[Any, Any]]:
    """Connect to a facility and yield ``(client, cluster)``.

    Parameters
    ----------
    af
        ``local``, or the address of a running scheduler, such as ``tls://localhost:8786``.
    num_workers
        Workers to ask for; None for as many as the facility gives (local: one per core).
    close_after
        Close client and cluster at the end of the block.

    Raises
    ------
    ConfigError
        If there is no such facility.
    FacilityError
        If it cannot be reached.
    """
    from intccms.facilities.local import AddressFacility, LocalFacility

    facility: Facility
    if af == LocalFacility.name:
        facility = LocalFacility()
    elif "://" in af:
        facility = AddressFacility(af)
    else:
        near = did_you_mean(af, [LocalFacility.name])
        message = f"there is no facility {af!r}.{near} Give 'local', or the address of a scheduler (tls://host:8786)."
        raise ConfigError(message)
    client, cluster = facility.open(num_workers)
    try:
        yield client, cluster
    finally:
        if close_after:
            client.close()
            if cluster is not None:
                cluster.close()
