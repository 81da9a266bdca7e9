"""What came out of a run, and of many: steps of generalisation, censored times, boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spectraledge.experiments.study import GENERALISED, Known
from spectraledge.lab.rows import Row
from spectraledge.series import Attempts, Times, first_held
from spectraledge.training import RunSpec

__all__ = ["attempts_of", "best_accuracy", "generalised_at", "has_generalised", "times_of"]


def generalised_at(row: Row, budget: int | None = None) -> int | None:
    """First step of the stretch that counts as generalisation.

    Args:
        row: A run that did not fail.
        budget: Ignore everything after this step; None for the whole run.

    Returns:
        The step; None if the run did not generalise (within the budget).
    """
    steps, values = row.curve(GENERALISED.metric)
    kept = slice(None) if budget is None else steps <= budget
    return first_held(
        steps[kept],
        values[kept],
        threshold=GENERALISED.threshold,
        patience=GENERALISED.patience,
    )


def has_generalised(row: Row, budget: int | None = None) -> bool:
    """Whether a run generalised (within the budget)."""
    return generalised_at(row, budget) is not None


def best_accuracy(row: Row) -> float:
    """Best validation accuracy of a run; 0 for a run that failed."""
    values = row.curves.get("validation_accuracy", np.zeros(0))
    return float(np.nanmax(values)) if len(values) else 0.0


def times_of(rows: Iterable[Row], budget: int) -> Times:
    """Right-censored steps of generalisation, in the order of the rows."""
    return Times.from_optional([generalised_at(row, budget) for row in rows], budget)


def attempts_of(known: Known, runs: Sequence[RunSpec], budget: int) -> Attempts | None:
    """Successes at the train fractions of known runs, with the seed as unit; None if none is."""
    found = known.rows(runs)
    if not found:
        return None
    return Attempts(
        np.array([spec.task.train_fraction for spec, _ in found]),  # type: ignore[attr-defined]
        np.array([has_generalised(row, budget) for _, row in found]),
        np.array([spec.seed for spec, _ in found]),
    )
