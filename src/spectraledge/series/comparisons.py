"""Many comparisons at once: p-values and confidence levels that allow for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["benjamini_hochberg", "holm", "simultaneous_confidence"]


def holm(p_values: Sequence[float]) -> Float[np.ndarray, " k"]:
    """P-values adjusted so that rejecting those <= α errs anywhere with probability <= α.

    The i-th smallest of k is multiplied by k − i + 1, and none may fall below a smaller one's.
    Holds under any dependence, and rejects all that Bonferroni does.

    Args:
        p_values: k values in [0, 1], at least one.

    Returns:
        ``(k,)`` adjusted values in [0, 1], in the order given.

    Raises:
        ValueError: For none, or values outside [0, 1].

    Source:
        Holm (1979), Scandinavian Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = _checked(p_values)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = raised.clip(max=1.0)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> Float[np.ndarray, " k"]:
    """P-values adjusted so that among those <= q a share of at most q is false, on average.

    For screening many arms. Holds for independent or positively dependent tests, such as
    comparisons against one control.

    Args:
        p_values: k values in [0, 1], at least one.

    Returns:
        ``(k,)`` adjusted values in [0, 1], in the order given.

    Raises:
        ValueError: For none, or values outside [0, 1].

    Source:
        Benjamini and Hochberg (1995); positive dependence: Benjamini and Yekutieli (2001).

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.04, 0.04]
    """
    from scipy import stats

    return np.asarray(stats.false_discovery_control(_checked(p_values), method="bh"))


def simultaneous_confidence(comparisons: int, family: float = 0.95) -> float:
    """Confidence of each of k intervals so that all of them hold with probability >= `family`.

    Bonferroni's 1 − (1 − family)/k, valid under any dependence; Šidák's root, valid for intervals
    around jointly normal estimates, is hardly shorter (0.99634 against 0.99643 for 14). Intervals
    from exchanging n seeds cannot do better than 1 − 2/2ⁿ, so 14 comparisons ask for 10 seeds.

    Args:
        comparisons: Number k of intervals, >= 1.
        family: Probability in (0, 1) that none misses.

    Returns:
        The confidence to give each.

    Raises:
        ValueError: For no comparison or a probability out of range.

    Source:
        Dunn (1961).

    Example:
        >>> simultaneous_confidence(5)
        0.99
    """
    if comparisons < 1 or not 0 < family < 1:
        raise ValueError(
            f"expected comparisons >= 1 and 0 < family < 1, got {comparisons=} and {family=}"
        )
    return 1 - (1 - family) / comparisons


def _checked(p_values: Sequence[float]) -> Float[np.ndarray, " k"]:
    values = np.asarray(p_values, dtype=np.float64)
    if values.size == 0 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"expected at least one p-value in [0, 1], got {p_values}")
    return values
