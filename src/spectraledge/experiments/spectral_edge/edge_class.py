"""The class of an edge, by a stated rule from the last third of a run."""

from __future__ import annotations

from math import nan

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
from spectraledge.series import EdgeNumbers, spectral_peak, universality_class
from spectraledge.series.universality_class import FEWEST_LOST

__all__ = ["edge_numbers", "run_class"]

# Labels that are ids of words: a spectrum over them would say how the words happen to be numbered.
WITHOUT_ORDER = (SCAN,)


def edge_numbers(row: Row, *, ordered: bool = True, end: float | None = None) -> EdgeNumbers:
    """Medians over the last third of the run.

    Args:
        row: Of the run.
        ordered: Whether the label's classes have an order.
        end: Step at which the run is taken to end; None for its last.

    Returns:
        The numbers.
    """
    last = row.steps_taken if end is None else end

    def late(name: str) -> float:
        steps, values = finite_curve(row, name)
        seen = values[(steps >= 2 / 3 * last) & (steps <= last)]
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
        peak=spectral_peak(*found) if ordered else nan,
        overlap=late(curve_name(SPLIT, "overlap", "v1")),
        turn=angle - null,
        most_special=late(curve_name(ABLATION, "accuracy")) / lost if costs else nan,
    )


def run_class(
    group: EdgeGroup, row: Row, end: float | None = None
) -> tuple[EdgeNumbers, str, float]:
    """Numbers, class and margin of a run of a task up to a step, see `universality_class`."""
    ordered = group.name not in WITHOUT_ORDER
    numbers = edge_numbers(row, ordered=ordered, end=end)
    return numbers, *universality_class(numbers, ordered=ordered)
