"""Is curvature orthogonal to the subspace that the trajectory runs in?

The published evidence is a residual of 1.000 after projecting commutators on a basis of 16
directions, and a ratio of 1.8 to 2.9 of what lies in the basis to what lies in a random one. The
residual is what counting dimensions gives; the ratio is of another basis than the one described,
and above 1 it speaks against orthogonality. Here both bases are measured in every phase of every
run, beside the analytic law of random subspaces, and so is the converse: whether the trajectory
moves along the commutators.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import INSTRUMENTS, base_runs
from spectraledge.experiments.execution_subspace.orthogonal_curvature_page import (
    orthogonal_curvature_page,
)
from spectraledge.experiments.execution_subspace.regimes import UNTIL, regime_of
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "OrthogonalCurvature"]


@dataclass(frozen=True)
class OrthogonalCurvature(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/orthogonal_curvature"
    title: ClassVar[str] = "Is curvature orthogonal to the execution subspace?"
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS
    keep_snapshots: ClassVar[bool] = True

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every operation with and without decay; depends on nothing that is known."""
        for runs in base_runs(regime_of(scale)).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Residuals and ratios by phase, the dimension sweep, and the converse."""
        return orthogonal_curvature_page(self.title, known, scale)


STUDY = OrthogonalCurvature()
