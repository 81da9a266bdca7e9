"""Learning-rate schedules: a factor for every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to 1, then constant or a cosine down to `floor`.

    Step t (1-based) has the factor t / warmup for t <= warmup; afterwards 1, or
    floor + (1 − floor)(1 + cos(π (t − warmup) / (total − warmup))) / 2 until `total`, and `floor`
    from there on.

    Args:
        shape: ``constant`` or ``cosine``.
        warmup: Number of warm-up steps, >= 0.
        total: Step at which the cosine ends; ignored by ``constant``.
        floor: Last factor of the cosine, in [0, 1].

    Raises:
        ValueError: For an unknown shape, a negative warm-up, a cosine that ends before the
            warm-up does, or a floor out of range.

    Example:
        >>> [Schedule(warmup=2).factor(step) for step in (1, 2, 3)]
        [0.5, 1.0, 1.0]
    """

    shape: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    total: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in ("constant", "cosine"):
            raise ValueError(f"Schedule: expected shape 'constant' or 'cosine', got {self.shape!r}")
        if self.warmup < 0:
            raise ValueError(f"Schedule: expected warmup >= 0, got {self.warmup}")
        if self.shape == "cosine" and self.total <= self.warmup:
            raise ValueError(
                f"Schedule: expected total > warmup for a cosine, got total={self.total} and "
                f"warmup={self.warmup}; set total to the number of training steps"
            )
        if not 0 <= self.floor <= 1:
            raise ValueError(f"Schedule: expected 0 <= floor <= 1, got {self.floor}")

    def factor(self, step: int) -> float:
        """Factor of the learning rate at `step` (1 is the first step)."""
        if step <= self.warmup:
            return step / self.warmup
        if self.shape == "constant":
            return 1.0
        progress = min(1.0, (step - self.warmup) / (self.total - self.warmup))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2
