"""The class of an edge, by a stated rule from the last third of a run."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan

import numpy as np

from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    RESPONSE,
    SPLIT,
    curve_name,
    finite_curve,
)
from spectraledge.lab.rows import Row

__all__ = ["CLASSES", "RULE_WORDS", "EdgeNumbers", "edge_class", "edge_numbers"]

CLASSES = ("functional", "mixed", "compression")
# Provisional: nobody has published any.
DECAY_SHARE, LESS_SPECIAL, GRADIENT_SHARE, MORE_SPECIAL, PEAK = 0.4, 0.9, 0.5, 1.3, 2.0
RULE_WORDS = (
    f"Medians over the last third of a run. Compression: decay makes more than {DECAY_SHARE:.0%} "
    f"of each displacement (⟨w, δ⟩/‖δ‖²) and removing the edge costs less than {LESS_SPECIAL:g} "
    "times what an equal share of the weights costs. Functional: the gradient makes more than "
    f"{GRADIENT_SHARE:.0%} of the energy along v₁, removing the edge costs more than "
    f"{MORE_SPECIAL:g} times as much, and the response along v₁ over the label's classes peaks "
    f"at least {PEAK:g} times as high as along a random direction. Otherwise "
    "mixed. The margin is the smallest relative distance to a threshold that decided."
)


@dataclass(frozen=True)
class EdgeNumbers:
    """What the class of a run follows from; NaN where it was not measured.

    Args:
        decay_share: ⟨w, δ⟩/‖δ‖² of decay.
        gradient_share: Of the energy along v₁.
        special: Accuracy lost without the edge over that of the matched control.
        gamma: RMS ‖Δh‖ of the representation along v₁ over that along a random direction.
        peak: Largest share of one frequency over classes, v₁ over a random direction.
        overlap: |cos(v₁, θ)|.
        turn: Angle of v₁ minus that of drift and noise, degrees.
    """

    decay_share: float
    gradient_share: float
    special: float
    gamma: float
    peak: float
    overlap: float
    turn: float


def edge_numbers(row: Row) -> EdgeNumbers:
    """Medians over the last third of the run."""

    def late(name: str) -> float:
        steps, values = finite_curve(row, name)
        seen = values[steps >= 2 / 3 * row.steps_taken]
        return float(np.median(seen)) if seen.size else nan

    def over_random(output: str) -> float:
        own, random = (late(curve_name(RESPONSE, output, d)) for d in ("v1", "random"))
        return own / random if random else nan

    angle, null = (late(curve_name(EDGE, n, "v1")) for n in ("rotation", "null_rotation"))
    return EdgeNumbers(
        decay_share=late(curve_name(SPLIT, "interval_share", "weight_decay")),
        gradient_share=late(curve_name(SPLIT, "energy_share", "gradient", "v1")),
        special=late(curve_name(ABLATION, "edge_over_matched")),
        gamma=over_random("size"),
        peak=over_random("concentration"),
        overlap=late(curve_name(SPLIT, "overlap", "v1")),
        turn=angle - null,
    )


def edge_class(numbers: EdgeNumbers) -> tuple[str, float]:
    """Class and margin.

    Args:
        numbers: Of one run.

    Returns:
        One of `CLASSES` and the smallest relative distance of a deciding number to its threshold;
        an empty class and NaN if a number that is needed is missing.
    """
    n = numbers
    if not all(isfinite(v) for v in (n.decay_share, n.gradient_share, n.special)):
        return "", nan
    compresses = [(n.decay_share, DECAY_SHARE), (-n.special, -LESS_SPECIAL)]
    functions = [(n.gradient_share, GRADIENT_SHARE), (n.special, MORE_SPECIAL), (n.peak, PEAK)]
    for name, rule in (("compression", compresses), ("functional", functions)):
        if all(value > threshold for value, threshold in rule):
            return name, min(abs(v / t - 1) for v, t in rule)
    if not isfinite(n.peak) and all(value > threshold for value, threshold in functions[:2]):
        return "", nan
    # Mixed is decided by what each rule lacks most.
    lacks = [
        max((t - v) / abs(t) for v, t in rule if isfinite(v)) for rule in (compresses, functions)
    ]
    return "mixed", min(lacks)
