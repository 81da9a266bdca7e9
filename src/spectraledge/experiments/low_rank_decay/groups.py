"""Groups of runs, and when each run memorised and generalised."""

from __future__ import annotations

from collections.abc import Sequence

from spectraledge.experiments.base import Results
from spectraledge.lab import RunResult
from spectraledge.series import first_held

__all__ = ["GENERALISED", "MEMORISED", "finished", "first_steps", "of_split", "splits_of"]

MEMORISED = "first training accuracy ≥ 0.99"
GENERALISED = "first validation accuracy ≥ 0.95 held for 3 evaluations"
RULES = {"train_accuracy": (0.99, 1), "validation_accuracy": (0.95, 3)}


def finished(results: Results) -> dict[str, list[RunResult]]:
    """Arms with their finished runs; arms without any are left out."""
    kept = {arm: [r for r in runs if r.failure is None] for arm, runs in results.items()}
    return {arm: runs for arm, runs in kept.items() if runs}


def splits_of(results: Results) -> list[str]:
    """Splits that occur, mirror-safe first."""
    found = {r.spec.task.split for runs in results.values() for r in runs}  # type: ignore[attr-defined]
    return sorted(found, reverse=True)


def of_split(results: Results, split: str) -> dict[str, list[RunResult]]:
    """The runs of one split."""
    return {
        arm: chosen
        for arm, runs in results.items()
        if (chosen := [r for r in runs if r.spec.task.split == split])  # type: ignore[attr-defined]
    }


def first_steps(runs: Sequence[RunResult], name: str) -> list[int | None]:
    """When each run memorised (``train_accuracy``) or generalised; None if it did not."""
    threshold, patience = RULES[name]
    return [first_held(*r.curve(name), threshold=threshold, patience=patience) for r in runs]
