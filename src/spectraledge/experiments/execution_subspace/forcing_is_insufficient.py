"""Does pushing a run out of the execution subspace make it grok sooner?

Published: single kicks along the commutator, sustained ones, noise orthogonal to the subspace and
a weak projection change nothing. Here their lengths are put beside that of an optimizer's step,
random kicks are matched to the commutator's in length, equality is shown by intervals within a
margin instead of by similar means, and the same pushes are made so large that they must matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.forcing_arms import CHAINS
from spectraledge.experiments.execution_subspace.forcing_page import forcing_page
from spectraledge.experiments.execution_subspace.interventions import (
    MEASURED,
    UNTIL_GROK_STOP,
    intervened,
    protocol_of,
    wanted_baselines,
)
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "ForcingIsInsufficient"]


@dataclass(frozen=True)
class ForcingIsInsufficient(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/forcing_is_insufficient"
    title: ClassVar[str] = "Does pushing out of the execution subspace hasten grokking?"
    until: ClassVar[Decision | None] = UNTIL_GROK_STOP
    instruments: ClassVar[tuple[Measured, ...]] = MEASURED

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """The ordinary runs, then every arm on the seeds that generalised."""
        # As published, on addition alone.
        protocol = protocol_of(scale, ("add",))
        yield from wanted_baselines(known, protocol)
        for runs in intervened(known, protocol, CHAINS).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Sizes, differences with their margin, and verdicts."""
        return forcing_page(self.title, known, scale)


STUDY = ForcingIsInsufficient()
