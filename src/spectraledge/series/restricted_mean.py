"""Mean steps to generalise within a horizon, which censored runs do not spoil."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from spectraledge.series.intervals import Interval, mean_interval
from spectraledge.series.survival import Times

__all__ = ["restricted_mean", "restricted_mean_difference"]


def restricted_mean(times: Times, horizon: int | float, confidence: float = 0.95) -> Interval:
    """Mean of min(T, horizon): the area under the survival curve up to the horizon.

    Reads "of the first `horizon` steps, this many pass on average before a run generalises". The
    standard error is that of the n pseudo-values n·A − (n−1)·A₋ᵢ, with A₋ᵢ the area without run i;
    where nobody is censored before the horizon they are min(tᵢ, horizon), and the variance is
    Greenwood's times n/(n−1). The interval is Student's t with n − 1 degrees of freedom for
    log(A / (horizon − A)), so it stays between 0 and the horizon.

    Args:
        times: One per run.
        horizon: Steps, > 0; compare arms at the same one, fixed beforehand (the budget, say).
        confidence: Coverage in (0, 1). Measured 94 to 98 % for 5 to 12 runs of which 5 to 90 %
            are censored at the horizon (on the raw scale t falls to 88 %); censored earlier, at
            random, 92 to 98 %.

    Returns:
        The interval in steps. Where all runs agree (none generalised, say) the spread is unknown
        rather than zero; the ends are then those of the least favourable distribution that agrees
        n times with probability (1 − confidence)/2.

    Raises:
        ValueError: For a horizon that is not positive or beyond what was watched.

    Source:
        Irwin (1949); pseudo-values: Andersen, Hansen and Klein (2004), Lifetime Data Analysis 10.

    Example:
        >>> str(restricted_mean(Times.from_optional([100, 200, None], budget=600), 600))
        '300 [7.41, 593] (n = 3)'
    """
    values = _pseudo_values(times, horizon)
    area = float(_areas(times, np.ones((1, times.count)), horizon)[0])
    if times.count == 1:
        # Of one run alone the mean may be anything, one that never generalises included.
        return Interval(area, 0.0, float(horizon), 1)
    if np.ptp(values) <= 1e-9 * horizon:
        return _all_alike(area, 0, horizon, times.count, confidence)
    raw = mean_interval(values.tolist(), confidence)
    reach = (raw.upper - raw.lower) / 2 * horizon / (area * (horizon - area))
    with np.errstate(over="ignore"):
        low, high = (horizon / (1 + (horizon / area - 1) * np.exp(z)) for z in (reach, -reach))
    return Interval(area, float(low), float(high), times.count)


def restricted_mean_difference(
    a: Times, b: Times, horizon: int | float, confidence: float = 0.95
) -> Interval:
    """Difference of restricted means, a − b, of two arms whose runs share seeds.

    Student's t on the differences of pseudo-values seed by seed, so what a seed does to both arms
    cancels. Of this, the percentile bootstrap over pairs and bootstrap-t it covers best: measured
    93 to 97 % for 8 to 12 pairs and 92 to 98 % for 5, more where nearly all runs are censored; the
    percentile bootstrap falls to 84 %.

    Args:
        a: One time per seed.
        b: The same seeds in the same order.
        horizon: Steps, > 0, within what both arms were watched.
        confidence: Coverage in (0, 1).

    Returns:
        The interval in steps, negative where a is faster; within ±horizon. Where all pairs agree,
        the ends of the least favourable distribution, as for `restricted_mean`.

    Raises:
        ValueError: For unequal numbers of runs, or a horizon not positive or beyond what was
            watched.

    Example:
        >>> a, b = (Times.from_optional(t, 900) for t in ([100, 200, 300], [400, 700, None]))
        >>> str(restricted_mean_difference(a, b, horizon=900))
        '-467 [-846, -87.2] (n = 3)'
    """
    if a.count != b.count:
        raise ValueError(f"expected the same seeds in both arms, got {a.count} and {b.count} runs")
    values = _pseudo_values(a, horizon) - _pseudo_values(b, horizon)
    if a.count > 1 and np.ptp(values) <= 1e-9 * horizon:
        return _all_alike(float(values.mean()), -horizon, horizon, a.count, confidence)
    return mean_interval(values.tolist(), confidence).within(-float(horizon), float(horizon))


def _pseudo_values(times: Times, horizon: int | float) -> Float[np.ndarray, " S"]:
    if not 0 < horizon < np.inf:
        raise ValueError(f"expected a positive finite horizon, got {horizon}")
    last = times.steps.max()
    if horizon > last and not times.observed[times.steps == last].all():
        raise ValueError(
            f"expected a horizon within what was watched, got {horizon} while the last run was "
            f"watched until {last:g}; choose horizon <= {last:g}"
        )
    count = times.count
    if count == 1:
        return _areas(times, np.ones((1, 1)), horizon)
    whole = _areas(times, np.ones((1, count)), horizon)
    return count * whole - (count - 1) * _areas(times, 1 - np.eye(count), horizon)


def _areas(
    times: Times, weights: Float[np.ndarray, "W S"], horizon: int | float
) -> Float[np.ndarray, " W"]:
    """Area under the survival curve up to the horizon for runs counted `weights` times."""
    # Events before censorings at the same step: those censored were still watched at it.
    order = np.lexsort([~times.observed, times.steps])
    steps, observed = np.minimum(times.steps[order], horizon), times.observed[order]
    weights = weights[:, order]
    watched = weights[:, ::-1].cumsum(1)[:, ::-1]
    leaving = np.where(observed, weights / np.maximum(watched, weights.clip(1e-300)), 0.0)
    survival = np.cumprod(1 - leaving, axis=1)
    before = np.concatenate([np.ones((len(weights), 1)), survival], axis=1)
    return before @ np.diff(steps, prepend=0.0, append=horizon)


def _all_alike(
    value: float,
    lowest: int | float,
    highest: int | float,
    count: int,
    confidence: float,
) -> Interval:
    # If more than this share were elsewhere, all n would agree with probability < (1 − c)/2.
    elsewhere = 1 - ((1 - confidence) / 2) ** (1 / count)
    low, high = (value + elsewhere * (end - value) for end in (lowest, highest))
    return Interval(value, low, high, count)
