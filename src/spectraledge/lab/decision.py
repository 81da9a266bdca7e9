"""When the outcome of a run is known, so that training it further would tell nothing new."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectraledge.series import first_held

__all__ = ["Decision"]

Curves = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Decision:
    """A run is decided once a metric has reached a threshold and held it, or the run diverged.

    Or once it has come to a horizon; to look beyond, ask with a later one: it goes on from there.

    The decision is a function of the curves up to it, so it does not depend on how much further
    the run was trained, on its batch-mates or on who trained it; what is reported of a decided
    run is cut at the decision.

    Args:
        metric: Name of a recorded metric, e.g. ``validation_accuracy``.
        threshold: Value that must be reached.
        patience: How many records in a row must reach it, >= 1.
        further: Steps to train on after that, >= 0; a run that diverged ends at once.
        horizon: Step at which a run is decided in any case, >= 1; None for no such step.

    Raises:
        ValueError: For a threshold that is not finite or numbers out of range.

    Example:
        >>> curves = {"step": np.arange(0, 50, 10), "a": np.array([0, 1, 1, 1, 0]),
        ...           "lost_at": np.full(5, -1)}
        >>> Decision("a", threshold=0.95, patience=2).decided_at(curves)
        20
    """

    metric: str
    threshold: float
    patience: int
    further: int = 0
    horizon: int | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ValueError(f"Decision: expected a finite threshold, got {self.threshold}")
        if self.patience < 1:
            raise ValueError(f"Decision: expected patience >= 1, got {self.patience}")
        if self.further < 0:
            raise ValueError(f"Decision: expected further >= 0 steps, got {self.further}")
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"Decision: expected horizon >= 1 or None, got {self.horizon}")

    def decided_at(self, curves: Curves) -> int | None:
        """Recorded step at which the outcome became known, None if it is not.

        Args:
            curves: Metrics ``(T,)`` by name, with ``step`` and ``lost_at``.

        Returns:
            The first record at least `further` steps after the first stretch that held, the first
            record after the run diverged, or that of the horizon, whichever comes first.

        Raises:
            KeyError: If the metric was not recorded; lists those that were.
        """
        if self.metric not in curves:
            raise KeyError(f"no metric {self.metric!r} to decide by; known: {', '.join(curves)}")
        steps = np.asarray(curves["step"])
        lost = steps[np.asarray(curves["lost_at"]) >= 0]
        candidates = [int(lost[0])] if lost.size else []
        values = np.asarray(curves[self.metric], dtype=np.float64)
        first = first_held(steps, values, threshold=self.threshold, patience=self.patience)
        if first is not None:
            held = steps[np.flatnonzero(steps == first)[0] + self.patience - 1]
            candidates += _first_from(steps, held + self.further)
        if self.horizon is not None:
            candidates += _first_from(steps, self.horizon)
        return min(candidates, default=None)


def _first_from(steps: NDArray[Any], start: int) -> list[int]:
    """The first recorded step that is not before `start`, if it was reached."""
    return [int(step) for step in steps[steps >= start][:1]]
