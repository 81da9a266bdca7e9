"""The runs that three studies share: every operation, with and without decay, all seeds.

They are trained once and measured with everything that any of the studies looks at, since a row of
the ledger holds what was measured when it was made. All snapshots are kept, so that a run can be
measured again and its trajectory used by interventions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.regimes import UNTIL, Regime, regime_of
from spectraledge.experiments.study import Known, Study
from spectraledge.instruments import (
    CommutatorDefect,
    CurvatureAlignment,
    SubspaceProjection,
    TrajectoryPCA,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.training import Every, RunSpec

__all__ = [
    "DECAY",
    "EXACT",
    "INSTRUMENTS",
    "NO_DECAY",
    "PUBLISHED_FORM",
    "SINGULAR",
    "TRAJECTORY",
    "BaseRunStudy",
    "base_runs",
]

DECAY, NO_DECAY = "with decay", "without decay"
EXACT = CommutatorDefect(pairs=9, pieces=2)
PUBLISHED_FORM = CommutatorDefect(method="published", pairs=5)
SINGULAR = SubspaceProjection(basis="singular", components=3)
TRAJECTORY = SubspaceProjection(basis="trajectory", components=2)
INSTRUMENTS: tuple[Measured, ...] = (
    (TrajectoryPCA(components=5), Every(200)),
    (EXACT, Every(200)),
    (PUBLISHED_FORM, Every(100)),
    (SINGULAR, Every(500)),
    (TRAJECTORY, Every(500)),
    (CurvatureAlignment(), Every(500)),
)


class BaseRunStudy(Study):
    """A study of the base runs alone; concrete ones are frozen dataclasses with a page."""

    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS
    keep_snapshots: ClassVar[bool] = True

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every operation with and without decay; depends on nothing that is known."""
        for runs in base_runs(regime_of(scale)).values():
            yield from runs


def base_runs(regime: Regime) -> dict[tuple[str, str], list[RunSpec]]:
    """One run a seed for every operation with and without decay.

    Args:
        regime: Where.

    Returns:
        Runs by (operation, `DECAY` or `NO_DECAY`).
    """
    strengths = {DECAY: None, NO_DECAY: 0.0}
    return {
        (operation, name): regime.runs(operation, updates=regime.chain(weight_decay=strength))
        for name, strength in strengths.items()
        for operation in regime.operations
    }
