"""When a curve gets somewhere and stays there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Real

__all__ = ["first_held"]


def first_held(
    steps: Real[np.ndarray, " T"],
    values: Real[np.ndarray, " _"],  # not " T": unequal lengths are refused below, by number
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
        ValueError: For a patience below 1, unequal lengths, or steps that descend.

    Example:
        >>> steps, values = np.arange(0, 50, 10), np.array([0.1, 0.96, 0.5, 0.97, 0.99])
        >>> first_held(steps, values, threshold=0.95, patience=2)
        30
    """
    if patience < 1:
        raise ValueError(f"expected patience >= 1, got {patience}")
    if len(steps) != len(values):
        raise ValueError(f"expected one value per step, got {len(steps)} and {len(values)}")
    falls = steps[1:] < steps[:-1]
    if falls.any():
        at = int(falls.argmax())
        raise ValueError(
            f"expected ascending steps, got {steps[at]} before {steps[at + 1]}; sort them, or cut "
            "where a run began anew"
        )
    with np.errstate(invalid="ignore"):
        reached = values <= threshold if below else values >= threshold
    run = 0
    for index, there in enumerate(reached.tolist()):
        run = run + 1 if there else 0
        if run == patience:
            return int(steps[index - patience + 1])
    return None
