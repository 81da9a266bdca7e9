"""Runs at several train fractions: which of them generalised, and which seed each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Integer

from spectraledge.series.per_run import Labels, as_bools

__all__ = ["Attempts", "Tally"]


@dataclass(frozen=True, eq=False)
class Tally:
    """Attempts counted by seed and fraction, so that drawing seeds anew is one matrix product.

    Args:
        fractions: ``(F,)`` ascending fractions.
        success: ``(U, F)`` how many attempts of a seed at a fraction generalised.
        trials: ``(U, F)`` how many there were.
    """

    fractions: Float[np.ndarray, " F"]
    success: Float[np.ndarray, "U F"]
    trials: Float[np.ndarray, "U F"]

    @property
    def low(self) -> float:
        """Smallest fraction tried."""
        return float(self.fractions[0])

    @property
    def high(self) -> float:
        """Largest fraction tried."""
        return float(self.fractions[-1])

    def followed(self, places: Float[np.ndarray, " W"]) -> Float[np.ndarray, " W"]:
        """Places cut off two gaps beyond the range, where drawn seeds say nothing any more."""
        margin = 2 * (self.high - self.low) / (len(self.fractions) - 1)
        return places.clip(self.low - margin, self.high + margin)

    @property
    def separated(self) -> bool:
        """Whether no run failed at a larger fraction than another succeeded at."""
        success, trials = self.success.sum(0), self.trials.sum(0)
        some, lost = self.fractions[success > 0], self.fractions[success < trials]
        return not some.size or not lost.size or bool(lost.max() <= some.min())

    def weighted(
        self, weights: Float[np.ndarray, "W U"]
    ) -> tuple[Float[np.ndarray, "W F"], Float[np.ndarray, "W F"]]:
        """Successes and trials by fraction, seed u counted ``weights[:, u]`` times."""
        return weights @ self.success, weights @ self.trials

    def surely_over(self, level: float, confidence: float) -> float:
        """Smallest fraction at which a one-sided exact test finds a share above level, else inf."""
        found = self._tails(self.success, level) <= 1 - confidence
        return float(self.fractions[found].min(initial=np.inf))

    def surely_under(self, level: float, confidence: float) -> float:
        """Largest fraction at which it finds one below level, else -inf."""
        found = self._tails(self.trials - self.success, 1 - level) <= 1 - confidence
        return float(self.fractions[found].max(initial=-np.inf))

    def _tails(self, counts: Float[np.ndarray, "U F"], chance: float) -> Float[np.ndarray, " F"]:
        """Probability of at least so many."""
        from scipy import stats

        return stats.binom.sf(counts.sum(0) - 1, self.trials.sum(0), chance)


@dataclass(frozen=True, eq=False)
class Attempts:
    """Runs at several train fractions.

    Args:
        fractions: ``(n,)`` train fraction of each run, at least two different ones.
        success: ``(n,)`` whether it generalised within its budget: bools, or 0 and 1.
        units: ``(n,)`` its seed: what is drawn anew for intervals, since the runs of a seed share
            their initialisation and split and are no independent evidence.

    Raises:
        ValueError: For unequal lengths, fractions that are not finite, less than two of them, or
            other outcomes.
    """

    fractions: Float[np.ndarray, " n"]
    success: Labels
    units: Integer[np.ndarray, " _"]  # not " n": unequal lengths are refused below, by number

    def __post_init__(self) -> None:
        sizes = [self.fractions.size, self.success.size, self.units.size]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"expected one fraction, success and unit per run, got {sizes[0]}, {sizes[1]} "
                f"and {sizes[2]}"
            )
        if not np.isfinite(self.fractions).all() or len(np.unique(self.fractions.round(6))) < 2:
            raise ValueError(
                "expected finite fractions, at least two different ones, got "
                f"{np.unique(self.fractions).tolist()}"
            )
        object.__setattr__(self, "success", as_bools("success", self.success))

    @cached_property
    def names(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(np.unique(self.units).tolist())

    @cached_property
    def tally(self) -> Tally:
        """Counts by seed (in the order of `names`) and fraction."""
        # 0.1 + 0.2 and 0.3 are one fraction.
        fractions, column = np.unique(self.fractions.round(6), return_inverse=True)
        row = np.unique(self.units, return_inverse=True)[1]
        success, trials = np.zeros((2, len(self.names), len(fractions)))
        np.add.at(success, (row, column), self.success)
        np.add.at(trials, (row, column), 1)
        return Tally(fractions, success, trials)
