"""The class of an edge, by a stated rule from the last third of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isnan, nan

import numpy as np

from spectraledge.experiments.spectral_edge.edge_regimes import SCAN
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    RESPONSE,
    SPLIT,
    EdgeGroup,
    curve_name,
    finite_curve,
)
from spectraledge.lab.rows import Row

__all__ = ["CLASSES", "RULE_WORDS", "EdgeNumbers", "edge_class", "edge_numbers", "run_class"]

CLASSES = ("functional", "mixed", "compression")
# Provisional: nobody has published any.
DECAY_SHARE, LESS_SPECIAL, GRADIENT_SHARE, MORE_SPECIAL, PEAK = 0.4, 0.9, 0.5, 1.3, 0.1
# Of a control that costs less than this accuracy, a ratio to it is noise over noise.
FEWEST_LOST = 0.02
# Labels that are ids of words: a spectrum over them would say how the words happen to be numbered.
WITHOUT_ORDER = (SCAN,)
RULE_WORDS = (
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


def edge_numbers(row: Row, *, ordered: bool = True) -> EdgeNumbers:
    """Medians over the last third of the run.

    Args:
        row: Of the run.
        ordered: Whether the label's classes have an order.

    Returns:
        The numbers.
    """

    def late(name: str) -> float:
        steps, values = finite_curve(row, name)
        seen = values[steps >= 2 / 3 * row.steps_taken]
        return float(np.median(seen)) if seen.size else nan

    own, random, weights = (
        {output: late(curve_name(RESPONSE, output, d)) for output in ("size", "concentration")}
        for d in ("v1", "random", "weights")
    )
    angle, null = (late(curve_name(EDGE, n, "v1")) for n in ("rotation", "null_rotation"))
    lost = -late(curve_name(ABLATION, "accuracy_change", "matched"))
    costs = lost >= FEWEST_LOST
    found = (x["concentration"] for x in (own, random, weights))
    return EdgeNumbers(
        decay_share=late(curve_name(SPLIT, "interval_share", "weight_decay")),
        gradient_share=late(curve_name(SPLIT, "energy_share", "gradient", "v1")),
        special=late(curve_name(ABLATION, "edge_over_matched")) if costs else nan,
        gamma=own["size"] / random["size"] if random["size"] else nan,
        peak=_peak(*found) if ordered else nan,
        overlap=late(curve_name(SPLIT, "overlap", "v1")),
        turn=angle - null,
        most_special=late(curve_name(ABLATION, "accuracy")) / lost if costs else nan,
    )


def _peak(own: float, *controls: float) -> float:
    # Shares end at 1: above this the threshold is out of reach.
    return own - max(controls) if all(c < 1 - PEAK for c in controls) else nan


def edge_class(numbers: EdgeNumbers, *, ordered: bool = True) -> tuple[str, float]:
    """Class and margin.

    Args:
        numbers: Of one run.
        ordered: Whether the label's classes have an order; without one there is no peak to ask for.

    Returns:
        One of `CLASSES` and the smallest relative distance of a deciding number to its threshold;
        an empty class and NaN if a number that would decide is missing.
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


def run_class(group: EdgeGroup, row: Row) -> tuple[EdgeNumbers, str, float]:
    """Numbers, class and margin of a run of a task, see `edge_class`."""
    ordered = group.name not in WITHOUT_ORDER
    numbers = edge_numbers(row, ordered=ordered)
    return numbers, *edge_class(numbers, ordered=ordered)
