"""The runs of the learning-rate sweep: steps and records at a fixed cadence in units of 1/lr.

At one cadence in steps, the earliest onset that can be reported is a constant number of steps, and
leads at high learning rates measure the cadence. Here a record is as much of a run at every rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from spectraledge.experiments.execution_subspace.base_runs import EXACT, PUBLISHED_FORM
from spectraledge.experiments.execution_subspace.regimes import (
    GROKKING,
    HELD_OUT,
    Regime,
)
from spectraledge.instruments import CurvatureAlignment, TrajectoryPCA
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.training import Every, RunSpec

__all__ = ["INSTRUMENTS", "UNTIL", "learning_rate_runs", "rates_of"]

# The cadence of the runs differs, so the instruments measure whatever is recorded.
INSTRUMENTS: tuple[Measured, ...] = (
    (EXACT, Every(1)),
    (PUBLISHED_FORM, Every(1)),
    (TrajectoryPCA(components=5), Every(1)),
    (CurvatureAlignment(), Every(1)),
)
UNTIL = Decision(HELD_OUT, threshold=0.98, patience=3, further=500)

# Records, and steps of a run, times the learning rate; so 100 and 6000 steps at 1e-3.
RECORD, LENGTH = 0.1, 6.0
# Runs at high rates cross 0.98 early and fall back many times before three records hold it.
LEAST_STEPS = 3000
# Measuring takes most of the time of a published run at 1e-2, so it is recorded half as often.
LEAST_RECORD: Mapping[str, int] = MappingProxyType({"smoke": 10, "reduced": 10, "published": 20})

RATES: Mapping[str, tuple[float, ...]] = MappingProxyType({
    "smoke": (3e-3, 1e-2),
    "reduced": (3e-4, 1e-3, 3e-3, 1e-2),
    "published": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
})  # fmt: skip
OPERATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "smoke": ("add",),
    "reduced": ("add", "x2_y2"),
    "published": ("add", "mul"),
})  # fmt: skip
MOST_STEPS: Mapping[str, int] = MappingProxyType({
    "smoke": 200,
    "reduced": 25_000,
    "published": 200_000,
})  # fmt: skip
# At the two rates of the published fit every operation that generalises: at 1e-3 those are the base
# runs, and the others would take hours at every rate.
OPERATIONS_OF_RATE: Mapping[tuple[str, float], tuple[str, ...]] = MappingProxyType(
    {("published", 1e-4): GROKKING, ("published", 1e-3): GROKKING}
)
SEEDS = 5
# A published run at the lowest rate takes ten times as long as one at 1e-3.
SEEDS_OF_RATE: Mapping[tuple[str, float], int] = MappingProxyType({("published", 1e-4): 1})


def rates_of(regime: Regime) -> tuple[float, ...]:
    """The learning rates of a regime, ascending.

    Args:
        regime: ``smoke``, ``reduced`` or ``published``.

    Returns:
        The rates.

    Raises:
        ValueError: For another regime.
    """
    if regime.name not in RATES:
        raise ValueError(f"no learning-rate sweep at {regime.name!r}; known: {', '.join(RATES)}")
    return RATES[regime.name]


def learning_rate_runs(regime: Regime) -> dict[tuple[float, str], list[RunSpec]]:
    """At most five seeds for every learning rate and operation, at the lowest published one one.

    At the regime's own rate they are the base runs, whose records have the same cadence.

    Args:
        regime: Where; its own learning rate, steps and cadence are replaced.

    Returns:
        Runs by (learning rate, operation).

    Raises:
        ValueError: For a regime without a sweep.
    """
    return {
        (lr, operation): [
            _paced(spec, regime) for spec in regime.runs(operation, lr=lr, seeds=_seeds(regime, lr))
        ]
        for lr in rates_of(regime)
        for operation in _operations(regime, lr)
    }


def _paced(spec: RunSpec, regime: Regime) -> RunSpec:
    if spec.lr == regime.lr:
        return spec
    steps, cadence = _steps(spec.lr, regime.name), _cadence(spec.lr, regime.name)
    return replace(spec, steps=steps, record_every=cadence)


def _operations(regime: Regime, lr: float) -> tuple[str, ...]:
    return OPERATIONS_OF_RATE.get((regime.name, lr), OPERATIONS[regime.name])


def _seeds(regime: Regime, lr: float) -> tuple[int, ...]:
    return regime.seeds[: SEEDS_OF_RATE.get((regime.name, lr), SEEDS)]


def _cadence(lr: float, name: str) -> int:
    return max(LEAST_RECORD[name], round(RECORD / lr))


def _steps(lr: float, name: str) -> int:
    return min(MOST_STEPS[name], max(LEAST_STEPS, round(LENGTH / lr)))
