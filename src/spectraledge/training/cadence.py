"""At which steps something happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["At", "Cadence", "Every"]


@runtime_checkable
class Cadence(Protocol):
    """Says for each step whether it is one of those meant. The last step always is."""

    def __call__(self, step: int) -> bool:
        """Whether `step` (0 is the initialisation) is meant."""
        ...


@dataclass(frozen=True)
class Every:
    """Step 0 and every multiple of `interval`.

    Args:
        interval: Number of steps between two events, >= 1.

    Raises:
        ValueError: For an interval below 1.

    Example:
        >>> [step for step in range(7) if Every(3)(step)]
        [0, 3, 6]
    """

    interval: int

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"Every: expected interval >= 1, got {self.interval}")

    def __call__(self, step: int) -> bool:
        """Whether `step` is a multiple of the interval."""
        return step % self.interval == 0


@dataclass(frozen=True)
class At:
    """Step 0 and exactly the given steps.

    Args:
        steps: The steps, each >= 0.

    Raises:
        ValueError: For a negative step.
    """

    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        if any(step < 0 for step in self.steps):
            raise ValueError(f"At: expected steps >= 0, got {self.steps}")

    def __call__(self, step: int) -> bool:
        """Whether `step` is 0 or one of the given ones."""
        return step == 0 or step in self.steps
