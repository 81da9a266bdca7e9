"""How long before generalisation a signal came, with the runs that lack either one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Integer

from spectraledge.names import check_name
from spectraledge.series.intervals import Interval, mean_interval
from spectraledge.series.paired import sign_flip_test, sign_test

__all__ = ["LeadTimes", "SignTest", "lead_times"]

Denominator = Literal["grok", "grok_of_another_rule", "delay_since"]
Missed = Literal["against", "dropped"]


@dataclass(frozen=True)
class SignTest:
    """How often the signal came first.

    Args:
        positive: Grokking runs whose signal came before.
        negative: After, or (counted against) not at all.
        tied: At the same record.
        missed: Grokking runs without a signal, in `negative` only if they count against.
        units: Number of independent units (seeds).
        one_sided: P(at least so many positive) for independent runs; 2⁻ⁿ where all n are, the
            published p-value.
        two_sided: The same, two-sided.
        by_unit: Two-sided, with all signs of a unit turned together: what few seeds, shared by
            many conditions, can say. At least 2 / 2ᵘ for u units.
    """

    positive: int
    negative: int
    tied: int
    missed: int
    units: int
    one_sided: float
    two_sided: float
    by_unit: float


@dataclass(frozen=True, eq=False)
class LeadTimes:
    """Onsets and grokking steps of runs, under one grok rule.

    Args:
        rule: Name of that rule.
        onsets: ``(n,)`` steps of the signal (alarms, for an early warning); NaN for none.
        groks: ``(n,)`` steps by the rule; NaN for none.
        watched: ``(n,)`` last step of each run. No NaN.
        units: ``(n,)`` what is independent: the seed, where conditions share it.

    Raises:
        ValueError: For no run, unequal lengths, a last step that is NaN, or a step after the run's
            last.
    """

    rule: str
    onsets: Float[np.ndarray, " n"]
    groks: Float[np.ndarray, " _"]  # not " n": unequal lengths are refused below, by number
    watched: Float[np.ndarray, " _"]
    units: Integer[np.ndarray, " _"]

    def __post_init__(self) -> None:
        sizes = [len(x) for x in (self.onsets, self.groks, self.watched, self.units)]
        if len(set(sizes)) > 1 or not sizes[0]:
            raise ValueError(
                f"expected one onset, grok step, last step and unit per run, got {sizes}"
            )
        if np.isnan(self.watched).any():
            raise ValueError(
                "expected the last step of every run, got NaN for runs "
                f"{np.flatnonzero(np.isnan(self.watched)).tolist()}: no lead of theirs is bounded"
            )
        late = (self.onsets > self.watched) | (self.groks > self.watched)
        if late.any():
            raise ValueError(
                f"expected steps within what was watched, got runs {np.flatnonzero(late).tolist()} "
                "with an onset or a grok step after their last step"
            )

    @property
    def leads(self) -> Float[np.ndarray, " n"]:
        """``(n,)`` grok − onset in steps, positive where the signal came first; NaN if unknown."""
        return self.groks - self.onsets

    @property
    def bounds(self) -> Float[np.ndarray, "2 n"]:
        """``(2, n)`` what is known of each lead: both ends the same where it was observed.

        A run with an onset that has not grokked has a lead of at least what it was watched for
        since; one that grokked without an onset has at most a negative one; neither says nothing.
        """
        lower = np.where(np.isnan(self.groks), self.watched, self.groks) - self.onsets
        upper = self.groks - np.where(np.isnan(self.onsets), self.watched, self.onsets)
        return np.stack([
            np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)
        ])  # fmt: skip

    def counts(self) -> dict[str, int]:
        """How many runs have both, lack one, or lack both."""
        onset, grok = ~np.isnan(self.onsets), ~np.isnan(self.groks)
        return {
            "both": int((onset & grok).sum()),
            "no_onset": int((~onset & grok).sum()),
            "no_grok": int((onset & ~grok).sum()),
            "neither": int((~onset & ~grok).sum()),
        }

    def normalised(
        self, *, by: Denominator, reference: Float[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, " n"]:
        """Leads as shares of a named duration; papers mix these, so there is no default.

        Args:
            by: ``grok``: the grok step of the same rule; ``grok_of_another_rule``: that of the
                rule in `reference`; ``delay_since``: grok − reference, the reference being the
                memorisation step, so that training before memorisation does not count.
            reference: ``(n,)`` steps; not for ``grok``.

        Returns:
            ``(n,)`` shares, NaN where unknown or the duration is not positive.

        Raises:
            ValueError: For an unknown denominator, or a reference that is missing or not used.
        """
        check_name("denominator", by, get_args(Denominator))
        if (by == "grok") != (reference is None):
            raise ValueError(
                "expected reference steps for every denominator but 'grok', and none for it, got "
                f"by={by!r} with {'none' if reference is None else 'some'}"
            )
        steps = self.groks if reference is None else reference
        duration = self.groks - steps if by == "delay_since" else steps
        return self.leads / np.where(duration > 0, duration, np.nan)

    def mean(self, confidence: float = 0.95) -> Interval:
        """Mean observed lead: the mean of the units' means, with Student's t over units.

        Args:
            confidence: Coverage in (0, 1).

        Returns:
            The interval in steps. It leaves out censored leads; see `bounds` and `counts`.

        Raises:
            ValueError: If no run has both an onset and a grok step.
        """
        seen = ~np.isnan(self.leads)
        if not seen.any():
            raise ValueError(f"expected a run with onset and {self.rule}, got {self.counts()}")
        means = [self.leads[seen & (self.units == u)].mean() for u in np.unique(self.units[seen])]
        return mean_interval([float(m) for m in means], confidence)

    def sign_test(self, *, missed: Missed = "against") -> SignTest:
        """Does the signal come before grokking more often than after?

        Over grokking runs: a run that never groks has no grokking to precede.

        Args:
            missed: A grokking run without a signal counts ``against`` it; ``dropped`` is what
                papers do.

        Returns:
            The counts and p-values; 1 where no run is decided.

        Raises:
            ValueError: For an unknown way to count these runs.
        """
        check_name("missed", missed, get_args(Missed))
        grokked = ~np.isnan(self.groks)
        silent = grokked & np.isnan(self.onsets)
        signs = np.where(silent, -1.0, np.sign(self.leads))
        kept = grokked & ~silent if missed == "dropped" else grokked
        return _sign_test(signs[kept], self.units[kept], int(silent.sum()))


def lead_times(
    onsets: Sequence[int | float | None],
    groks: Mapping[str, Sequence[int | float | None]],
    *,
    watched: Sequence[int | float],
    units: Sequence[int],
) -> dict[str, LeadTimes]:
    """Leads of the same onsets to every grok rule.

    Args:
        onsets: One per run, None for none.
        groks: By the name of a rule, one step per run, None for none.
        watched: Last step of each run.
        units: What is independent: the seed of each run.

    Returns:
        The leads by the name of the rule.

    Raises:
        ValueError: For unequal lengths or a step after a run's last.

    Example:
        >>> found = lead_times(
        ...     [1800, None], {"grok_90": [3100, 3200]}, watched=[4000, 4000], units=[0, 1])
        >>> found["grok_90"].leads.tolist(), found["grok_90"].counts()["no_onset"]
        ([1300.0, nan], 1)
    """
    return {
        rule: LeadTimes(rule, _optional(onsets), _optional(steps), _optional(watched),
                        np.asarray(units, dtype=np.int64))
        for rule, steps in groks.items()
    }  # fmt: skip


def _optional(steps: Sequence[int | float | None]) -> Float[np.ndarray, " n"]:
    return np.array([np.nan if step is None else step for step in steps], dtype=np.float64)


def _sign_test(
    signs: Float[np.ndarray, " n"], units: Integer[np.ndarray, " n"], missed: int
) -> SignTest:
    from scipy import stats

    positive, negative = int((signs > 0).sum()), int((signs < 0).sum())
    names = np.unique(units[signs != 0])
    tied = len(signs) - positive - negative
    if not positive + negative:
        return SignTest(0, 0, tied, missed, 0, 1.0, 1.0, 1.0)
    sums = np.array([signs[units == name].sum() for name in names])
    decided = stats.binomtest(positive, positive + negative, alternative="greater")
    return SignTest(
        positive=positive,
        negative=negative,
        tied=tied,
        missed=missed,
        units=len(names),
        one_sided=float(decided.pvalue),
        two_sided=sign_test(signs.tolist(), [0.0] * len(signs)),
        by_unit=float(sign_flip_test(sums)),
    )
