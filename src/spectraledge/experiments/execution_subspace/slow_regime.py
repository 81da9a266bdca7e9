"""Does the onset of the defect lead by more where training is slow, and is PC1 lower there?

The published slow regime (learning rate 5e-5, decay 0.1, three layers) generalises after some
570,000 steps. Its leads are the largest of the paper; its defect is exactly zero in many records,
which is the published form giving out. Here the published runs are taken as far as the page says,
and a reduced slow regime to the end with several seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.slow_regime_page import TITLE, slow_regime_page
from spectraledge.experiments.execution_subspace.slow_regime_runs import (
    INSTRUMENTS,
    UNTIL,
    slow_runs,
    slow_scale,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "SlowRegime"]


@dataclass(frozen=True)
class SlowRegime(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/slow_regime"
    title: ClassVar[str] = TITLE
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Addition with decay, every seed, and one seed without."""
        for runs in slow_runs(slow_scale(scale).slow).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Leads, where the published form gives out, and shares beside the fast regime's."""
        return slow_regime_page(known, scale)


STUDY = SlowRegime()
