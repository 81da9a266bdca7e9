"""Does transverse curvature grow before a network generalises, and only then?

The published commutator defect beside the exact one, what its numerator and denominator do, the
published onset rule with its leads, other thresholds, and how often the rule is wrong: in
operations that do not generalise and without weight decay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import INSTRUMENTS, base_runs
from spectraledge.experiments.execution_subspace.curvature_page import TITLE, curvature_page
from spectraledge.experiments.execution_subspace.regimes import UNTIL, regime_of
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "CurvaturePrecedesGeneralisation"]


@dataclass(frozen=True)
class CurvaturePrecedesGeneralisation(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/curvature_precedes_generalisation"
    title: ClassVar[str] = TITLE
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS
    keep_snapshots: ClassVar[bool] = True

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every operation, with and without decay."""
        for runs in base_runs(regime_of(scale)).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Defects, their parts, leads, and how specific the onset is."""
        return curvature_page(known, scale)


STUDY = CurvaturePrecedesGeneralisation()
