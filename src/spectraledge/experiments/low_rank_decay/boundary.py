"""At which train fraction do half of the seeds generalise, arm by arm?

The published phase diagram has one seed, no baseline of matched strength, and a split that leaks.
Here every arm is tuned on the same grid with splits of its own; then its boundary is found by
bisection and a ladder of fractions, and compared with that of L2 over paired seeds. Two conditions:
every arm at its own best setting, and some arms at the best setting of L2, where a step of equal
length separates direction from strength.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.boundary_page import boundary_page
from spectraledge.experiments.low_rank_decay.contenders import contenders, ladder_runs
from spectraledge.experiments.low_rank_decay.sizes import size_of
from spectraledge.experiments.low_rank_decay.tuning import grid
from spectraledge.experiments.study import Known, Study
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "BoundaryStudy"]


@dataclass(frozen=True)
class BoundaryStudy(Study):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/boundary"
    title: ClassVar[str] = "Does low-rank decay move the train fraction needed to generalise?"

    def groundwork(self, scale: Scale) -> Iterable[RunSpec]:
        """Tuning."""
        return grid(size_of(scale))

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """For each arm, where its bisection leads."""
        size = size_of(scale)
        for contender in contenders(known, size):
            yield from ladder_runs(known, contender, size)

    def page(self, known: Known, scale: Scale) -> Page:
        """Boundaries, differences to L2, tuning, survival curves and verdicts."""
        return boundary_page(known, scale)


STUDY = BoundaryStudy()
