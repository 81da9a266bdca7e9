"""What the spectral-edge studies measure in every run, and the runs that are known, by task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, step_of, value_at
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.instruments import (
    Ablation,
    AttentionStructure,
    FunctionalCoordinate,
    FunctionalResponse,
    GapFlow,
    InputProbe,
    Instrument,
    LogitResponse,
    PerturbationCurve,
    PositionalFourier,
    RepresentationProbe,
    SpectralEdge,
    UpdateDecomposition,
)
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.series import Interval, first_held
from spectraledge.training import At, Every, RunSpec

__all__ = [
    "ABLATION",
    "ATTENTION",
    "COARSE_EDGE",
    "COORDINATE",
    "CURVES",
    "EDGE",
    "GAP_FLOW",
    "INPUT",
    "INSTRUMENTS",
    "LOGITS",
    "NARROW_EDGE",
    "POSITIONS",
    "PROBE",
    "PUBLISHED_CURVES",
    "RESPONSE",
    "SPLIT",
    "SPLITS",
    "WIDE_EDGE",
    "EdgeGroup",
    "counted_windows",
    "curve_name",
    "edge_groups",
    "measured_group",
]

EDGE, NARROW_EDGE, WIDE_EDGE = (SpectralEdge(window=w) for w in (5, 3, 10))
COARSE_EDGE = SpectralEdge(window=3, stride=2)
SPLIT = UpdateDecomposition(window=5)
# Other windows and cadences: the same run, looked at otherwise.
SPLITS: tuple[UpdateDecomposition, ...] = (
    UpdateDecomposition(window=3),
    SPLIT,
    UpdateDecomposition(window=10),
    UpdateDecomposition(window=3, stride=2),
    UpdateDecomposition(window=5, stride=2),
)
ABLATION, CURVES, LOGITS = Ablation(), PerturbationCurve(points=17), LogitResponse()
PUBLISHED_CURVES = PerturbationCurve(steps="published", curvature="published")
RESPONSE = FunctionalResponse(seeds=1)
GAP_FLOW, COORDINATE = GapFlow(), FunctionalCoordinate(rows=2000, count=8)
# What layers say and where attention looks, with the padding of SCAN; Dyck-1 has a study of it.
ATTENTION, POSITIONS = AttentionStructure(rows=100), PositionalFourier(padding=0)
PROBE = RepresentationProbe(readers=("linear",), categorical=True, padding=0)
INPUT = InputProbe(padding=0)
# Published steps, and some late ones: single snapshots scatter. The first two are smoke's.
FUNCTIONAL_STEPS = (
    24, 80, 200, 500, 1400, 2000, 2400, 3000, 3900, 4500, 5000, 9500,
)  # fmt: skip
# The published response of SCAN is one step later than all else.
STEPS_OF: Mapping[Instrument, tuple[int, ...]] = {RESPONSE: (*FUNCTIONAL_STEPS, 2500)}
_LIVE: tuple[Instrument, ...] = (
    EDGE, NARROW_EDGE, WIDE_EDGE, COARSE_EDGE, *SPLITS, GAP_FLOW,
)  # fmt: skip
_FUNCTIONAL: tuple[Instrument, ...] = (
    ABLATION, CURVES, PUBLISHED_CURVES, LOGITS, RESPONSE, COORDINATE,
    ATTENTION, POSITIONS, PROBE, INPUT,
)  # fmt: skip
# Whatever is recorded is measured: the cadence of the records is that of the regime.
INSTRUMENTS: tuple[Measured, ...] = (
    *((instrument, Every(1)) for instrument in _LIVE),
    *((instrument, At(STEPS_OF.get(instrument, FUNCTIONAL_STEPS))) for instrument in _FUNCTIONAL),
)
curve_name = CurveNames([*_LIVE, *_FUNCTIONAL])


@dataclass(frozen=True, eq=False)
class EdgeGroup:
    """The runs of one task that are known.

    Args:
        name: Of the task.
        regime: Their settings.
        rows: By condition and seed.
    """

    name: str
    regime: EdgeRegime
    rows: Mapping[str, Mapping[int, Row]]

    def at(self, name: str, step: float, condition: str = DECAY) -> Interval | None:
        """Mean over seeds of a curve at a step; None without any."""
        return mean_of(value_at(row, name, step) for row in self.rows[condition].values())

    def when(self, names: Iterable[str], step: int, condition: str = DECAY) -> str:
        """At which step the curves are read: the one asked for, or the last that was measured."""
        read = {
            found
            for row in self.rows[condition].values()
            for name in names
            if (found := step_of(row, name, step)) is not None
        }
        if read <= {step}:
            return f"step {step}"
        return f"step {', '.join(str(found) for found in sorted(read))} for {step}"

    def published(self, name: str, step: float) -> float:
        """A curve of the published seed at a step; NaN if it is not known."""
        row = self.rows[DECAY].get(self.regime.published_seed)
        return nan if row is None else value_at(row, name, step)

    def grok_steps(self, condition: str = DECAY) -> dict[int, int | None]:
        """First record with the accuracy that counts as generalising, by seed, as published."""
        return {seed: self._grokked(row) for seed, row in self.rows[condition].items()}

    def known(self) -> bool:
        """Whether any run with decay is known."""
        return bool(self.rows[DECAY])

    def _grokked(self, row: Row) -> int | None:
        return first_held(*row.curve(self.regime.metric), threshold=self.regime.grokked, patience=1)


def edge_groups(known: Known, scale: Scale) -> dict[str, EdgeGroup]:
    """Runs of every task of a scale that are known and were measured with the edge."""
    needed = curve_name(EDGE, "gap23")
    return {
        name: measured_group(known, name, regime, regime.conditions(), needed)
        for name, regime in edge_regimes(scale).items()
    }


def measured_group(
    known: Known, name: str, regime: EdgeRegime, runs: Mapping[str, Sequence[RunSpec]], needed: str
) -> EdgeGroup:
    """Runs that are known and were measured: rows of other studies may lack what one asks for.

    Args:
        known: What is known of a run.
        name: Of the task.
        regime: Their settings.
        runs: By condition.
        needed: A curve that a row must have.

    Returns:
        The rows by condition and seed; a condition without any is empty.
    """
    rows = {
        condition: {s: r for s, r in by_seed(known, specs).items() if needed in r.curves}
        for condition, specs in runs.items()
    }
    return EdgeGroup(name, regime, rows)


def wanted_runs(scale: Scale) -> Iterable[RunSpec]:
    """Every condition of every task; depends on nothing that is known."""
    for regime in edge_regimes(scale).values():
        for runs in regime.conditions().values():
            yield from runs


def finite_curve(row: Row, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a curve where it is finite; empty if there is none."""
    if name not in row.curves:
        return np.zeros(0), np.zeros(0)
    steps, values = row.curve(name)
    seen = np.isfinite(values)
    return steps[seen], values[seen]


def flip_step(row: Row, split: UpdateDecomposition, width: int) -> float:
    """The first of `flip_steps`; NaN if there is none."""
    found = flip_steps(row, split, width)
    return float(found[0]) if found.size else nan


def flip_steps(row: Row, split: UpdateDecomposition, width: int) -> np.ndarray:
    """Windows in which decay drives ``v₁`` where the gradient did in the window before.

    The share of the gradient in the energy along ``v₁`` falls below one half, having been above
    it. Windows count from two displacements on (`counted_windows`).

    Args:
        row: Of a run.
        split: Which window and cadence.
        width: Steps between two records.

    Returns:
        The steps, ascending.
    """
    steps, share = counted_windows(row, split, width)
    below, ever_above = share < 0.5, np.logical_or.accumulate(share > 0.5)
    fallen = below & ever_above & ~np.concatenate([[False], below[:-1]])
    return steps[fallen]


def counted_windows(
    row: Row, split: UpdateDecomposition, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the windows of a split and the gradient's share of the energy along ``v₁``.

    Windows count from two displacements on: with full ones alone, the earliest flip that could be
    found would be that at which the first displacement leaves. Those of several records that do
    not begin at step 0 leave out the first record, and do not count.

    Args:
        row: Of a run.
        split: Which window and cadence.
        width: Steps between two records.

    Returns:
        Two arrays.
    """
    steps, share = finite_curve(row, curve_name(split, "energy_share", "gradient", "v1"))
    cadence = split.stride * width
    several = (steps >= 2 * cadence) & (steps % cadence == 0)
    return steps[several], share[several]
