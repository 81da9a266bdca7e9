"""Does a signal tell runs that will grok from those that will not? Positives are those that do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from spectraledge.series.intervals import Interval, check_share
from spectraledge.series.per_run import Labels, as_bools, check_kinds, check_lengths
from spectraledge.series.seed_draws import drawn_weights, seed_spread

__all__ = [
    "Auroc",
    "RocCurve",
    "area_under_roc",
    "roc_curve",
]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """What every threshold on a score gives, from none flagged to all.

    Args:
        thresholds: ``(K,)`` descending, the first inf; a run is flagged at a score >= threshold.
        false_alarms: ``(K,)`` share of negative runs flagged.
        hits: ``(K,)`` share of positive runs flagged.
    """

    thresholds: Float[np.ndarray, " K"]
    false_alarms: Float[np.ndarray, " K"]
    hits: Float[np.ndarray, " K"]

    @property
    def area(self) -> float:
        """Area by trapezoids: a positive run's chance to score higher, ties half."""
        return float(np.trapezoid(self.hits, self.false_alarms))


def roc_curve(scores: Float[np.ndarray, " n"], positive: Labels) -> RocCurve:
    """The ROC of a score.

    Args:
        scores: ``(n,)`` higher for runs expected to grok; −inf is below everything. No NaN.
        positive: ``(n,)`` whether the run groks within its budget: bools, or 0 and 1.

    Returns:
        The curve.

    Raises:
        ValueError: For a NaN, unequal lengths, other labels, or runs of one kind only.

    Example:
        >>> roc_curve(np.array([1.0, 2.0, 3.0]), np.array([False, True, True])).area
        1.0
    """
    positive = _checked(scores, positive)
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    flagged = scores >= thresholds[:, None]
    return RocCurve(
        thresholds, flagged[:, ~positive].mean(1), flagged[:, positive].mean(1)
    )  # fmt: skip


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC with what is known of it.

    Args:
        interval: The area, 0.5 for a score that says nothing; its count is that of the seeds.
        p_value: Mann and Whitney's, two-sided, for independent runs: exact for few runs without
            ties, else normal.
        positives: Runs that grok.
        negatives: Runs that do not.
    """

    interval: Interval
    p_value: float
    positives: int
    negatives: int


def area_under_roc(
    scores: Float[np.ndarray, " n"],
    positive: Labels,
    units: Integer[np.ndarray, " _"],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Auroc:
    """Area under the ROC with an interval that knows of few runs and of shared seeds.

    The wider, at each end, of two: drawing whole seeds anew, which sees what the runs of a seed
    share but nothing where no run is on the wrong side; and the score interval for independent
    runs with the variance of an exponential pair, which holds there too.

    Args:
        scores: ``(n,)`` higher for runs expected to grok. No NaN.
        positive: ``(n,)`` whether the run groks: bools, or 0 and 1.
        units: ``(n,)`` the seed of each run.
        confidence: Coverage in (0, 1).
        resamples: Draws of the seeds, >= 100.
        seed: Seed of the draws.

    Returns:
        The area.

    Raises:
        ValueError: For a NaN, unequal lengths, other labels, runs of one kind only, or a
            confidence out of range.

    Source:
        Hanley and McNeil (1982); the score interval: Newcombe (2006), Statistics in Medicine 25,
        method 5.

    Example:
        >>> scores, grok = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])
        >>> found = area_under_roc(scores, grok, np.arange(4)).interval
        >>> found.centre, found.lower < 0.5, found.upper
        (1.0, True, 1.0)
    """
    from scipy import stats

    positive = _checked(scores, positive)
    check_lengths(scores=scores, units=units)
    check_share(confidence=confidence)
    above = _comparisons(scores[positive], scores[~positive])
    area, (wins, losses) = float(above.mean()), above.shape
    names, place = np.unique(units, return_inverse=True)
    drawn = _drawn_areas(above, positive, drawn_weights(len(names), resamples, seed)[1:, place])
    low, high = _newcombe(area, wins, losses, confidence)
    if len(names) > 1:
        reach = seed_spread(drawn, len(names), confidence, 0.0).reach
        low, high = min(low, max(area - reach, 0.0)), max(high, min(area + reach, 1.0))
    value = float(stats.mannwhitneyu(scores[positive], scores[~positive]).pvalue)
    return Auroc(Interval(area, low, high, len(names)), value, wins, losses)


def _comparisons(
    wins: Float[np.ndarray, " m"], losses: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "m k"]:
    return (wins[:, None] > losses) + 0.5 * (wins[:, None] == losses)


def _drawn_areas(
    above: Float[np.ndarray, "m k"],
    positive: Bool[np.ndarray, " n"],
    weights: Float[np.ndarray, "W n"],
) -> Float[np.ndarray, " V"]:
    """Areas of the draws that hold runs of both kinds."""
    first, second = weights[:, positive], weights[:, ~positive]
    pairs = first.sum(1) * second.sum(1)
    sums = np.einsum("wi,ij,wj->w", first, above, second, optimize=True)
    return sums[pairs > 0] / pairs[pairs > 0]


def _newcombe(area: float, wins: int, losses: int, confidence: float) -> tuple[float, float]:
    """Where |area − θ| is the normal quantile of the standard error at θ itself."""
    from scipy import optimize, stats

    quantile = float(stats.norm.ppf((1 + confidence) / 2))
    pairs, extra = wins * losses, (wins + losses) / 2 - 1

    def beyond(theta: float) -> float:
        spread = 1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return abs(area - theta) - quantile * float(np.sqrt(theta * (1 - theta) / pairs * spread))

    # At 0 and 1 the error is 0, which is a solution too, but not the one that is meant.
    inside = min(max(area, 1e-9), 1 - 1e-9)
    low = 0.0 if beyond(0.0) <= 0 else float(optimize.brentq(beyond, 0.0, inside))
    high = 1.0 if beyond(1.0) <= 0 else float(optimize.brentq(beyond, inside, 1.0))
    return low, high


def _checked(scores: Float[np.ndarray, " n"], positive: Labels) -> Bool[np.ndarray, " n"]:
    """The labels as bools; refuses what has no ROC."""
    check_lengths(scores=scores, positive=positive)
    if np.isnan(scores).any():
        raise ValueError(
            f"expected scores without NaN, got {int(np.isnan(scores).sum())}; a run without a "
            "signal scores -inf, one that was not measured does not belong here"
        )
    positive = as_bools("positive", positive)
    check_kinds(int(positive.sum()), int((~positive).sum()))
    return positive
