"""When a curve gets somewhere and stays there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Real

__all__ = ["first_held"]


def first_held(
    steps: Real[np.ndarray, " T"],
    values: Real[np.ndarray, " T"],
    *,
    threshold: float,
    patience: int,
    below: bool = False,
) -> int | None:
    """First step at which a threshold is reached and held for `patience` evaluations.

    The literature uses several rules for "the grokking step", so threshold and patience have no
    default; store them with the number. A NaN counts as not reached.

    Args:
        steps: ``(T,)`` ascending steps.
        values: ``(T,)`` values at these steps.
        threshold: Value to reach.
        patience: How many evaluations in a row must reach it, the first included; >= 1.
        below: Whether reaching means ``<=`` instead of ``>=``.

    Returns:
        The first step of the first such stretch; None if there is none (right-censored at the
        last step).

    Raises:
        ValueError: For a patience below 1.

    Example:
        >>> steps, values = np.arange(0, 50, 10), np.array([0.1, 0.96, 0.5, 0.97, 0.99])
        >>> first_held(steps, values, threshold=0.95, patience=2)
        30
    """
    if patience < 1:
        raise ValueError(f"expected patience >= 1, got {patience}")
    with np.errstate(invalid="ignore"):
        reached = values <= threshold if below else values >= threshold
    run = 0
    for index, there in enumerate(reached.tolist()):
        run = run + 1 if there else 0
        if run == patience:
            return int(steps[index - patience + 1])
    return None
