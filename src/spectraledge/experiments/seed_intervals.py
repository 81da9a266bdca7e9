"""Means and geometric means over seeds, with several runs of a seed counted once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.stats import beta

from spectraledge.series import Interval, mean_interval

__all__ = ["geometric_interval", "interval_by_seed", "share_by_seeds"]


def interval_by_seed(
    values: Iterable[tuple[int, float]], confidence: float = 0.95
) -> Interval | None:
    """Mean over seeds of each seed's mean, with Student's t; None without a finite value.

    Args:
        values: Seed and value of each run; what is not finite is left out.
        confidence: Coverage in (0, 1).

    Returns:
        The interval; its count is that of the seeds.
    """
    grouped: dict[int, list[float]] = {}
    for seed, value in values:
        if np.isfinite(value):
            grouped.setdefault(seed, []).append(float(value))
    means = [float(np.mean(own)) for own in grouped.values()]
    return mean_interval(means, confidence) if means else None


def geometric_interval(
    values: Iterable[tuple[int, float]], confidence: float = 0.95
) -> Interval | None:
    """`interval_by_seed` of logarithms, for ratios; values that are not positive are left out.

    Args:
        values: Seed and value of each run.
        confidence: Coverage in (0, 1).

    Returns:
        Geometric mean and interval; None without a positive value.

    Example:
        >>> str(geometric_interval([(0, 10.0), (1, 1000.0), (2, 0.0)]))
        '100 [1.97e-11, 5.08e+14] (n = 2)'
    """
    logs = [(seed, float(np.log(value))) for seed, value in values if value > 0]
    found = interval_by_seed(logs, confidence)
    if found is None:
        return None
    ends = np.exp(np.clip([found.centre, found.lower, found.upper], -700, 700))
    bounds = (float(ends[1]), float(ends[2])) if found.count > 1 else (-np.inf, np.inf)
    return Interval(float(ends[0]), *bounds, found.count)


def share_by_seeds(share: float, seeds: int, confidence: float = 0.95) -> Interval:
    """Share of runs, with the exact interval of as many independent trials as there are seeds.

    Runs of one seed share initial weights, split or both, and may all do the same. The interval
    is that of Clopper and Pearson (1934) with ``share · seeds`` successes, whole or not: too wide
    where runs of a seed differ by themselves.

    Args:
        share: Of the runs, in [0, 1].
        seeds: Different seeds among them, >= 1.
        confidence: Coverage in (0, 1).

    Returns:
        The interval; its count is that of the seeds.

    Example:
        >>> str(share_by_seeds(1.0, 3))
        '1 [0.292, 1] (n = 3)'
    """
    found, rest = share * seeds, seeds - share * seeds
    tail = (1 - confidence) / 2
    lower = float(beta.ppf(tail, found, rest + 1)) if found > 0 else 0.0
    upper = float(beta.ppf(1 - tail, found + 1, rest)) if rest > 0 else 1.0
    return Interval(share, lower, upper, seeds)
