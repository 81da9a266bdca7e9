"""Shares of explained variance of the base runs, read at equal steps or where runs stopped.

A seed gives one number per claim: a mean, the lowest or the highest over operations and matrices
of that seed. Intervals are over seeds, so a claim about every matrix is one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, nan

import numpy as np

from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY, base_runs
from spectraledge.experiments.execution_subspace.regimes import (
    GROKKING,
    HARD,
    HELD_OUT,
    Regime,
)
from spectraledge.experiments.execution_subspace.released_shares import MATRIX_KINDS
from spectraledge.experiments.row_values import mean_of, value_at
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.lab.rows import Row
from spectraledge.series import Interval, grok_step
from spectraledge.training import RunSpec

__all__ = [
    "Cells",
    "Run",
    "curve_name",
    "per_seed",
    "published",
    "seed_mean",
    "share_at",
    "surviving",
]

WALK, UNDECAYED = "random_walk_share", "first_share_without_decayed_start"
# Measured with decay 1 in every run, so they mean nothing in runs without decay.
OF_DECAY = (UNDECAYED, "ornstein_uhlenbeck_share", "ornstein_uhlenbeck_z_score")


Specs = Mapping[tuple[str, str], list[RunSpec]]


@dataclass(frozen=True)
class Run:
    """One known run.

    Args:
        operation: Of its task.
        decay: `DECAY` or `NO_DECAY`.
        seed: Its seed.
        row: What came out.
    """

    operation: str
    decay: str
    seed: int
    row: Row

    @cached_property
    def stop(self) -> int | None:
        """Where the published run would have been stopped; None if it did not generalise.

        The third evaluation in a row at 0.98.
        """
        if HELD_OUT not in self.row.curves:
            return None
        return grok_step("grok_stop", *self.row.curve(HELD_OUT))


@dataclass(frozen=True)
class Cells:
    """Runs of a regime, e.g. its base runs, with their rows as far as they are known.

    Args:
        regime: Where.
        specs: Wanted runs by operation and decay.
        found: Known runs by operation and decay, each by seed.
    """

    regime: Regime
    specs: Specs
    found: Mapping[tuple[str, str], Mapping[int, Run]]

    @classmethod
    def of(cls, known: Known, regime: Regime, specs: Specs | None = None) -> Cells:
        """What is known of runs of a regime by operation and decay, its base runs if None."""
        specs = base_runs(regime) if specs is None else specs
        rows = {cell: by_seed(known, runs) for cell, runs in specs.items()}
        found = {
            cell: {seed: Run(*cell, seed, row) for seed, row in own.items()}
            for cell, own in rows.items()
        }
        return cls(regime, specs, found)

    @property
    def grokking(self) -> tuple[str, ...]:
        """Operations that generalise in the published regime."""
        return tuple(name for name in self.regime.operations if name in GROKKING)

    @property
    def hard(self) -> tuple[str, ...]:
        """Operations that do not."""
        return tuple(name for name in self.regime.operations if name in HARD)

    @property
    def layers(self) -> range:
        """Numbers of the layers."""
        return range(self.regime.model.layers)

    @property
    def last_layer(self) -> str:
        """Scope of the last layer, of which the paper shows most."""
        return f"layer{self.regime.model.layers - 1}"

    @property
    def means(self) -> tuple[str, ...]:
        """Scopes that are means over the matrices of a layer."""
        return tuple(f"layer{layer} mean" for layer in self.layers)

    def matrices(self, *kinds: str) -> tuple[str, ...]:
        """Scopes that are single matrices, of all kinds if none is named."""
        chosen = kinds or MATRIX_KINDS
        return tuple(f"layer{n}.attention.{kind}" for n in self.layers for kind in chosen)

    def runs(self, operations: Iterable[str], decay: str = DECAY) -> list[Run]:
        """Known runs of some operations."""
        return [
            run
            for operation in operations
            for run in self.found.get((operation, decay), {}).values()
        ]

    def rows(self, operation: str, decay: str) -> dict[int, Row]:
        """Known rows by seed."""
        return {seed: run.row for seed, run in self.found[operation, decay].items()}

    def generalised(self, operations: Iterable[str] | None = None) -> list[Run]:
        """Known runs with decay that generalised; of the grokking operations if none is named."""
        # The others would have been trained further: their published number is not known.
        runs = self.runs(self.grokking if operations is None else operations)
        return [run for run in runs if run.stop is not None]

    def whole(self, operations: Iterable[str], *decays: str) -> bool:
        """Whether every run of some operations is known."""
        wanted = [(o, d) for o in operations for d in decays or (DECAY,)]
        return all(len(self.found[cell]) == len(self.specs[cell]) for cell in wanted)

    def partner(self, run: Run, operation: str | None = None, decay: str | None = None) -> Run:
        """The run of the same seed under another condition; with an empty row if not known."""
        cell = (operation or run.operation, decay or run.decay)
        known = self.found.get(cell, {}).get(run.seed)
        return Run(*cell, run.seed, _unknown()) if known is None else known


def _unknown() -> Row:
    empty = {"step": np.zeros(0), "lost_at": np.zeros(0)}
    return Row("", "not run yet", "", "failed", empty)


def curve_name(output: str, scope: str) -> str:
    """Name of the curve of an output in a scope."""
    return f"trajectory_pca/{output}:{scope}"


def share_at(run: Run, output: str, scope: str, step: float = inf) -> float:
    """An output at the last measurement up to a step.

    Args:
        run: The run.
        output: Of `TrajectoryPCA`; ``component 2`` for the share of the second component;
            ``excess`` for the first share less that of the random walk.
        scope: Matrix, layer or mean.
        step: Where; the end of the run if infinite.

    Returns:
        The value; NaN if the run did not get there, was not measured there, or the output means
        nothing for a run without decay.
    """
    if isfinite(step) and run.row.steps_taken < step:
        return nan
    if output == "excess":
        return share_at(run, "first_share", scope, step) - share_at(run, WALK, scope, step)
    if run.decay == NO_DECAY and output in OF_DECAY:
        return nan
    if output.startswith("component "):
        output, scope = "share", f"{scope},PC{output.removeprefix('component ')}"
    return value_at(run.row, curve_name(output, scope), step)


def published(output: str, scope: str) -> Callable[[Run], float]:
    """Reads an output where the published run stopped: at `grok_stop`, or at the end."""

    def read(run: Run) -> float:
        return share_at(run, output, scope, inf if run.stop is None else run.stop)

    return read


def per_seed(
    runs: Iterable[Run],
    measures: Iterable[Callable[[Run], float]],
    gather: Callable[[list[float]], float] = lambda values: float(np.mean(values)),
) -> list[float]:
    """One number per seed from all its runs and measures.

    Args:
        runs: Of several operations and seeds.
        measures: Numbers to read off a run; those that are NaN are left out.
        gather: ``min``, ``max`` or the mean.

    Returns:
        One per seed that has any, in the order of the seeds.
    """
    listed = list(measures)
    found: dict[int, list[float]] = {}
    for run in runs:
        values = [value for measure in listed if isfinite(value := measure(run))]
        found.setdefault(run.seed, []).extend(values)
    return [float(gather(values)) for _, values in sorted(found.items()) if values]


def seed_mean(
    runs: Iterable[Run], output: str, scopes: Iterable[str], confidence: float = 0.95
) -> Interval | None:
    """Mean over operations and scopes where the published runs stopped, over seeds."""
    return mean_of(per_seed(runs, [published(output, s) for s in scopes]), confidence=confidence)


def surviving(runs: Iterable[Run], scopes: Iterable[str]) -> list[float]:
    """What is left of the excess over the random walk without the decayed initial weights.

    Returns:
        Per seed, the excess of what is left over the excess of the whole, each summed over
        operations and scopes; seeds that have no excess to explain are left out.
    """
    listed = list(scopes)
    sums: dict[int, list[float]] = {}
    for run in runs:
        for left, whole in _excesses(run, listed):
            total = sums.setdefault(run.seed, [0.0, 0.0])
            total[0] += left
            total[1] += whole
    return [left / whole for _, (left, whole) in sorted(sums.items()) if whole > 0]


def _excesses(run: Run, scopes: Iterable[str]) -> Iterator[tuple[float, float]]:
    for scope in scopes:
        names = (UNDECAYED, "first_share", WALK)
        decayed, first, walk = (published(name, scope)(run) for name in names)
        if isfinite(decayed + first + walk):
            yield decayed - walk, first - walk
