"""Does suppressing the gradient outside the execution subspace delay grokking?

The published dose-response, with the controls that tell why: under Adam, which does not notice how
long a gradient is, weakening what lies outside 16 directions is strengthening what lies inside.
So the inside is strengthened alone, everything is weakened alike, the basis is exchanged (for
random ones, for the run's own past, for the initial weights), and the projection is moved behind
Adam or onto the decay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.interventions import (
    MEASURED,
    UNTIL_GROK_STOP,
    intervened,
    protocol_of,
    wanted_baselines,
)
from spectraledge.experiments.execution_subspace.suppression_arms import CHAINS
from spectraledge.experiments.execution_subspace.suppression_page import suppression_page
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "SuppressionDoseResponse"]


@dataclass(frozen=True)
class SuppressionDoseResponse(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/suppression_dose_response"
    title: ClassVar[str] = "Does suppressing what leaves the execution subspace delay grokking?"
    until: ClassVar[Decision | None] = UNTIL_GROK_STOP
    instruments: ClassVar[tuple[Measured, ...]] = MEASURED

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """The ordinary runs, then every arm on the seeds that generalised."""
        protocol = protocol_of(scale)
        yield from wanted_baselines(known, protocol)
        for runs in intervened(known, protocol, CHAINS).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Times with censoring, the dose-response, train accuracy, norms and verdicts."""
        return suppression_page(self.title, known, scale)


STUDY = SuppressionDoseResponse()
