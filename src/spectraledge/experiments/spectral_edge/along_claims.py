"""Runs, claims and what the rows say in `along_the_edge`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from math import nan

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    NO_DECAY,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, measured_group
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.experiments.study import Known
from spectraledge.instruments import EdgeImportance, FunctionalResponse, StructureCurve
from spectraledge.instruments.perturbation_curve import level_names
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.training import RunSpec

__all__ = [
    "IMPORTANCE",
    "LEVELS",
    "PREDICTIONS",
    "RESPONSE",
    "STRUCTURE",
    "along_claims",
    "along_curve",
    "along_group",
    "along_phases",
    "along_runs",
    "concordance",
    "moved",
]

IMPORTANCE = EdgeImportance(directions=5)
STRUCTURE = StructureCurve()
RESPONSE = FunctionalResponse(count=2, seeds=1)
along_curve = CurveNames([IMPORTANCE, STRUCTURE, RESPONSE])
LEVELS = level_names(STRUCTURE.steps, STRUCTURE.points)
MIDDLE = len(LEVELS) // 2
# Published steps of removal.
PHASES = {"pre": 200, "at": 500, "post": 1400, "late": 3900}
# What predicts the cost of a direction, by the output that does; the first is the paper's.
PREDICTIONS = {
    "published importance": "importance",
    "product of slopes": "agreement",
    "share of the weights": "held",
    "Taylor, first order": "first_order",
    "Taylor, second order": "second_order",
}
# The published displacements reach 0.03 of weight, late about 0.3 % of ‖θ‖: the first of these.
NEAR, FAR = LEVELS[MIDDLE + 2], LEVELS[MIDDLE + 5]


def along_phases(regime: EdgeRegime, scale: Scale) -> dict[str, int]:
    """Published steps by phase, or those of the smoke runs."""
    return dict(regime.functional_steps) if scale == "smoke" else PHASES


def along_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """Dyck-1 with decay and without, four records beyond the last phase."""
    regime = edge_regimes(scale)[DYCK]
    # A length of their own: rows of other studies lack these readings.
    steps = along_phases(regime, scale)["late"] + 4 * regime.record_every
    return {
        DECAY: regime.runs(steps=steps),
        NO_DECAY: regime.runs(regime.chain(0.0), steps=steps),
    }


def along_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known and were measured."""
    needed = along_curve(IMPORTANCE, "held", "v1")
    return measured_group(known, DYCK, edge_regimes(scale)[DYCK], along_runs(scale), needed)


def concordance(row: Row, output: str, known_by: str | None = None) -> float:
    """Share of pairs of directions of one record that a prediction orders as their cost does.

    The cost is the absolute change of the held-out loss without the direction, as published. Half
    is chance. Pairs of which one number is not known do not count: the published importance knows
    two of five directions.

    Args:
        row: Of a run.
        output: Of `EdgeImportance`.
        known_by: Count pairs only that this output knows too; None for all.

    Returns:
        In [0, 1]; NaN without a pair.
    """
    names = [f"v{k + 1}" for k in range(IMPORTANCE.directions)]
    predicted, cost, other = (
        np.abs([row.curve(along_curve(IMPORTANCE, each, name))[1] for name in names])
        for each in (output, "loss_change", known_by or output)
    )
    known = np.isfinite(predicted) & np.isfinite(cost) & np.isfinite(other)
    agreeing = [
        ((predicted[i] > predicted[j]) == (cost[i] > cost[j]))[known[i] & known[j]]
        for i, j in combinations(range(len(names)), 2)
    ]
    every = np.concatenate(agreeing)
    return float(every.mean()) if every.size else nan


def moved(row: Row, output: str, direction: str, level: str, step: int) -> float:
    """Mean absolute change of an output of `StructureCurve` at ``±level ‖θ‖``."""
    at = [
        value_at(row, along_curve(STRUCTURE, output, direction, sign + level), step)
        for sign in ("", "-")
    ]
    still = value_at(row, along_curve(STRUCTURE, output, direction, LEVELS[MIDDLE]), step)
    return float(np.mean(np.abs(np.array(at) - still)))


def along_claims(group: EdgeGroup, scale: Scale) -> list[Verdict]:
    """All verdicts."""
    late = along_phases(group.regime, scale)["late"]
    return [
        *(_orders(group, condition, name) for condition in group.rows for name in PREDICTIONS),
        *(_better(group, condition) for condition in group.rows),
        *(_flat(group, condition, late) for condition in group.rows),
        *(_sooner(group, condition, late) for condition in group.rows),
        *(_commutes(group, condition, late) for condition in group.rows),
        *(_waves(group, condition, late) for condition in group.rows),
    ]


def _over(group: EdgeGroup, condition: str, value: Callable[[Row], float]) -> list[float]:
    return [value(row) for row in group.rows[condition].values()]


def _said(condition: str, claim: str) -> str:
    return claim if condition == DECAY else f"Without decay: {claim}"


def _orders(group: EdgeGroup, condition: str, name: str) -> Verdict:
    output = PREDICTIONS[name]
    found = mean_of(_over(group, condition, partial(concordance, output=output)), 0.0, 1.0)
    published = output == "importance"
    return over_seeds(
        _said(condition, f"“{name}” orders directions by what their removal costs"),
        "a correlation over two points, which the script sets to 0" if published else "not tested",
        found,
        "Share of pairs of directions of a record that it orders as |change of the loss| without "
        "either does; one half is chance.",
        words=share_words(found),
        above=0.5,
    )


def _better(group: EdgeGroup, condition: str) -> Verdict:
    first, second = (
        _over(group, condition, partial(concordance, output=output, known_by="importance"))
        for output in ("importance", "held")
    )
    found = mean_of(a - b for a, b in zip(first, second))
    return over_seeds(
        _said(condition, "The published importance orders better than the share of the weights"),
        "implied",
        found,
        "Difference of both shares of pairs, by seed, over those that the importance knows.",
        words=f"{share_words(mean_of(first))} against {share_words(mean_of(second))}: "
        f"{share_words(found)} more",
        above=0.0,
    )


def _ratio(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [a / b if b > 0 else nan for a, b in zip(values, others)]


def _flat(group: EdgeGroup, condition: str, step: int) -> Verdict:
    def change(row: Row) -> float:
        return moved(row, "entropy", "v1", NEAR, step) / value_at(
            row, along_curve(STRUCTURE, "entropy", "v1", LEVELS[MIDDLE]), step
        )

    found = mean_of(_over(group, condition, change))
    return over_seeds(
        _said(
            condition, f"Within the published displacements attention does not move, step {step}"
        ),
        "curve shown, no number given",
        found,
        f"Change of the entropy of attention at {NEAR} ‖θ‖ along v₁, over the entropy.",
        words=short(found),
        below=0.01,
    )


def _sooner(group: EdgeGroup, condition: str, step: int) -> Verdict:
    along, random = (
        _over(group, condition, partial(moved, output="entropy", direction=d, level=FAR, step=step))
        for d in ("v1", "random1")
    )
    found = mean_of(np.log10(_ratio(along, random)))
    means = [short(mean_of(values)) for values in (along, random)]
    return over_seeds(
        _said(
            condition,
            f"Far along the edge attention changes more than as far at random, step {step}",
        ),
        "not shown",
        found,
        f"Change of the entropy of attention in nat at {FAR} ‖θ‖, decimal logarithm of that along "
        "v₁ over that at random.",
        words=f"{means[0]} against {means[1]} nat; log10 ratio {short(found)}",
        above=0.0,
    )


def _commutes(group: EdgeGroup, condition: str, step: int) -> Verdict:
    name = along_curve(STRUCTURE, "relative_commutator", "v1", LEVELS[MIDDLE])
    chance = getattr(group.regime.model, "width", 1) ** -0.5
    found = mean_of(value_at(row, name, step) for row in group.rows[condition].values())
    return over_seeds(
        _said(condition, f"W_Q and W_K commute more than random matrices do, step {step}"),
        "curve shown, no number given; no chance level",
        found,
        "‖W_Q W_K − W_K W_Q‖ over √2 ‖W_Q‖ ‖W_K‖, mean over layers; Gaussian matrices of width d "
        f"have 1/√d, here {chance:.3f}.",
        words=f"{share_words(found)}, by chance {chance:.3f}",
        below=chance,
    )


def _waves(group: EdgeGroup, condition: str, step: int) -> Verdict:
    def share(row: Row, direction: str) -> float:
        return value_at(row, along_curve(RESPONSE, "position_concentration", direction), step)

    found = mean_of(_over(group, condition, lambda r: share(r, "v1") - share(r, "random")))
    own, chance = (mean_of(_over(group, condition, partial(share, direction=d)))
                   for d in ("v1", "random"))  # fmt: skip
    return over_seeds(
        _said(
            condition,
            f"The response along v₁ is more of one wave over positions than at random, step {step}",
        ),
        "frequency 0, which has most whatever the response is",
        found,
        "Largest share of one frequency but 0 in the power over positions of the mean squared "
        "response, minus that of a random direction.",
        words=f"{share_words(own)} against {share_words(chance)}: {share_words(found)} more",
        above=0.0,
    )
