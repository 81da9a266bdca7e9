"""Does the published basis hold more curvature than a random one?

The basis that was described is made of principal directions of the whole run, so at every step it
knows where the run will go. The study `orthogonal_curvature` measures the trajectory so far, which
is what an instrument can know, and singular directions, which is what was run. Here the described
basis is measured in hindsight, beside the trajectory so far, on the same records of the same runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.published_basis_page import (
    TITLE,
    published_basis_page,
)
from spectraledge.experiments.execution_subspace.published_basis_runs import (
    INSTRUMENTS,
    REGIMES,
    published_basis_runs,
)
from spectraledge.experiments.execution_subspace.regimes import UNTIL
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "PublishedBasis"]


@dataclass(frozen=True)
class PublishedBasis(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/published_basis"
    title: ClassVar[str] = TITLE
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS
    keep_snapshots: ClassVar[bool] = True

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """An operation that generalises and another, with decay; all seeds."""
        for runs in published_basis_runs(REGIMES[scale]).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Ratios on both bases by phase, what the future adds, and residuals."""
        return published_basis_page(known, scale)


STUDY = PublishedBasis()
