"""Functional, mixed or compression: the class of a spectral edge, by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isnan, nan

__all__ = ["CLASSES", "CLASS_RULE", "EdgeNumbers", "spectral_peak", "universality_class"]

CLASSES = ("functional", "mixed", "compression")
# Provisional: nobody has published any.
DECAY_SHARE, LESS_SPECIAL, GRADIENT_SHARE, MORE_SPECIAL, PEAK = 0.4, 0.9, 0.5, 1.3, 0.1
# Of a control that costs less than this accuracy, a ratio to it is noise over noise.
FEWEST_LOST = 0.02
CLASS_RULE = (
    f"Medians over the last third of a run. Compression: decay makes more than {DECAY_SHARE:.0%} "
    f"of each displacement (⟨w, δ⟩/‖δ‖²) and removing the edge costs less than {LESS_SPECIAL:g} "
    "times what an equal share of the weights costs. Functional: the gradient makes more than "
    f"{GRADIENT_SHARE:.0%} of the energy along v₁, removing the edge costs more than "
    f"{MORE_SPECIAL:g} times as much, and, where the label's classes have an order, one frequency "
    f"over them holds {PEAK:g} more of the response along v₁ than of that along a random direction "
    "and along the weights. Otherwise mixed. The ratio of costs is looked at only where the "
    f"control costs at least {FEWEST_LOST:g} of accuracy. A number that is missing, or that its "
    "controls keep from ever reaching a threshold, decides nothing, and a run whose class hangs on "
    "it has none. The margin is the smallest relative distance to a threshold that decided."
)


@dataclass(frozen=True)
class EdgeNumbers:
    """What the class of a run follows from; NaN where it was not measured.

    Args:
        decay_share: ⟨w, δ⟩/‖δ‖² of decay.
        gradient_share: Of the energy along v₁.
        special: Accuracy lost without the edge over that of the matched control; NaN where the
            control loses next to nothing.
        gamma: RMS ‖Δh‖ of the representation along v₁ over that along a random direction.
        peak: Largest share of one frequency over classes, of v₁ less the larger of a random
            direction and the weights; NaN where that leaves too little room or classes no order.
        overlap: |cos(v₁, θ)|.
        turn: Angle of v₁ minus that of drift and noise, degrees.
        most_special: What `special` would be if nothing were right without the edge.
    """

    decay_share: float
    gradient_share: float
    special: float
    gamma: float
    peak: float
    overlap: float
    turn: float
    most_special: float = inf


def universality_class(numbers: EdgeNumbers, *, ordered: bool = True) -> tuple[str, float]:
    """Class of an edge and the margin by which it is that class.

    Compression: ``decay_share > 0.4`` and ``special < 0.9``. Functional: ``gradient_share > 0.5``,
    ``special > 1.3`` and, with an order, ``peak > 0.1``. Otherwise mixed, unless a number that
    would decide is missing.

    Args:
        numbers: Of one run.
        ordered: Whether the label's classes have an order; without one there is no peak to ask for.

    Returns:
        One of `CLASSES` and the smallest relative distance of a deciding number to its threshold;
        an empty class and NaN if a number that would decide is missing.

    Source: arXiv:2604.07380 names the classes and gives no rule. This one is ours and its
    thresholds are provisional; it looks at the shares of gradient and decay that the paper takes
    for the balance of the gap flow, at what removing the edge costs beside a matched control, and
    at the spectrum of the response beside those of controls.

    Example:
        >>> late = EdgeNumbers(decay_share=0.8, gradient_share=0.02, special=0.5, gamma=3.0,
        ...                    peak=0.0, overlap=0.9, turn=-2.0)
        >>> name, margin = universality_class(late)
        >>> name, round(margin, 2)
        ('compression', 0.44)
    """
    rules = _excesses(numbers, ordered)
    for name, excess in rules.items():
        if all(value > 0 for value in excess):
            return name, min(excess)
    if not all(any(value <= 0 for value in excess) for excess in rules.values()):
        return "", nan
    # Mixed is decided by what each rule lacks most.
    return "mixed", min(max(-v for v in excess if not isnan(v)) for excess in rules.values())


def _excesses(n: EdgeNumbers, ordered: bool) -> Mapping[str, list[float]]:
    """By how much each number is beyond its threshold, relative to it; NaN for what is unknown."""
    special = n.special if n.most_special > MORE_SPECIAL else nan
    compresses = [(n.decay_share, DECAY_SHARE), (-n.special, -LESS_SPECIAL)]
    functions = [(n.gradient_share, GRADIENT_SHARE), (special, MORE_SPECIAL)]
    if ordered:
        functions.append((n.peak, PEAK))
    return {
        name: [(value - threshold) / abs(threshold) for value, threshold in rule]
        for name, rule in (("compression", compresses), ("functional", functions))
    }


def spectral_peak(own: float, *controls: float) -> float:
    """`EdgeNumbers.peak` from the largest shares of one frequency, of v₁ and of its controls.

    Args:
        own: Of the response along v₁, in [0, 1].
        *controls: Of those along a random direction and the weights.

    Returns:
        The difference to the larger control; NaN where a control leaves no room for a peak.
    """
    # Shares end at 1: above this the threshold is out of reach.
    return own - max(controls) if all(c < 1 - PEAK for c in controls) else nan
