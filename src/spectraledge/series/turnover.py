"""Where a series turns over from its maximum."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer

__all__ = ["turnover_step"]


def turnover_step(
    steps: Integer[np.ndarray, " T"],
    values: Float[np.ndarray, " _"],  # not " T": unequal lengths are refused below, by number
    *,
    falls: int = 2,
) -> int | None:
    """First step at or after the global maximum from which several falls follow in a row.

    The maximum is that of the whole series, so this looks into the future and is no warning. The
    explained variance of a trajectory is largest where it has the fewest points, so its maximum
    tends to be its first record.

    Args:
        steps: Ascending steps.
        values: Values; NaN where there is none.
        falls: How many decreases in a row, >= 1.

    Returns:
        The step; None if there is no such stretch.

    Raises:
        ValueError: For unequal lengths, or falls below 1.

    Source: arXiv:2602.16746, the lead of PC1 (two falls); restated.

    Example:
        >>> turnover_step(np.arange(6), np.array([0.1, 0.5, 0.9, 0.8, 0.7, 0.95 - 0.5]))
        2
    """
    if len(steps) != len(values):
        raise ValueError(f"expected one value per step, got {len(steps)} and {len(values)}")
    if falls < 1:
        raise ValueError(f"turnover_step: expected falls >= 1, got {falls}")
    known = np.isfinite(values)
    at, seen = steps[known], values[known]
    if not seen.size:
        return None
    falling = np.diff(seen) < 0
    for start in range(int(np.argmax(seen)), len(falling) - falls + 1):
        if falling[start : start + falls].all():
            return int(at[start])
    return None
