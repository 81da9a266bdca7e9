"""What the paper reports of generalising and of the gap until then, run by run.

Numbers of Dyck-1; how windows are taken is the same for SCAN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DENSE
from spectraledge.experiments.spectral_edge.edge_runs import (
    COARSE_EDGE,
    NARROW_EDGE,
    curve_name,
)
from spectraledge.experiments.spectral_edge.published_numbers import PublishedNumber, Read
from spectraledge.instruments import SpectralEdge
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.series import first_held

__all__ = ["GAP_NUMBERS", "Until", "fall", "grok_step", "largest", "last", "mode", "of_windows"]

METRIC, GROKKED = "validation_accuracy", 0.95


def grok_step(row: Row, metric: str = METRIC) -> float:
    """First record with the published accuracy; NaN if there is none."""
    step = first_held(*row.curve(metric), threshold=GROKKED, patience=1)
    return nan if step is None else float(step)


@dataclass(frozen=True)
class Until:
    """Windows up to generalising, or all of a run, as the published tables take them.

    Args:
        edge: The windows.
        cadence: Steps between the records that the table takes.
        metric: Accuracy that says when a run generalises; None for runs that need not.
        name: Names of the curves, of whatever plan measured them.
    """

    edge: SpectralEdge
    cadence: int
    metric: str | None = METRIC
    name: CurveNames = curve_name

    def gap(self, row: Row) -> np.ndarray:
        """σ₂² − σ₃², and σ₂² where a window holds two displacements, as published."""
        second, third = (self._curve(row, "singular_values", f"v{k}") for k in (2, 3))
        return second**2 - np.nan_to_num(third) ** 2

    def first(self, row: Row) -> np.ndarray:
        """σ₁."""
        return self._curve(row, "singular_values", "v1")

    def ratio(self, row: Row) -> np.ndarray:
        """σ_k / σ_{k+1} at the weighted gap."""
        return self._curve(row, "gap_ratio")

    def rank(self, row: Row) -> np.ndarray:
        """Directions before the weighted gap."""
        return self._curve(row, "rank_at_gap")

    def _curve(self, row: Row, *output: str) -> np.ndarray:
        name = self.name(self.edge, *output)
        width = self.name(self.edge, "displacements")
        if name not in row.curves or width not in row.curves:
            return np.zeros(0)
        steps, values = row.curve(name)
        narrow = row.curve(width)[1] < 2
        end = np.inf if self.metric is None else grok_step(row, self.metric)
        return values[(steps <= end) & (steps % self.cadence == 0) & ~narrow]


def of_windows(curve: Callable[[Row], np.ndarray], number: Callable[[np.ndarray], float]) -> Read:
    """A number of the windows of a run; NaN if there are none."""
    return lambda row: float(number(v)) if np.isfinite(v := curve(row)).any() else nan


def largest(values: np.ndarray) -> float:
    """Of the windows that have one."""
    return float(np.nanmax(values))


def last(values: np.ndarray) -> float:
    """Of the windows that have one."""
    return float(values[np.isfinite(values)][-1])


def mode(values: np.ndarray) -> float:
    """What most windows have."""
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    return float(found[counts.argmax()])


def fall(values: np.ndarray) -> float:
    """The largest over the last."""
    return largest(values) / last(values)


COARSE, FINE = Until(COARSE_EDGE, 200), Until(NARROW_EDGE, 50)
# Seed, runs, windows; step of generalising; largest and last gap; mean and last ratio.
_RUNS = (
    (42, DENSE, FINE, 600, (3.880, 0.0807, 48.1), (3.70, 4.12)),
    (137, DECAY, COARSE, 1400, (11.34, 0.240, 47.2), (2.43, 2.26)),
    (2024, DECAY, COARSE, 1000, (10.11, 2.23, 4.53), (2.48, 2.66)),
)  # fmt: skip


def _numbers() -> list[PublishedNumber]:
    found = []
    for seed, runs, windows, step, gaps, ratios in _RUNS:
        where = f"seed {seed}"

        def number(
            quantity: str, value: float, read: Read, where: str = where, runs: str = runs,
            seed: int = seed,
        ) -> PublishedNumber:  # fmt: skip
            return PublishedNumber(f"{quantity}, {where}", value, read, runs, seed=seed)

        found += [
            number("Step of generalising", step, grok_step),
            number("Largest gap until then", gaps[0], of_windows(windows.gap, largest)),
            number("Gap then", gaps[1], of_windows(windows.gap, last)),
            number("Fall of the gap, times", gaps[2], of_windows(windows.gap, fall)),
            number(
                "Mean ratio at the gap until then", ratios[0], of_windows(windows.ratio, np.nanmean)
            ),
            number("Ratio at the gap then", ratios[1], of_windows(windows.ratio, last)),
            number("Rank at the gap, most often", 1, of_windows(windows.rank, mode)),
        ]
    return found


GAP_NUMBERS: tuple[PublishedNumber, ...] = tuple(_numbers())
