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

    The decision is a function of the curves up to it, so it does not depend on how much further
    the run was trained, on its batch-mates or on who trained it; what is reported of a decided
    run is cut at the decision.

    Args:
        metric: Name of a recorded metric, e.g. ``validation_accuracy``.
        threshold: Value that must be reached.
        patience: How many records in a row must reach it, >= 1.

    Raises:
        ValueError: For a threshold that is not finite or a patience below 1.

    Example:
        >>> curves = {"step": np.arange(0, 50, 10), "a": np.array([0, 1, 1, 1, 0]),
        ...           "lost_at": np.full(5, -1)}
        >>> Decision("a", threshold=0.95, patience=2).decided_at(curves)
        20
    """

    metric: str
    threshold: float
    patience: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ValueError(f"Decision: expected a finite threshold, got {self.threshold}")
        if self.patience < 1:
            raise ValueError(f"Decision: expected patience >= 1, got {self.patience}")

    def decided_at(self, curves: Curves) -> int | None:
        """Recorded step at which the outcome became known, None if it is not.

        Args:
            curves: Metrics ``(T,)`` by name, with ``step`` and ``lost_at``.

        Returns:
            The last record of the first stretch that held, or the first record after the run
            diverged, whichever comes first.

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
            candidates.append(int(steps[np.flatnonzero(steps == first)[0] + self.patience - 1]))
        return min(candidates, default=None)
