"""Curves over displacements of a row: how far until accuracy is lost, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from spectraledge.experiments.gather import band
from spectraledge.experiments.row_values import short, step_of, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.instruments import PerturbationCurve, UpdateDecomposition
from spectraledge.instruments.perturbation_curve import displacement_levels
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Curve, Figure, Table, arm_colours, curves

__all__ = [
    "CURVES",
    "LEARNED",
    "LOST",
    "at_random",
    "displacement_curve",
    "displacement_figures",
    "exponent",
    "reach",
    "reach_table",
    "rising",
]

CURVES = PerturbationCurve()
displacement_curve = CurveNames([CURVES, UpdateDecomposition(window=5, components=4)])
LEVELS = displacement_levels(CURVES.steps, CURVES.points).numpy()
RANDOM = tuple(f"random{k + 1}" for k in range(CURVES.random))
SHOWN = {"edge v₁": "v1", "weights θ": "theta", "random": "random1"}
CAPTION = (
    "Thin lines are seeds, the thick one their mean (on log axes the geometric one), the band its "
    "95 % t interval. Whole lines lengthen the weights, dotted ones shorten them."
)
# Accuracy that counts as lost; 200 rows of one answer each, the fewest here, know 0.95 to 0.015.
LOST = 0.05
# Up to here the weights are displaced by little: a tenth of their length.
NEAR = 0.1
# A network that has less has not learned what could be lost.
LEARNED = 0.5


def over_displacements(row: Row, step: int, output: str, direction: str) -> np.ndarray:
    """An output at every displacement of `LEVELS`; NaN where it was not measured."""
    names = (displacement_curve(CURVES, output, direction, f"{level:.4g}") for level in LEVELS)
    return np.array([value_at(row, name, step) for name in names])


def reach(row: Row, step: int, direction: str) -> float:
    """Displacement at which `LOST` of accuracy is lost, geometric mean of both signs.

    Args:
        row: Of a run.
        step: Of the snapshot; the last one before it if there is none.
        direction: ``v1``, ``theta``, ``random1`` and so on.

    Returns:
        ``ε/‖θ‖``, between two displacements interpolated in their logarithm; 1, the largest one,
        where so much is never lost; NaN where nothing was measured, or where accuracy is below
        `LEARNED` to begin with.
    """
    values = over_displacements(row, step, "accuracy", direction)
    middle = len(LEVELS) // 2
    falls = values[middle] - values
    sides = LEVELS[middle + 1 :], falls[middle + 1 :], falls[:middle][::-1]
    if not np.isfinite(falls).all() or values[middle] < LEARNED:
        return float("nan")
    return float(np.sqrt(_first(sides[0], sides[1]) * _first(sides[0], sides[2])))


def _first(levels: np.ndarray, falls: np.ndarray) -> float:
    """The first level at which a fall exceeds `LOST`."""
    beyond = np.flatnonzero(falls > LOST)
    if not beyond.size:
        return float(levels[-1])
    at = int(beyond[0])
    if at == 0:
        return float(levels[0])
    part = (LOST - falls[at - 1]) / (falls[at] - falls[at - 1])
    return float(np.exp(np.interp(part, [0, 1], np.log(levels[at - 1 : at + 1]))))


def rising(row: Row, step: int, direction: str) -> float:
    """Share of the steps from one displacement to the next larger one that change the output more.

    Args:
        row: Of a run.
        step: Of the snapshot; the last one before it if there is none.
        direction: ``v1``, ``theta``, ``random1`` and so on.

    Returns:
        Share of both signs' steps, from none, in which ``KL(p_θ ‖ p_{θ + ε d})`` grows; NaN where
        nothing was measured.
    """
    values = over_displacements(row, step, "divergence", direction)
    middle = len(LEVELS) // 2
    if not np.isfinite(values).all():
        return float("nan")
    sides = values[middle:], values[: middle + 1][::-1]
    return float(np.mean([np.diff(side) > 0 for side in sides]))


def exponent(row: Row, step: int, direction: str) -> float:
    """Power of the displacement with which the output's change grows while it is small.

    Args:
        row: Of a run.
        step: Of the snapshot; the last one before it if there is none.
        direction: ``v1``, ``theta``, ``random1`` and so on.

    Returns:
        Slope of log KL over log ε/‖θ‖ up to `NEAR`, both signs: 2 where the divergence is a
        parabola; NaN where nothing was measured, or nothing changes.
    """
    values = over_displacements(row, step, "divergence", direction)
    near = (np.abs(LEVELS) <= NEAR) & (LEVELS != 0)
    if not (values[near] > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(np.abs(LEVELS[near])), np.log(values[near]), 1)[0])


def at_random(row: Row, step: int) -> float:
    """Geometric mean of the `reach` along random directions."""
    return float(np.exp(np.mean([np.log(reach(row, step, direction)) for direction in RANDOM])))


def reach_table(group: EdgeGroup) -> Table:
    """How far by phase and condition, along the edge, the bulk, the weights and at random."""
    directions = (*(f"v{k + 1}" for k in range(CURVES.directions)), "theta")
    readers: dict[str, Callable[[Row, int], float]] = {
        name: partial(reach, direction=name) for name in directions
    }
    readers["random"] = at_random
    lines = [
        (
            f"{condition}, step {step}",
            *(
                short(geometric_interval((seed, read(row, step)) for seed, row in rows.items()))
                for read in readers.values()
            ),
        )
        for condition, rows in group.rows.items()
        for step in group.regime.functional_steps.values()
        if any(
            step_of(row, displacement_curve(CURVES, "step"), step) == step for row in rows.values()
        )
    ]
    caption = f"Displacement over the length of the weights at which {LOST:g} of accuracy is lost."
    return Table(("runs", *readers), lines, caption)


def displacement_figures(rows: Mapping[int, Row], step: int, of: str) -> list[Figure]:
    """Accuracy, loss and divergence over displacements of both signs; none without rows."""
    if not rows:
        return []
    return [
        curves(
            [
                drawn
                for arm, direction in SHOWN.items()
                for drawn in _both_signs(rows, step, output, arm, direction, log=log)
            ],
            title=f"{words}, {of}, step {step}",
            caption=CAPTION,
            colours=arm_colours(tuple(SHOWN)),
            axes=Axes("displacement over ‖θ‖", label, log_x=True, log_y=log),
            half=True,
        )
        for output, words, label, log in (
            ("accuracy", "Accuracy", "accuracy", False),
            ("loss", "Loss", "loss", True),
            ("divergence", "Divergence from the network as it is", "KL, nat", True),
        )
    ]


def _both_signs(
    rows: Mapping[int, Row], step: int, output: str, arm: str, direction: str, *, log: bool
) -> list[Curve]:
    middle = len(LEVELS) // 2
    found = np.stack([over_displacements(row, step, output, direction) for row in rows.values()])
    seeds, levels = tuple(rows), LEVELS[middle + 1 :]
    sides = (("forwards", "solid", found[:, middle + 1 :]),
             ("backwards", "dot", found[:, :middle][:, ::-1]))  # fmt: skip
    return [
        replace(band(arm, (), levels, values, log=log, quantity=name, dash=dash), seeds=seeds)
        for name, dash, values in sides
    ]
