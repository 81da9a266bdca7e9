"""Where to try next when looking for the boundary: a plan that any restart arrives at again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Bisection"]

# Fractions are told apart to three decimals, in names of runs and here.
DECIMALS = 3


@dataclass(frozen=True)
class Bisection:
    """Halve a bracket until it is narrow, then try a ladder of fractions around what is left.

    The bracket goes down where more than half of `trials` runs generalise, up otherwise. What to
    try next depends on the outcomes alone, so a sweep that was killed plans the same again. The
    bisection only finds the place; estimate the boundary from all attempts, ladder included (so
    measured, `logistic_boundary` covers 94 to 96 %). Decide by the same seeds every time: counts
    of seeds added later may turn a decision.

    Args:
        low: Smallest fraction to try.
        high: Largest, > low.
        trials: Runs to decide a fraction, odd so that there is no tie.
        resolution: Width of the bracket at which halving ends, >= 0.002.
        ladder: Fractions of the ladder, >= 1.
        spacing: Distance of these, >= 0.001.

    Raises:
        ValueError: For a bracket, number or width out of range.

    Example:
        >>> plan = Bisection(0.1, 0.9, trials=5, resolution=0.2, ladder=3, spacing=0.05)
        >>> plan.next_fractions({})
        (0.5,)
        >>> plan.next_fractions({0.5: (5, 5), 0.3: (1, 5)})
        (0.35, 0.4, 0.45)
    """

    low: float
    high: float
    trials: int = 5
    resolution: float = 0.05
    ladder: int = 5
    spacing: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high <= 1:
            raise ValueError(f"expected 0 < low < high <= 1, got {self.low} and {self.high}")
        if self.trials < 1 or self.trials % 2 == 0 or self.ladder < 1:
            raise ValueError(
                f"expected an odd number of trials and ladder >= 1, got {self.trials} and "
                f"{self.ladder}"
            )
        if self.resolution < 0.002 or self.spacing < 0.001:
            raise ValueError(
                f"expected resolution >= 0.002 and spacing >= 0.001, got {self.resolution} and "
                f"{self.spacing}: fractions are told apart to {DECIMALS} decimals"
            )

    def bracket(
        self, observations: Mapping[float, tuple[int, int]]
    ) -> tuple[float, float, float | None]:
        """How far halving has come.

        Args:
            observations: (successes, trials) of each fraction tried.

        Returns:
            Both ends, and the fraction that must be decided next; None once the bracket is narrow.
        """
        seen = {round(fraction, DECIMALS): counts for fraction, counts in observations.items()}
        low, high = self.low, self.high
        while high - low > self.resolution + 1e-9:
            middle = round((low + high) / 2, DECIMALS)
            successes, trials = seen.get(middle, (0, 0))
            if trials < self.trials:
                return low, high, middle
            low, high = (low, middle) if 2 * successes > trials else (middle, high)
        return low, high, None

    def next_fractions(self, observations: Mapping[float, tuple[int, int]]) -> tuple[float, ...]:
        """The fractions to run next, each until it has `trials` runs.

        Args:
            observations: (successes, trials) of each fraction tried; one with too few trials (a
                killed sweep) is asked for again.

        Returns:
            One fraction while halving, then those of the ladder still open, ascending; nothing
            once all is done.

        Raises:
            ValueError: For counts that cannot be.
        """
        for fraction, (successes, trials) in observations.items():
            if not 0 <= successes <= trials:
                raise ValueError(
                    f"expected 0 <= successes <= trials, got {successes} of {trials} at {fraction}"
                )
        low, high, middle = self.bracket(observations)
        if middle is not None:
            return (middle,)
        done = {round(f, DECIMALS) for f, (_, trials) in observations.items()
                if trials >= self.trials}  # fmt: skip
        return tuple(f for f in self._rungs((low + high) / 2) if f not in done)

    def _rungs(self, centre: float) -> list[float]:
        """The ladder around a place, moved inside the bracket and cut where it is too long."""
        reach = self.spacing * (self.ladder - 1) / 2
        centre = min(max(centre, self.low + reach), max(self.high - reach, self.low + reach))
        rungs = [round(centre - reach + self.spacing * i, DECIMALS) for i in range(self.ladder)]
        return sorted({rung for rung in rungs if self.low - 1e-9 <= rung <= self.high + 1e-9})
