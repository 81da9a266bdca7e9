"""Rows of a few named curves, planted so that a claim holds or fails."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spectraledge.lab.rows import Row
from spectraledge.report import Verdict

# A level throughout, or levels by the step from which on they last.
Level = float | Mapping[int, float]
Arms = dict[str, dict[int, Row]]
SEEDS = (42, 137, 2024)
HOLDS, FAILS = 0, 1
OUTCOMES = ((HOLDS, "holds"), (FAILS, "fails"))
# Seeds differ by this share of a level, so that intervals have a width.
SCATTER = 0.005


class Planted(NamedTuple):
    """What makes one claim hold, and what makes it fail."""

    claim: str
    curves: Mapping[tuple[str, str], tuple[Level, Level]]


def planted_arms(
    base: Mapping[str, Mapping[str, Level]],
    curves: Mapping[tuple[str, str], tuple[Level, Level]],
    outcome: int,
    steps: int,
    every: int = 100,
) -> Arms:
    """Rows of every arm of `base`, with the curves of one outcome in place of its own."""
    levels = {arm: dict(own) for arm, own in base.items()}
    for (arm, curve), pair in curves.items():
        levels[arm][curve] = pair[outcome]
    at = np.arange(0, steps + 1, every)
    return {
        arm: {seed: _row(own, at, 1 + SCATTER * (i - 1)) for i, seed in enumerate(SEEDS)}
        for arm, own in levels.items()
    }


def _row(levels: Mapping[str, Level], steps: np.ndarray, factor: float) -> Row:
    curves = {"step": steps, "lost_at": np.full(steps.size, -1)}
    for name, level in levels.items():
        curves[name] = factor * _curve(level, steps)
        if "/" in name:
            curves[f"{name.rpartition('/')[0]}/step"] = steps
    return Row("planted", "planted", "{}", "done", curves, seconds=1.0)


def _curve(level: Level, steps: np.ndarray) -> np.ndarray:
    if not isinstance(level, Mapping):
        return np.full(steps.size, float(level))
    values = np.zeros(steps.size)
    for start, value in sorted(level.items()):
        values[steps >= start] = value
    return values


def only_at(step: int, level: float, otherwise: float) -> Level:
    """A level at one step and for less than a hundred more."""
    return {0: otherwise, step: level, step + 100: otherwise}


def statuses(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Statuses by claim, without the task before it."""
    return {verdict.claim.rpartition(": ")[2]: verdict.status for verdict in verdicts}
