"""Is a law of leads more than the arithmetic of lead = grok − onset? Onsets dealt out anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spectraledge.series.intervals import check_share
from spectraledge.series.per_run import check_lengths
from spectraledge.series.power_law import PowerLaw, power_law
from spectraledge.series.weighted_slopes import least_squares_fits

__all__ = ["ShuffledOnsets", "shuffled_onsets"]


@dataclass(frozen=True, eq=False)
class ShuffledOnsets:
    """The published fit beside those of onsets that belong to other runs of the group.

    Args:
        observed: Least squares of log lead on log grok.
        exponents: ``(D,)`` exponents of the draws; NaN where no two positive leads were left.
        r_squareds: ``(D,)`` their R².
        dropped: ``(D,)`` leads that were not positive.
    """

    observed: PowerLaw
    exponents: Float[np.ndarray, " D"]
    r_squareds: Float[np.ndarray, " D"]
    dropped: Float[np.ndarray, " D"]

    @property
    def exponent_place(self) -> float:
        """Share of draws with a smaller exponent, ties half: near 0 or 1 it is unlike chance."""
        return _place(self.exponents, self.observed.exponent)

    @property
    def r_squared_place(self) -> float:
        """Share of draws with a smaller R², ties half: 1 says that each run's own onset matters."""
        return _place(self.r_squareds, self.observed.r_squared)

    def p_value(self) -> float:
        """Chance of an R² at least as large if onsets belong to any run of the group, one-sided.

        Returns:
            In (0, 1]; NaN where the observed leads have no R² or those of no draw have one, since
            nothing is compared then.
        """
        drawn = self.r_squareds[np.isfinite(self.r_squareds)]
        if not drawn.size or not np.isfinite(self.observed.r_squared):
            return float("nan")
        # The observed deal counts as one of them, so it is never 0.
        at_least = int((drawn >= self.observed.r_squared - 1e-12).sum())
        return (at_least + 1) / (len(drawn) + 1)

    def contains(self, confidence: float = 0.95) -> bool:
        """Whether exponent and R² both lie in the central share of the draws.

        Args:
            confidence: That share, in (0, 1).

        Returns:
            True if the law says nothing that onsets of other runs would not.

        Raises:
            ValueError: For a confidence out of range, or where the observed leads or those of all
                draws have no exponent or R²: neither answer would be true.
        """
        check_share(confidence=confidence)
        tail = (1 - confidence) / 2
        places = (self.exponent_place, self.r_squared_place)
        if np.isnan(places).any():
            raise ValueError(
                "expected an exponent and R² of the observed leads and of some draws, got places "
                f"{places[0]:.3g} and {places[1]:.3g} among them; ask p_value() first, which is "
                "NaN then"
            )
        return all(tail <= place <= 1 - tail for place in places)


def shuffled_onsets(
    groks: Float[np.ndarray, " n"],
    onsets: Float[np.ndarray, " _"],  # not " n": unequal lengths are refused below, by number
    groups: Float[np.ndarray, " _"],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> ShuffledOnsets:
    """Fits of lead = C·grok^α with onsets permuted among the runs of a group.

    A lead is grok minus onset. Where onsets are small or vary little beside grok steps, log lead
    is log grok plus a little, and α near 1 with R² near 1 follows for any onset. What is left over
    from the permutations is what the runs' own onsets contribute.

    Args:
        groks: ``(n,)`` grok steps; runs with NaN are left out.
        onsets: ``(n,)`` onsets; runs with NaN are left out.
        groups: ``(n,)`` runs whose onsets may be exchanged: those of one learning rate. With all
            runs in one group the onsets' dependence on the group is shuffled too. No NaN.
        draws: Permutations, >= 100.
        seed: Seed of the draws.

    Returns:
        The observed fit and those of the draws.

    Raises:
        ValueError: For less than 100 draws, unequal lengths, or a group that is NaN.

    Example:
        >>> groks = np.array([2.0e3, 2.5e3, 3e3, 30e3, 31e3, 33e3])
        >>> onsets = np.array([1.5e3, 1.7e3, 1.6e3, 2.4e3, 2.2e3, 2.3e3])
        >>> found = shuffled_onsets(groks, onsets, np.repeat([1e-3, 1e-4], 3), draws=200)
        >>> found.contains(), bool(found.r_squareds.min() > 0.9)
        (True, True)
    """
    if draws < 100:
        raise ValueError(f"expected at least 100 draws, got {draws}")
    check_lengths(groks=groks, onsets=onsets, groups=groups)
    if np.isnan(groups).any():
        raise ValueError(
            f"expected a group for every run, got {int(np.isnan(groups).sum())} NaN: these runs "
            "would keep their own onsets; leave them out or give them a group"
        )
    kept = np.isfinite(groks) & np.isfinite(onsets)
    groks, onsets, groups = groks[kept], onsets[kept], groups[kept]
    observed = power_law(groks, groks - onsets, method="least_squares")
    leads = groks - _dealt_anew(onsets, groups, draws, seed)
    positive = leads > 0
    exponents, r_squareds = least_squares_fits(
        np.log(groks), np.log(np.where(positive, leads, 1.0)), positive.astype(np.float64)
    )
    return ShuffledOnsets(observed, exponents, r_squareds, (~positive).sum(1).astype(np.float64))


def _dealt_anew(
    onsets: Float[np.ndarray, " n"], groups: Float[np.ndarray, " n"], draws: int, seed: int
) -> Float[np.ndarray, "D n"]:
    chance = np.random.default_rng(seed)
    dealt = np.tile(onsets, (draws, 1))
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        dealt[:, own] = chance.permuted(dealt[:, own], axis=1)
    return dealt


def _place(drawn: Float[np.ndarray, " D"], observed: float) -> float:
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size or not np.isfinite(observed):
        return float("nan")
    # The same deal gives the same fit up to rounding, and must count as a tie.
    tied = np.abs(drawn - observed) <= 1e-9
    return float(((drawn < observed) & ~tied).mean() + tied.mean() / 2)
