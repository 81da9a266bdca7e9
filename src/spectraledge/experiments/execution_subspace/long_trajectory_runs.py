"""Runs as long as the published ones of the hard operations, and what their rows say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import DECAY
from spectraledge.experiments.execution_subspace.regimes import (
    HARD,
    HELD_OUT,
    Regime,
    regime_of,
)
from spectraledge.experiments.execution_subspace.released_shares import MATRIX_KINDS
from spectraledge.experiments.execution_subspace.trajectory_shares import Run
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.instruments import TrajectoryPCA
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.training import Every, RunSpec

__all__ = [
    "GENERALISING",
    "HORIZON",
    "INSTRUMENTS",
    "PUBLISHED_STEPS",
    "STEPS",
    "UNTIL",
    "LongRuns",
    "long_regime",
    "long_runs",
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
# A published run takes an hour.
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


@dataclass(frozen=True)
class LongRuns:
    """The runs that are known, as far as they were trained.

    Args:
        regime: Where.
        by_operation: Known runs, in the order of their seeds.
    """

    regime: Regime
    by_operation: Mapping[str, list[Run]]

    @classmethod
    def of(cls, known: Known, scale: Scale) -> LongRuns:
        """What is known of the runs of a scale."""
        found = {
            operation: [
                Run(operation, DECAY, seed, row) for seed, row in by_seed(known, runs).items()
            ]
            for operation, runs in long_runs(scale).items()
        }
        return cls(long_regime(scale), found)

    @property
    def every(self) -> list[Run]:
        """All known runs."""
        return [run for own in self.by_operation.values() for run in own]

    @property
    def hard(self) -> list[Run]:
        """Those of hard operations that have not generalised."""
        return [run for run in self.every if run.operation in HARD and run.stop is None]

    @property
    def rows(self) -> dict[str, dict[int, Row]]:
        """Rows by operation and seed."""
        return {o: {run.seed: run.row for run in own} for o, own in self.by_operation.items()}

    @property
    def last_layer(self) -> str:
        """Scope of the last layer, of which the paper shows most."""
        return f"layer{self.regime.model.layers - 1}"

    @property
    def means(self) -> tuple[str, ...]:
        """Scopes of the means over the matrices of a layer."""
        return tuple(f"layer{n} mean" for n in range(self.regime.model.layers))

    @property
    def matrices(self) -> tuple[str, ...]:
        """Scopes of the attention matrices."""
        layers = range(self.regime.model.layers)
        return tuple(f"layer{n}.attention.{kind}" for n in layers for kind in MATRIX_KINDS)

    def partner(self, run: Run) -> Run | None:
        """The run of the same seed that generalises; None if it is not known or did not."""
        same = (r for r in self.by_operation[GENERALISING] if r.seed == run.seed)
        return next((r for r in same if r.stop is not None), None)

    def whole(self, scale: Scale, operations: Iterable[str], least: int = HORIZON) -> bool:
        """Whether every run of some operations is known to a step, or to its end."""
        own = {operation: self.by_operation[operation] for operation in operations}
        reached = min(least, STEPS[scale])
        wanted = sum(len(long_runs(scale)[operation]) for operation in own)
        known = [run for runs in own.values() for run in runs if run.row.steps_taken >= reached]
        return len(known) == wanted

    @property
    def hard_operations(self) -> tuple[str, ...]:
        """Operations that do not generalise in the published regime."""
        return tuple(operation for operation in self.by_operation if operation in HARD)
