"""Thresholds and rules chosen on some runs and judged on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from spectraledge.series.detection import roc_curve
from spectraledge.series.intervals import Interval, proportion_interval
from spectraledge.series.per_run import Labels, as_bools, check_kinds, check_lengths

__all__ = [
    "ChosenRule",
    "DetectionRates",
    "choose_rule",
    "choose_threshold",
    "detection_rates",
    "leave_one_unit_out",
    "score_flags",
]


@dataclass(frozen=True)
class DetectionRates:
    """How often a rule is wrong.

    Args:
        false_alarm: Share of non-grokking runs flagged, with the exact interval.
        miss: Share of grokking runs not flagged, with the exact interval.
    """

    false_alarm: Interval
    miss: Interval

    @property
    def youden(self) -> float:
        """1 − false alarms − misses: 1 for a perfect rule, 0 for one that says nothing."""
        return 1 - self.false_alarm.centre - self.miss.centre


@dataclass(frozen=True)
class ChosenRule:
    """A rule picked among candidates by some runs, and what it does on the others.

    Args:
        index: Which candidate.
        chosen_on: Its rates on the runs that it was picked by.
        tested_on: Its rates on the others: what may be reported.
    """

    index: int
    chosen_on: DetectionRates
    tested_on: DetectionRates

    @property
    def optimism(self) -> float:
        """Youden's index where picked minus where tested: what the picking pretended."""
        return self.chosen_on.youden - self.tested_on.youden


def detection_rates(flagged: Labels, positive: Labels, confidence: float = 0.95) -> DetectionRates:
    """False alarms and misses.

    Args:
        flagged: ``(n,)`` whether the rule expects the run to grok: bools, or 0 and 1.
        positive: ``(n,)`` whether it does, likewise.
        confidence: Coverage in (0, 1) of Clopper and Pearson's intervals, for independent runs.

    Returns:
        The rates.

    Raises:
        ValueError: For unequal lengths, other labels, or runs of one kind only.

    Example:
        >>> found = detection_rates(np.array([True, True]), np.array([True, False]))
        >>> found.false_alarm.centre, found.miss.centre, found.youden
        (1.0, 0.0, 0.0)
    """
    check_lengths(flagged=flagged, positive=positive)
    flagged, positive = as_bools("flagged", flagged), as_bools("positive", positive)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    check_kinds(positives, negatives)
    return DetectionRates(
        proportion_interval(int(flagged[~positive].sum()), negatives, confidence),
        proportion_interval(int((~flagged[positive]).sum()), positives, confidence),
    )


def score_flags(
    scores: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " K"]
) -> Bool[np.ndarray, "K n"]:
    """Candidates made of a score: flag the runs at each threshold or above it."""
    return scores >= thresholds[:, None]


def choose_threshold(
    scores: Float[np.ndarray, " n"],
    positive: Labels,
    *,
    most_false_alarms: int | float,
) -> float:
    """The threshold with the most hits among those with few enough false alarms.

    Args:
        scores: ``(n,)`` higher for runs expected to grok. No NaN.
        positive: ``(n,)`` whether the run groks: bools, or 0 and 1.
        most_false_alarms: Largest share of non-grokking runs that may be flagged, in [0, 1]; 1
            gives the threshold of the largest Youden index instead of flagging all.

    Returns:
        The threshold, halfway to the next lower score so that it does not sit on a run; inf if
        nothing may be flagged.

    Raises:
        ValueError: For a NaN, unequal lengths, other labels, runs of one kind only, or a share
            out of range.

    Example:
        >>> scores, grok = np.array([1.0, 2.0, 4.0]), np.array([False, False, True])
        >>> choose_threshold(scores, grok, most_false_alarms=0.0)
        3.0
    """
    curve = roc_curve(scores, positive)
    index = _best(curve.false_alarms, curve.hits, most_false_alarms)
    lower = curve.thresholds[index + 1 : index + 2]
    here = float(curve.thresholds[index])
    between = lower.size and np.isfinite(here) and np.isfinite(lower[0])
    return (here + float(lower[0])) / 2 if between else here


def choose_rule(
    flags: Shaped[np.ndarray, "K _"],
    positive: Labels,
    choosing: Labels,
    *,
    most_false_alarms: int | float,
) -> ChosenRule:
    """Picks among candidates by the runs in `choosing` and tests on the rest.

    Args:
        flags: ``(K, n)`` what each candidate says of each run: thresholds of a score
            (`score_flags`), or onset rules with different parameters. Bools, or 0 and 1, and so
            are the next two.
        positive: ``(n,)`` whether the run groks.
        choosing: ``(n,)`` the runs to pick by; split by seed, since runs of a seed resemble each
            other.
        most_false_alarms: As for `choose_threshold`.

    Returns:
        The pick; the first of equals.

    Raises:
        ValueError: For unequal lengths or other labels, if either side lacks grokking or
            non-grokking runs, or if the share is out of range.

    Example:
        >>> flags = np.array([[True, True, True, True], [True, False, True, False]])
        >>> grok, choosing = np.array([True, False] * 2), np.array([True, True, False, False])
        >>> found = choose_rule(flags, grok, choosing, most_false_alarms=0.1)
        >>> found.index, found.tested_on.youden, found.optimism
        (1, 1.0, 0.0)
    """
    check_lengths(flags=flags, positive=positive, choosing=choosing)
    flags, positive = as_bools("flags", flags), as_bools("positive", positive)
    choosing = as_bools("choosing", choosing)
    for kind, runs in (("choosing", choosing), ("testing", ~choosing)):
        if not positive[runs].any() or positive[runs].all():
            raise ValueError(
                f"expected grokking and non-grokking runs for {kind}, got "
                f"{int(positive[runs].sum())} and {int((~positive[runs]).sum())}; split otherwise"
            )
    seen, truth = flags[:, choosing], positive[choosing]
    index = _best(seen[:, ~truth].mean(1), seen[:, truth].mean(1), most_false_alarms)
    return ChosenRule(
        index,
        detection_rates(seen[index], truth),
        detection_rates(flags[index, ~choosing], positive[~choosing]),
    )


def leave_one_unit_out(
    flags: Shaped[np.ndarray, "K _"],
    positive: Labels,
    units: Integer[np.ndarray, " _"],
    *,
    most_false_alarms: int | float,
) -> tuple[DetectionRates, float, Sequence[int]]:
    """Every seed judged by the rule that the other seeds pick.

    Args:
        flags: ``(K, n)`` as for `choose_rule`.
        positive: ``(n,)`` whether the run groks: bools, or 0 and 1, as the flags.
        units: ``(n,)`` the seed of each run, at least two.
        most_false_alarms: As for `choose_threshold`.

    Returns:
        The rates over all runs, none judged by a rule that it helped to pick; the optimism, which
        is Youden's index of the rule picked by all runs, on all runs, minus that of these rates;
        and the candidate picked without each seed.

    Raises:
        ValueError: For unequal lengths, other labels, one unit, runs of one kind only, or seeds
            without which one kind is gone.
    """
    check_lengths(flags=flags, positive=positive, units=units)
    flags, positive = as_bools("flags", flags), as_bools("positive", positive)
    names = np.unique(units)
    if len(names) < 2:
        raise ValueError(f"expected at least two units, got {names.tolist()}")
    picks, judged = [], np.zeros(len(positive), dtype=bool)
    for name in names:
        others = units != name
        truth, seen = positive[others], flags[:, others]
        if truth.all() or not truth.any():
            raise ValueError(
                f"expected grokking and non-grokking runs without unit {name}, got one kind"
            )
        pick = _best(seen[:, ~truth].mean(1), seen[:, truth].mean(1), most_false_alarms)
        picks.append(pick)
        judged[~others] = flags[pick, ~others]
    best = _best(flags[:, ~positive].mean(1), flags[:, positive].mean(1), most_false_alarms)
    rates = detection_rates(judged, positive)
    return rates, detection_rates(flags[best], positive).youden - rates.youden, tuple(picks)


def _best(
    false_alarms: Float[np.ndarray, " K"], hits: Float[np.ndarray, " K"], most: int | float
) -> int:
    """Most hits within the limit, fewest false alarms among equals; by Youden without a limit."""
    if not 0 <= most <= 1:
        raise ValueError(f"expected 0 <= most_false_alarms <= 1, got {most}")
    allowed = false_alarms <= most + 1e-12
    if not allowed.any():
        return int(false_alarms.argmin())
    value = hits - false_alarms if most == 1 else hits - 1e-9 * false_alarms
    return int(np.where(allowed, value, -np.inf).argmax())
