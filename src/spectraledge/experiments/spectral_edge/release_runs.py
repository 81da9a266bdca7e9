"""Runs of `decay_release`, what is measured in them, and single numbers of a run."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import last_value
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, finite_curve, measured_group
from spectraledge.experiments.spectral_edge.release_arms import arm_runs
from spectraledge.experiments.study import Known
from spectraledge.instruments import (
    AttentionStructure,
    Instrument,
    ParameterNorm,
    RepresentationProbe,
    UpdateDecomposition,
)
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.training import At, Every, RunSpec

__all__ = [
    "ATTENTION",
    "INSTRUMENTS",
    "NORM",
    "PROBE",
    "SPLIT",
    "final_accuracy",
    "last_of",
    "mean_entropy",
    "release_curve",
    "release_group",
    "released_group",
    "released_runs",
]

SPLIT, ATTENTION = UpdateDecomposition(), AttentionStructure()
PROBE, NORM = RepresentationProbe(readers=("linear", "mlp")), ParameterNorm()
INSTRUMENTS: tuple[Measured, ...] = (
    (SPLIT, Every(1)),
    (NORM, Every(1)),
    (ATTENTION, Every(500)),
    (PROBE, At((1000, 2500, 4000))),
)
release_curve = CurveNames([SPLIT, NORM, ATTENTION, PROBE])
# Published: "post-grok" and "pre-grok"; the latter names no numbers.
START, EARLY, STEPS = 1000, 400, 4000
LAST_RECORDS = 5


def released_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """Runs by arm; at the published size from step 1000 on, for 3000 steps."""
    regime = edge_regimes(scale)[DYCK]
    if scale == "smoke":
        every = regime.record_every
        return arm_runs(regime, 3 * every, regime.steps - 2 * every, early_start=every)
    return arm_runs(regime, START, STEPS, early_start=EARLY)


def release_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known, by arm."""
    return released_group(known, released_runs(scale), scale)


def released_group(known: Known, runs: Mapping[str, list[RunSpec]], scale: Scale) -> EdgeGroup:
    """Runs of Dyck-1 that are known and were measured, by arm."""
    regime = edge_regimes(scale)[DYCK]
    return measured_group(known, DYCK, regime, runs, release_curve(SPLIT, "step"))


def final_accuracy(row: Row, metric: str) -> float:
    """Mean of the last five records; one alone may lie in a burst of the optimizer."""
    values = finite_curve(row, metric)[1]
    return float(np.mean(values[-LAST_RECORDS:])) if values.size else nan


def last_of(row: Row, instrument: Instrument, output: str, *labels: str) -> float:
    """The last value of an output; NaN if it was not measured."""
    return last_value(row, release_curve(instrument, output, *labels))


def mean_entropy(row: Row, layers: int, heads: int) -> float:
    """Entropy of attention over that of even attention, mean over layers and heads, at the end."""
    found = [
        last_of(row, ATTENTION, "entropy", f"blocks.{layer}.attention", str(head))
        / last_of(row, ATTENTION, "uniform_entropy", f"blocks.{layer}.attention")
        for layer in range(layers)
        for head in range(heads)
    ]
    return float(np.mean(found))
