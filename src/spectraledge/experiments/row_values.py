"""Single numbers read off rows, and their means over seeds."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite, nan
from typing import Literal

import numpy as np

from spectraledge.lab.rows import Row
from spectraledge.series import Interval, mean_interval

__all__ = ["last_value", "mean_of", "share_words", "short", "status_within", "step_of", "value_at"]


def value_at(row: Row, name: str, step: float) -> float:
    """The last recorded value of a curve at or before a step; NaN if there is none."""
    if (seen := _last_seen(row, name, step)) is None:
        return nan
    return float(row.curve(name)[1][seen])


def step_of(row: Row, name: str, step: float) -> int | None:
    """The step at which `value_at` reads a curve; None if it has nothing to read."""
    seen = _last_seen(row, name, step)
    return None if seen is None else int(row.curve(name)[0][seen])


def _last_seen(row: Row, name: str, step: float) -> int | None:
    if name not in row.curves:
        return None
    steps, values = row.curve(name)
    seen = np.flatnonzero((steps <= step) & np.isfinite(values))
    return int(seen[-1]) if seen.size else None


def last_value(row: Row, name: str) -> float:
    """The last recorded value of a curve; NaN if there is none."""
    return value_at(row, name, inf)


def mean_of(
    values: Iterable[float], low: float = -inf, high: float = inf, confidence: float = 0.95
) -> Interval | None:
    """Mean and t interval of the finite values, cut to where the quantity can be; None for none."""
    finite = [value for value in values if isfinite(value)]
    return mean_interval(finite, confidence).within(low, high) if finite else None


def short(interval: Interval | None) -> str:
    """An interval without the number of seeds, for where that is said elsewhere."""
    if interval is None:
        return "–"
    if interval.count == 1:
        return f"{str(interval).partition(' ')[0]} (one seed)"
    return str(interval).partition(" (")[0]


def share_words(interval: Interval | None) -> str:
    """A share or an accuracy with its interval, in three decimals."""
    if interval is None:
        return "–"
    if interval.count == 1:
        return f"{interval.centre:z.3f} (one seed)"
    return f"{interval.centre:z.3f} [{interval.lower:z.3f}, {interval.upper:z.3f}]"


def status_within(interval: Interval, margin: float) -> Literal["holds", "fails", "undecided"]:
    """Whether a quantity is zero up to a margin: ``holds`` if its whole interval is within it.

    Args:
        interval: Estimate with its interval.
        margin: Half width of what counts as zero, > 0.

    Returns:
        ``holds`` if the interval lies within ±margin, ``fails`` if it lies outside, else
        ``undecided``.
    """
    if -margin < interval.lower and interval.upper < margin:
        return "holds"
    return "fails" if interval.lower >= margin or interval.upper <= -margin else "undecided"
