"""Phases of a run, and what rows measured in each, as numbers of seeds.

A record is early until the training set is memorised, in memorization while held-out accuracy is
below 0.30, pre-grok while it rises, and post-grok from 0.95 on, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import exp, isfinite, log, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectraledge.experiments.execution_subspace.regimes import HELD_OUT
from spectraledge.experiments.row_values import mean_of
from spectraledge.lab.rows import Row
from spectraledge.series import Interval

__all__ = [
    "PHASES",
    "Cells",
    "Number",
    "count_records",
    "lowest",
    "median_of",
    "phases_at",
    "pooled",
    "ratio_interval",
    "seed_number",
]

Array = NDArray[Any]
# Rows by seed of every operation.
Cells = Mapping[str, Mapping[int, Row]]
Number = Callable[[Row], float]

PHASES = ("early", "memorization", "pre-grok", "post-grok")
MEMORISED, RISING, GENERALISED = 0.95, 0.30, 0.95


def phases_at(row: Row, steps: Array) -> Array:
    """The phase of each step, from the accuracies of the last record at or before it.

    Args:
        row: A run.
        steps: ``(T,)``, none before the first record.

    Returns:
        ``(T,)`` entries of `PHASES`.

    Source: arXiv:2602.16746, the control for random subspaces.
    """
    recorded, held_out = row.curve(HELD_OUT)
    place = np.searchsorted(recorded, steps, side="right") - 1
    train, test = row.curve("train_accuracy")[1][place], held_out[place]
    memorised = train >= MEMORISED
    return np.select(
        [test >= GENERALISED, memorised & (test < RISING), memorised],
        ["post-grok", "memorization", "pre-grok"],
        "early",
    )


def median_of(name: str, phase: str | None = None) -> Number:
    """A number of a row: the median of a curve over the records of a phase, NaN without any.

    Args:
        name: ``instrument/output``.
        phase: One of `PHASES`; None for all records.

    Returns:
        A function of the row.
    """

    def number(row: Row) -> float:
        values = _values(row, name, phase)
        return float(np.median(values)) if values.size else nan

    return number


def count_records(rows: Mapping[int, Row], name: str, phase: str | None = None) -> int:
    """How many records of a phase have a value of the curve, over all rows."""
    return sum(_values(row, name, phase).size for row in rows.values())


def lowest(rows: Iterable[Row], name: str) -> float:
    """The lowest record of a curve of all rows; NaN without any."""
    seen = [_values(row, name, None) for row in rows]
    return float(np.min(np.concatenate([[np.inf], *seen]))) if any(map(len, seen)) else nan


def _values(row: Row, name: str, phase: str | None) -> Array:
    if name not in row.curves or HELD_OUT not in row.curves:
        return np.zeros(0)
    steps, values = row.curve(name)
    seen = np.isfinite(values)
    # A basis without directions leaves everything; its residual of 1 is not measured.
    rank = row.curves.get(f"{name.rpartition('/')[0]}/rank")
    if rank is not None:
        seen &= rank > 0
    if phase is not None:
        seen &= phases_at(row, steps) == phase
    return np.asarray(values[seen])


def seed_number(cells: Cells, seed: int, number: Number) -> float:
    """Geometric mean over operations of a number of a seed; NaN where no operation has it."""
    found = [number(rows[seed]) for rows in cells.values() if seed in rows]
    logs = [log(value) for value in found if value > 0]
    return exp(float(np.mean(logs))) if logs else nan


def pooled(cells: Cells, number: Number, confidence: float = 0.95) -> Interval | None:
    """Interval over seeds of a positive number that is averaged over operations first.

    Operations of a seed share initial weights, so they are no independent runs.

    Args:
        cells: Rows by seed of every operation.
        number: A number of a row, e.g. from `median_of`.
        confidence: Coverage.

    Returns:
        The interval; None if no row has the number.
    """
    seeds = sorted({seed for rows in cells.values() for seed in rows})
    return ratio_interval([seed_number(cells, seed, number) for seed in seeds], confidence)


def ratio_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Geometric mean with the t interval of logarithms; values not above 0 are left out."""
    logs = [log(value) for value in values if isfinite(value) and value > 0]
    found = mean_of(logs, confidence=confidence)
    if found is None:
        return None
    # A single seed bounds a ratio neither way.
    upper = exp(found.upper) if found.upper < 700 else np.inf
    return Interval(exp(found.centre), exp(found.lower), float(upper), found.count)
