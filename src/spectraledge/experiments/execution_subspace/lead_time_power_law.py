"""Does the lead of the defect onset grow as a power of the time to generalise?

The published exponent is that of the lead, which contains the time that it is fitted to, pooled
over learning rates. Leads and onsets by learning rate, exponents between and within rates, and
what onsets shuffled among the runs of a rate give.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.lead_time_power_law_page import (
    TITLE,
    lead_time_power_law_page,
)
from spectraledge.experiments.execution_subspace.learning_rate_runs import (
    INSTRUMENTS,
    UNTIL,
    learning_rate_runs,
)
from spectraledge.experiments.execution_subspace.regimes import regime_of
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "LeadTimePowerLaw"]


@dataclass(frozen=True)
class LeadTimePowerLaw(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/lead_time_power_law"
    title: ClassVar[str] = TITLE
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every operation at every learning rate."""
        for runs in learning_rate_runs(regime_of(scale)).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Leads by learning rate, exponents, and what shuffled onsets give."""
        return lead_time_power_law_page(known, scale)


STUDY = LeadTimePowerLaw()
