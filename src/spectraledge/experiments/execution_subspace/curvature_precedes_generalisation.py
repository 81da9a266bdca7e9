"""Does transverse curvature grow before a network generalises, and only then?

The published commutator defect beside the exact one, what its numerator and denominator do, the
published onset rule with its leads, other thresholds, and how often the rule is wrong: in
operations that do not generalise and without weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import BaseRunStudy
from spectraledge.experiments.execution_subspace.curvature_page import TITLE, curvature_page
from spectraledge.experiments.study import Known
from spectraledge.report import Page

__all__ = ["STUDY", "CurvaturePrecedesGeneralisation"]


@dataclass(frozen=True)
class CurvaturePrecedesGeneralisation(BaseRunStudy):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/curvature_precedes_generalisation"
    title: ClassVar[str] = TITLE

    def page(self, known: Known, scale: Scale) -> Page:
        """Defects, their parts, leads, and how specific the onset is."""
        return curvature_page(known, scale)


STUDY = CurvaturePrecedesGeneralisation()
