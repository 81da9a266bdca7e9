"""Confidence intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Interval", "check_share", "mean_interval", "proportion_interval"]


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval.

    Args:
        centre: The estimate.
        lower: Lower end, -inf where there is none: a single seed, or nothing that bounds it.
        upper: Upper end, inf where there is none.
        count: Number of seeds.
    """

    centre: float
    lower: float
    upper: float
    count: int

    def within(self, low: float, high: float) -> Interval:
        """The same with its ends cut to where the quantity can be, e.g. [0, 1] for accuracies."""
        return replace(self, lower=max(self.lower, low), upper=min(self.upper, high))

    def __str__(self) -> str:
        if not (np.isfinite(self.lower) or np.isfinite(self.upper)):
            return f"{_words(self.centre)} (n = {self.count}, no interval)"
        ends = f"[{_words(self.lower)}, {_words(self.upper)}]"
        return f"{_words(self.centre)} {ends} (n = {self.count})"


def _words(number: float) -> str:
    # Steps are in the thousands, and 1.3e+03 is no way to write one.
    return f"{number:.0f}" if 1e3 <= abs(number) < 1e6 else f"{number:.3g}"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval.

    mean ± t_{n−1} · s / √n, exact for normal values, and honest about how little few seeds say.

    Args:
        values: One finite value per seed, at least one.
        confidence: Coverage in (0, 1).

    Returns:
        The interval; infinite for one seed.

    Raises:
        ValueError: For no value, a value that is not finite, or a confidence out of range.

    Example:
        >>> str(mean_interval([1.0, 2.0, 3.0]))
        '2 [-0.484, 4.48] (n = 3)'
    """
    from scipy import stats

    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"expected at least one finite value per seed, got {values}")
    check_share(confidence=confidence)
    count, centre = sample.size, float(sample.mean())
    if count == 1:
        return Interval(centre, -np.inf, np.inf, 1)
    reach = stats.t.ppf((1 + confidence) / 2, count - 1) * stats.sem(sample)
    return Interval(centre, centre - float(reach), centre + float(reach), count)


def proportion_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Proportion of seeds with the exact interval of Clopper and Pearson (1934).

    Args:
        successes: Number of seeds that succeeded.
        trials: Number of seeds, >= 1.
        confidence: Coverage in (0, 1).

    Returns:
        The interval, inside [0, 1].

    Raises:
        ValueError: For impossible counts or a confidence out of range.

    Example:
        >>> str(proportion_interval(3, 3))
        '1 [0.292, 1] (n = 3)'
    """
    from scipy import stats

    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"expected 0 <= successes <= trials and trials >= 1, got {successes=} and {trials=}"
        )
    check_share(confidence=confidence)
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return Interval(successes / trials, float(found.low), float(found.high), trials)


def check_share(**shares: float) -> None:
    """Refuses what is not strictly between 0 and 1, by name."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"expected 0 < {name} < 1, got {share}")
