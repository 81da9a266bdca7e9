"""Scale-invariant models under L2, low-rank decay and none, measured as the other papers measure.

Two studies share these runs: what the edge of Q and K is made of, and how curved the loss is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.sizes import size_of
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.instruments import (
    CommutatorDefect,
    Curvature,
    SpectralEdge,
    UpdateDecomposition,
    WeightSpectrum,
)
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.series import grok_step
from spectraledge.training import Every, RunSpec

__all__ = [
    "ARMS",
    "BRACKET",
    "CURVATURE",
    "EDGE",
    "INSTRUMENTS",
    "L2",
    "LOW_RANK",
    "NONE",
    "SPECTRUM",
    "SPLIT",
    "Arms",
    "arm_rows",
    "arm_runs",
    "curve_name",
    "generalised_at",
]

QK = ("query", "key")
EDGE, SPLIT = SpectralEdge(kinds=QK), UpdateDecomposition(kinds=QK)
CURVATURE = Curvature(eigenvalues=1, iterations=12, components=0)
BRACKET = CommutatorDefect(pairs=4, pieces=2)
SPECTRUM = WeightSpectrum(kinds=QK)
INSTRUMENTS: tuple[Measured, ...] = (
    (EDGE, Every(1)),
    (SPLIT, Every(1)),
    (SPECTRUM, Every(1)),
    (CURVATURE, Every(500)),
    (BRACKET, Every(500)),
)
curve_name = CurveNames([EDGE, SPLIT, SPECTRUM, CURVATURE, BRACKET])

NONE, L2, LOW_RANK = "no decay", "L2", "LRD"
ARMS = (NONE, L2, LOW_RANK)
# Of equal length at the start: lr · strength · ‖W‖_F a step. A tenth of the weights in 15 steps.
LR, STRENGTH = 1e-2, 0.65
SEEDS: Mapping[Scale, tuple[int, ...]] = MappingProxyType({
    "smoke": (200, 201), "demo": tuple(range(200, 208)), "full": (200, 201, 202),
})  # fmt: skip
Arms = Mapping[str, Mapping[int, Row]]


def arm_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """One run a seed for every arm; seeds that no other study looks at."""
    size = size_of(scale)
    return {
        arm: size.runs(
            chain_of(arm, 0.0 if arm == NONE else STRENGTH, size), lr=LR, seeds=SEEDS[scale]
        )
        for arm in ARMS
    }


def arm_rows(known: Known, scale: Scale) -> dict[str, dict[int, Row]]:
    """Rows that are known and were measured, by arm and seed."""
    needed = curve_name(SPLIT, "step")
    return {
        arm: {s: r for s, r in by_seed(known, runs).items() if needed in r.curves}
        for arm, runs in arm_runs(scale).items()
    }


def generalised_at(row: Row) -> int | None:
    """Step of `grok_90` on the validation pairs."""
    return grok_step("grok_90", *row.curve("validation_accuracy"))
