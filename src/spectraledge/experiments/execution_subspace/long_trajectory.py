"""Where does concentration of the trajectory go in runs as long as the published hard operations?

The paper sets operations that generalise, after 3000 steps, against two that never do, after
200,000. Here the hard operations can be trained that long, and are to 40,000 steps at least, and
so is one that generalises: whatever happens to all three is the length of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.long_trajectory_page import (
    TITLE,
    long_trajectory_page,
)
from spectraledge.experiments.execution_subspace.long_trajectory_runs import (
    INSTRUMENTS,
    UNTIL,
    long_runs,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "LongTrajectory"]


@dataclass(frozen=True)
class LongTrajectory(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/long_trajectory"
    title: ClassVar[str] = TITLE
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every operation and seed; depends on nothing that is known."""
        for runs in long_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Shares over steps and at the end, beside their controls."""
        return long_trajectory_page(known, scale)


STUDY = LongTrajectory()
