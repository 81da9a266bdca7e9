"""Runs that can be as long as the published ones of the hard operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import DECAY
from spectraledge.experiments.execution_subspace.regimes import (
    HARD,
    HELD_OUT,
    Regime,
    regime_of,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import Cells, Run
from spectraledge.experiments.study import Known
from spectraledge.instruments import TrajectoryPCA
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.training import Every, RunSpec

__all__ = [
    "GENERALISING",
    "HORIZON",
    "INSTRUMENTS",
    "PUBLISHED_STEPS",
    "STEPS",
    "UNTIL",
    "all_reached",
    "long_cells",
    "long_regime",
    "long_runs",
    "not_learned",
]

# Trained on after it has generalised, so that it is as long as the hard ones.
GENERALISING = "add"
PUBLISHED_STEPS = 200_000
# Ten times the longest run that generalises, and forty times the memory 1/(lr·wd); to the published
# length runs go on if a later horizon is asked for.
HORIZON = 40_000
# Whatever a run does, it goes on to the horizon.
UNTIL = Decision(HELD_OUT, threshold=0.98, patience=3, further=PUBLISHED_STEPS, horizon=HORIZON)
# The cadence of the scales differs, so the instrument measures whatever is recorded.
INSTRUMENTS: tuple[Measured, ...] = ((TrajectoryPCA(components=5), Every(1)),)

# A record every 500 steps, as published without decay; with decay the paper has one every 100.
CADENCE: Mapping[Scale, int] = MappingProxyType({"smoke": 25, "demo": 500, "full": 500})
STEPS: Mapping[Scale, int] = MappingProxyType(
    {"smoke": 100, "demo": 30_000, "full": PUBLISHED_STEPS}
)
# A published run takes one or two hours.
SEEDS: Mapping[Scale, int] = MappingProxyType({"smoke": 2, "demo": 4, "full": 1})


def long_regime(scale: Scale) -> Regime:
    """The regime of a scale with the length, cadence and seeds of this study."""
    regime = regime_of(scale)
    return replace(
        regime,
        steps=STEPS[scale],
        record_every=CADENCE[scale],
        seeds=regime.seeds[: SEEDS[scale]],
        operations=(*(name for name in HARD if name in regime.operations), GENERALISING),
    )


def long_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """One run a seed of each hard operation, and of one that generalises."""
    regime = long_regime(scale)
    return {operation: regime.runs(operation) for operation in regime.operations}


def long_cells(known: Known, scale: Scale) -> Cells:
    """What is known of the runs of a scale."""
    specs = {(operation, DECAY): runs for operation, runs in long_runs(scale).items()}
    return Cells.of(known, long_regime(scale), specs)


def not_learned(cells: Cells) -> list[Run]:
    """Known runs of hard operations that have not generalised."""
    return [run for run in cells.runs(cells.hard) if run.stop is None]


def all_reached(cells: Cells, operations: Iterable[str], least: int = HORIZON) -> bool:
    """Whether every run of some operations is known to a step, or to its end."""
    listed = list(operations)
    steps = [run.row.steps_taken for run in cells.runs(listed)]
    return cells.whole(listed) and min(steps, default=0) >= min(least, cells.regime.steps)
