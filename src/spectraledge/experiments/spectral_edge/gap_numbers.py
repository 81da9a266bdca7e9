"""What the paper reports of generalising and of the gap until then, run by run.

Numbers of Dyck-1; how windows are taken is the same for SCAN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DENSE, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import (
    COARSE_EDGE,
    NARROW_EDGE,
    curve_name,
)
from spectraledge.experiments.spectral_edge.published_numbers import (
    Kind,
    PublishedNumber,
    Read,
    whether,
)
from spectraledge.instruments import SpectralEdge
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.series import first_held

__all__ = [
    "GAP_NUMBERS",
    "Until",
    "fall",
    "falls_steadily",
    "generalises",
    "grok_step",
    "largest",
    "last",
    "mode",
    "of_windows",
]

METRIC, GROKKED = "validation_accuracy", 0.95


def grok_step(row: Row, metric: str = METRIC) -> float:
    """First record with the published accuracy; NaN if there is none."""
    step = first_held(*row.curve(metric), threshold=GROKKED, patience=1)
    return nan if step is None else float(step)


def generalises(row: Row, metric: str = METRIC) -> float:
    """1 if some record has the published accuracy, else 0."""
    return float(np.isfinite(grok_step(row, metric)))


@dataclass(frozen=True)
class Until:
    """Windows up to generalising, or all of a run, as the published tables take them.

    Args:
        edge: The windows.
        cadence: Steps between the records that the table takes.
        metric: Accuracy that says when a run generalises; None for runs that need not.
        name: Names of the curves, of whatever plan measured them.
        least: Fewest displacements of a window that counts. The published table of Dyck-1 and
            SCAN takes windows from two on, that of modular arithmetic full ones.
    """

    edge: SpectralEdge
    cadence: int
    metric: str | None = METRIC
    name: CurveNames = curve_name
    least: int = 2

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
        narrow = row.curve(width)[1] < self.least
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


def falls_steadily(values: np.ndarray) -> float:
    """1 if there is at most one rise after the largest, as published, else 0."""
    seen = values[np.isfinite(values)]
    return float((np.diff(seen[seen.argmax() :]) > 0).sum() <= 1)


COARSE, FINE = Until(COARSE_EDGE, 200), Until(NARROW_EDGE, 50)
# Seed, runs, windows; step of generalising; largest and last gap and its fall; whether it falls
# steadily; mean and last ratio.
_RUNS = (
    (42, DENSE, FINE, 600, (3.880, 0.0807, 48.1), 0, (3.70, 4.12)),
    (137, DECAY, COARSE, 1400, (11.34, 0.240, 47.2), 1, (2.43, 2.26)),
    (2024, DECAY, COARSE, 1000, (10.11, 2.23, 4.53), 1, (2.48, 2.66)),
)  # fmt: skip
# Published runs without decay are 10,000 steps long with snapshots every 500.
SHORTER = "3000 steps for 10,000"


def _numbers() -> Iterator[PublishedNumber]:
    for seed, runs, windows, step, gaps, steadily, ratios in _RUNS:
        whole = replace(windows, metric=None)
        lines: tuple[tuple[str, float, Read, Kind], ...] = (
            ("Step of generalising", step, grok_step, "positive"),
            ("Largest gap until then", gaps[0], of_windows(windows.gap, largest), "positive"),
            ("Gap then", gaps[1], of_windows(windows.gap, last), "positive"),
            ("Fall of the gap, times", gaps[2], of_windows(windows.gap, fall), "positive"),
            ("Gap falls with at most one rise", steadily, of_windows(windows.gap, falls_steadily),
             "share"),
            ("Mean ratio at the gap until then", ratios[0], of_windows(windows.ratio, np.nanmean),
             "positive"),
            ("Ratio at the gap then", ratios[1], of_windows(windows.ratio, last), "positive"),
            ("Rank at the gap over the run, most often", 1, of_windows(whole.rank, mode), "plain"),
        )  # fmt: skip
        for quantity, value, read, kind in lines:
            yield PublishedNumber(
                f"{quantity}, seed {seed}", value, read, runs, seed=seed, kind=kind
            )


def _shares() -> Iterator[PublishedNumber]:
    """How many of three runs generalise, and the rank of those without decay."""
    yield PublishedNumber("Runs that generalise", 1, generalises, DECAY, 3, kind="share")
    without = f"Runs that generalise, {SHORTER}"
    yield PublishedNumber(without, 0, generalises, NO_DECAY, 3, kind="share")
    rank = of_windows(replace(COARSE, metric=None).rank, mode)
    words = f"Runs whose rank at the gap is mostly 1, {SHORTER} and every 200 for 500"
    yield PublishedNumber(words, 1, whether(rank, lambda k: k == 1), NO_DECAY, 3, kind="share")


GAP_NUMBERS: tuple[PublishedNumber, ...] = (*_numbers(), *_shares())
