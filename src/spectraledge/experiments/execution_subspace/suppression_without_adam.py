"""Does suppression delay grokking where the optimizer does not undo it?

Adam divides each gradient coordinate by its own recent size, so under Adam weakening what lies
outside a subspace is strengthening what lies inside. SGD with momentum takes a gradient as it is.
So the published suppression, its amplified and its scaled counterpart are repeated under SGD, in
the reduced regime; there is no published run to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.interventions import (
    MEASURED,
    UNTIL_GROK_STOP,
    Chains,
    Protocol,
    intervened,
    wanted_baselines,
)
from spectraledge.experiments.execution_subspace.regimes import (
    PUBLISHED,
    REDUCED,
    SMOKE,
    Regime,
)
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AMPLIFIED,
    PRIMARY,
    RANDOM,
    SCALED,
    dose,
)
from spectraledge.experiments.execution_subspace.suppression_arms import CHAINS as EVERY
from spectraledge.experiments.execution_subspace.without_adam_page import without_adam_page
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["CHAINS", "STUDY", "SuppressionWithoutAdam", "sgd_protocol"]

CHAINS: Chains = MappingProxyType(
    {arm: EVERY[arm] for arm in (dose(0.5), PRIMARY, dose(1.0), AMPLIFIED, SCALED, RANDOM)}
)


def _under_sgd(regime: Regime) -> Regime:
    """SGD at a rate at which it groks about as soon as Adam, with the same decay a step."""
    lr = 0.1
    decay = regime.lr * regime.weight_decay / lr
    return replace(regime, lr=lr, weight_decay=decay, momentum=0.9)


SGD_PUBLISHED, SGD_REDUCED, SGD_SMOKE = map(_under_sgd, (PUBLISHED, REDUCED, SMOKE))
PROTOCOLS: Mapping[Scale, Protocol] = MappingProxyType({
    "smoke": Protocol(SGD_SMOKE, ("add",), SGD_SMOKE.seeds, start=25, decides=False),
    "demo": Protocol(SGD_REDUCED, ("add",), SGD_REDUCED.seeds[:5]),
    # The rate was chosen in the reduced regime; no paper uses SGD here.
    "full": Protocol(SGD_PUBLISHED, ("add",), SGD_PUBLISHED.seeds),
})  # fmt: skip


def sgd_protocol(scale: Scale) -> Protocol:
    """Where the interventions of a scale take place."""
    return PROTOCOLS[scale]


@dataclass(frozen=True)
class SuppressionWithoutAdam(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/suppression_without_adam"
    title: ClassVar[str] = "Does suppression delay grokking where Adam does not undo it?"
    until: ClassVar[Decision | None] = UNTIL_GROK_STOP
    instruments: ClassVar[tuple[Measured, ...]] = MEASURED

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """The ordinary runs under SGD, then every arm on the seeds that generalised."""
        protocol = sgd_protocol(scale)
        yield from wanted_baselines(known, protocol)
        for runs in intervened(known, protocol, CHAINS).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Times, delays and verdicts."""
        return without_adam_page(self.title, known, scale, sgd_protocol(scale), CHAINS)


STUDY = SuppressionWithoutAdam()
