"""Is curvature orthogonal to the subspace that the trajectory runs in?

The published evidence is a residual of 1.000 after projecting commutators on a basis of 16
directions, and a ratio of 1.8 to 2.9 of what lies in the basis to what lies in a random one. The
residual is what counting dimensions gives; the ratio is of another basis than the one described,
and above 1 it speaks against orthogonality. Here both bases are measured in every phase of every
run, beside the analytic law of random subspaces, and so is the converse: whether the trajectory
moves along the commutators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import BaseRunStudy
from spectraledge.experiments.execution_subspace.orthogonal_curvature_page import (
    orthogonal_curvature_page,
)
from spectraledge.experiments.study import Known
from spectraledge.report import Page

__all__ = ["STUDY", "OrthogonalCurvature"]


@dataclass(frozen=True)
class OrthogonalCurvature(BaseRunStudy):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/orthogonal_curvature"
    title: ClassVar[str] = "Is curvature orthogonal to the execution subspace?"

    def page(self, known: Known, scale: Scale) -> Page:
        """Residuals and ratios by phase, the dimension sweep, and the converse."""
        return orthogonal_curvature_page(self.title, known, scale)


STUDY = OrthogonalCurvature()
