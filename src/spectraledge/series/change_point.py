"""Where the logarithmic slope of a signal changes: one knot in a log-log plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spectraledge.series.onset_rules import Onset, check_numbers
from spectraledge.series.records import Records

__all__ = ["ChangePoint"]


@dataclass(frozen=True)
class ChangePoint:
    """The record at which two joined power laws fit the run best.

    Least squares of log x = a + b·log t + c·max(0, log t − log t_k) for every knot t_k with
    `segment` records on both sides; the onset is the knot with the smallest residual, if the slope
    d log x / d log t rises there by at least `least_change` and the knot takes away at least
    `least_gain` of the squared residual of one power law. No level, no baseline, no unit: x may be
    multiplied by anything, and t too.

    It needs the records after the knot, so the alarm is the last record: as an early warning, give
    it `records.until(step)`.

    Args:
        least_change: Smallest rise c of the slope.
        least_gain: Smallest share of the squared residual, in [0, 1).
        segment: Records on each side of the knot, the knot in both, >= 2.
        after: Step before which nothing counts; step 0 has no logarithm and never does.

    Raises:
        ValueError: For a gain or a segment out of range, or a NaN.

    Example:
        >>> t = np.arange(100, 2100, 100)
        >>> x = np.where(t <= 800, 1.0, (t / 800) ** 3.0)
        >>> ChangePoint(1.0, 0.5, segment=3, after=0).find(Records(t, x)).step
        800
    """

    least_change: int | float
    least_gain: int | float
    segment: int
    after: int | float

    def __post_init__(self) -> None:
        check_numbers(least_change=self.least_change, after=self.after)
        if not 0 <= self.least_gain < 1 or self.segment < 2:
            raise ValueError(
                "expected 0 <= least_gain < 1 and segment >= 2, got "
                f"{self.least_gain} and {self.segment}"
            )

    def find(self, records: Records) -> Onset:
        """The onset in a run's records; those that are not positive are left out.

        Args:
            records: The run.

        Returns:
            The onset; its level is the fitted value at the knot.
        """
        records = records.since(self.after)
        values = np.asarray(records.values, dtype=np.float64)
        kept = (values > 0) & np.isfinite(values) & (records.steps > 0)
        steps, x, y = records.steps[kept], np.log(records.steps[kept]), np.log(values[kept])
        knots = slice(self.segment - 1, len(x) - self.segment + 1)
        if not len(x[knots]):
            return Onset(None, None, None, float("nan"))
        changes, gains, fitted = _one_knot(x, y, x[knots])
        best = int(gains.argmax())
        earliest, level = int(steps[knots][0]), float(np.exp(fitted[best]))
        if changes[best] < self.least_change or gains[best] < self.least_gain:
            return Onset(None, None, earliest, level)
        return Onset(int(steps[knots][best]), int(records.steps[-1]), earliest, level)


def _one_knot(
    x: Float[np.ndarray, " T"], y: Float[np.ndarray, " T"], knots: Float[np.ndarray, " K"]
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Change of slope, share of the squared residual explained, and fitted value, by knot."""
    line = np.linalg.qr(np.stack([np.ones_like(x), x - x.mean()], axis=1))[0]
    hinges = np.maximum(0.0, x[:, None] - knots)
    # What is left of both after a straight line: the fit of all knots is then one product.
    residual, bends = y - line @ (line.T @ y), hinges - line @ (line.T @ hinges)
    size = (bends**2).sum(0)
    changes = residual @ bends / size
    left = float(residual @ residual)
    # A power law to rounding has nothing to explain.
    exact = left <= 1e-24 * max(float(y @ y), 1e-300)
    gains = np.zeros(len(knots)) if exact else changes**2 * size / left
    index = np.searchsorted(x, knots)
    straight = (y - residual)[index]
    hinge_line = (hinges - bends)[index, np.arange(len(knots))]
    return changes, gains, straight - changes * hinge_line
