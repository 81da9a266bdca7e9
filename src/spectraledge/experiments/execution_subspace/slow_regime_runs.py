"""Runs of the slow regime: little decay a step, three layers.

The published slow regime has a learning rate of 5e-5 and a decay of 0.1, so that decay acts 200
times slower than in the fast one, and takes some 570,000 steps. The reduced one is slow by its
decay alone, which acts a fifth as fast as in the reduced fast regime: its learning rate is 2e-3,
twice that of the fast one. What depends on the learning rate itself is not compared by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import (
    DECAY,
    EXACT,
    NO_DECAY,
    PUBLISHED_FORM,
    base_runs,
)
from spectraledge.experiments.execution_subspace.regimes import (
    HELD_OUT,
    PUBLISHED,
    REDUCED,
    SLOW,
    SMOKE,
    Regime,
)
from spectraledge.instruments import TrajectoryPCA
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.models import PreNormEncoderSpec
from spectraledge.training import Every, RunSpec

__all__ = [
    "HORIZON",
    "INSTRUMENTS",
    "OPERATION",
    "SLOW_PCA",
    "UNTIL",
    "SlowScale",
    "fast_runs",
    "slow_runs",
    "slow_scale",
]

OPERATION = "add"
# Of the published runs, which generalise after 550,000 and 585,000 steps, only the beginning is
# run unless a later horizon is asked for.
HORIZON = 25_000
# The identity of the reduced runs, whatever the horizon.
REDUCED_STEPS = 25_000
UNTIL = Decision(HELD_OUT, threshold=0.98, patience=3, further=2000, horizon=HORIZON)

SLOW_PCA = TrajectoryPCA(components=5, weight_decay=0.1)
# The cadence of the scales differs, so the instruments measure whatever is recorded.
INSTRUMENTS: tuple[Measured, ...] = (
    (SLOW_PCA, Every(1)),
    (EXACT, Every(1)),
    (PUBLISHED_FORM, Every(1)),
)

REDUCED_SLOW = replace(
    REDUCED,
    name="slow",
    model=PreNormEncoderSpec(width=64, layers=3, mlp_width=128),
    lr=2e-3,
    weight_decay=0.1,
    beta2=0.999,
    steps=REDUCED_STEPS,
    record_every=500,
    seeds=tuple(range(4)),
    operations=(OPERATION,),
)
SMOKE_SLOW = replace(
    SMOKE,
    name="slow",
    model=PreNormEncoderSpec(width=8, heads=2, layers=3, mlp_width=16),
    weight_decay=0.1,
    beta2=0.999,
    operations=(OPERATION,),
)


@dataclass(frozen=True)
class SlowScale:
    """A slow regime, and the fast one that it is compared with.

    Args:
        slow: Where the runs are.
        fast: Its fast counterpart, whose runs other studies train.
    """

    slow: Regime
    fast: Regime


SCALES: Mapping[Scale, SlowScale] = MappingProxyType({
    "smoke": SlowScale(SMOKE_SLOW, SMOKE),
    "demo": SlowScale(REDUCED_SLOW, REDUCED),
    "full": SlowScale(SLOW, PUBLISHED),
})  # fmt: skip


def slow_scale(scale: Scale) -> SlowScale:
    """The regimes of a scale."""
    return SCALES[scale]


def slow_runs(regime: Regime) -> dict[str, list[RunSpec]]:
    """Addition with decay, every seed, and the first seed without, as published."""
    without = regime.chain(weight_decay=0.0)
    return {
        DECAY: regime.runs(OPERATION),
        NO_DECAY: regime.runs(OPERATION, updates=without, seeds=regime.seeds[:1]),
    }


def fast_runs(regime: Regime) -> list[RunSpec]:
    """The base runs of addition with decay."""
    return base_runs(regime)[OPERATION, DECAY]
