"""One source of a set of members: scales, PDF eigenvectors or replicas become an up and a down variation, bin by bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MemberSet"]


@dataclass(frozen=True)
class MemberSet:
    """The members of a source, which were filled one by one."""

    source: str
    members: tuple[str, ...]
    """Names of their variations."""
    how: str
    """``envelope``, ``hessian`` or ``replicas``; see `intccms.schema.corrections.UncertaintySource`."""

    @property
    def combined(self) -> tuple[str, str]:
        """Names of the variations that are made of them."""
        return f"{self.source}_up", f"{self.source}_down"

    def combine(
        self, nominal: tuple[Any, Any], members: Sequence[tuple[Any, Any]]
    ) -> tuple[
        tuple[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]
    ]:
        """Return values and variances of up and down, in the shape of the members'.

        The envelope is the highest and the lowest of nominal and all members in each bin (scale variations,
        arXiv:2203.12444 and earlier CMS use); ``hessian`` adds the members' differences from nominal in quadrature
        (symmetric Hessian sets, PDF4LHC15, arXiv:1510.03865, eq. 20); ``replicas`` takes their root mean square
        about nominal. Variances are those of the member in the envelope, else of nominal.

        Parameters
        ----------
        nominal
            Values and variances of the nominal content.
        members
            The same of each member.
        """
        values = np.stack([nominal[0], *(one[0] for one in members)])
        if self.how == "envelope":
            variances = np.stack([nominal[1], *(one[1] for one in members)])
            return _chosen(values, variances, values.argmax(axis=0)), _chosen(
                values, variances, values.argmin(axis=0)
            )
        differences = values[1:] - values[0]
        squares = np.sum(differences * differences, axis=0)
        shift = np.sqrt(squares if self.how == "hessian" else squares / len(members))
        return (values[0] + shift, nominal[1].copy()), (values[0] - shift, nominal[1].copy())


def _chosen(
    values: NDArray[np.float64], variances: NDArray[np.float64], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    place = index[None]
    return (
        np.take_along_axis(values, place, axis=0)[0],
        np.take_along_axis(variances, place, axis=0)[0],
    )
