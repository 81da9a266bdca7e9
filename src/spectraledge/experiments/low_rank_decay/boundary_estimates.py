"""Boundaries of all arms, and how far they are apart, at every budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectraledge.experiments.low_rank_decay.contenders import (
    MATCHED,
    Contender,
    contenders,
    ladder_runs,
)
from spectraledge.experiments.low_rank_decay.decay_arms import ARMS
from spectraledge.experiments.low_rank_decay.outcomes import attempts_of
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.study import Known
from spectraledge.series import (
    Attempts,
    Boundary,
    Interval,
    boundary_difference,
    isotonic_boundary,
    logistic_boundary,
    simultaneous_confidence,
)
from spectraledge.training import RunSpec

__all__ = [
    "BASELINE",
    "HELD",
    "LRD",
    "PUBLISHED_STEP",
    "Ladder",
    "Shift",
    "ladders",
    "planned",
    "shifts",
]  # fmt: skip

# What every arm is compared with, and the arms that claims are about.
BASELINE = "L2"
LRD, PUBLISHED_STEP, HELD = "LRD", "LRD published step", "norm held"


@dataclass(frozen=True)
class Ladder:
    """The runs of an arm at a setting over train fractions, and where they begin to generalise.

    Args:
        contender: The arm and its setting.
        runs: Those wanted so far.
        missing: How many of them are not known.
        attempts: What came out within each budget; budgets without enough runs are left out.
        logistic: Boundary within each budget.
        isotonic: The same without assuming a curve.
    """

    contender: Contender
    runs: tuple[RunSpec, ...]
    missing: int
    attempts: Mapping[int, Attempts]
    logistic: Mapping[int, Boundary]
    isotonic: Mapping[int, Boundary]

    @property
    def label(self) -> str:
        """What figures call it."""
        return self.contender.label

    @property
    def matched(self) -> bool:
        """Whether it runs at the setting of L2 instead of its own."""
        return self.label != self.contender.arm


@dataclass(frozen=True)
class Shift:
    """How much larger a train fraction one arm needs than another within a budget.

    Args:
        label: The arm.
        baseline: The arm it is compared with.
        matched: Whether both are at the setting of L2.
        budget: Steps.
        single: 95 % interval of this comparison alone.
        family: Interval with 95 % for all comparisons of the condition and budget together.
    """

    label: str
    baseline: str
    matched: bool
    budget: int
    single: Interval
    family: Interval

    @property
    def bounded(self) -> bool:
        """Whether the fractions tried bound it on at least one side."""
        return bool(np.isfinite([self.family.lower, self.family.upper]).any())


def planned(matched: bool) -> list[tuple[str, str]]:
    """The pairs that are compared under a condition, whether their runs are known or not.

    Args:
        matched: Those at the setting of L2, else those at their own best.

    Returns:
        Labels of an arm and of what it is compared with; all of them are one family.
    """
    if matched:
        pairs = [(f"{arm}, matched", BASELINE) for arm in MATCHED]
        return [*pairs, (f"{PUBLISHED_STEP}, matched", f"{LRD}, matched")]
    pairs = [(arm, BASELINE) for arm in ARMS if arm != BASELINE]
    return [*pairs, (PUBLISHED_STEP, LRD), (HELD, LRD)]


def ladders(known: Known, size: Size, resamples: int) -> list[Ladder]:
    """Boundaries of every arm that is tuned.

    Args:
        known: What is known.
        size: Fractions, seeds and budgets.
        resamples: Draws of the seeds for the intervals.

    Returns:
        Tuned arms first, then those at the setting of L2; without boundaries where there are not
        enough runs yet.
    """
    return [_ladder(known, contender, size, resamples) for contender in contenders(known, size)]


def _ladder(known: Known, contender: Contender, size: Size, resamples: int) -> Ladder:
    runs = tuple(dict.fromkeys(ladder_runs(known, contender, size)))
    tried = {spec.task.train_fraction for spec, _ in known.rows(runs)}  # type: ignore[attr-defined]
    found = {b: attempts_of(known, runs, b) for b in size.budgets} if len(tried) > 1 else {}
    attempts = {budget: one for budget, one in found.items() if one is not None}
    return Ladder(
        contender,
        runs,
        sum(known.row(run) is None for run in runs),
        attempts,
        {b: logistic_boundary(a, resamples=resamples) for b, a in attempts.items()},
        {b: isotonic_boundary(a, resamples=resamples) for b, a in attempts.items()},
    )


def shifts(found: Sequence[Ladder], size: Size, resamples: int) -> list[Shift]:
    """All planned comparisons over the seeds that both arms have, as far as both are known.

    Args:
        found: Boundaries by arm.
        size: Budgets.
        resamples: Draws of the seeds.

    Returns:
        For every budget the arms at their own best, then those at the setting of L2.
    """
    attempts = {one.label: one.attempts for one in found}
    return [
        made
        for budget in size.budgets
        for matched in (False, True)
        for made in _family(attempts, matched, budget, resamples)
    ]


def _family(
    attempts: Mapping[str, Mapping[int, Attempts]], matched: bool, budget: int, resamples: int
) -> Iterator[Shift]:
    pairs = planned(matched)
    levels = (0.95, simultaneous_confidence(len(pairs)))
    for names in pairs:
        a, b = (attempts.get(name, {}).get(budget) for name in names)
        pair = _aligned(a, b)
        if pair is not None:
            single, family = (
                _followed(boundary_difference(*pair, confidence=c, resamples=resamples), *pair)
                for c in levels
            )
            yield Shift(*names, matched, budget, single, family)


def _followed(interval: Interval, a: Attempts, b: Attempts) -> Interval:
    """An interval whose ends are infinite where fractions tried could not have shown them."""
    lowest, highest = a.tally.low - b.tally.high, a.tally.high - b.tally.low
    lower = interval.lower if interval.lower >= lowest else -np.inf
    upper = interval.upper if interval.upper <= highest else np.inf
    return replace(interval, lower=lower, upper=upper)


def _aligned(a: Attempts | None, b: Attempts | None) -> tuple[Attempts, Attempts] | None:
    """Both arms without the seeds that one of them lacks; None if too little is left."""
    if a is None or b is None:
        return None
    shared = np.intersect1d(a.names, b.names)
    kept = [np.isin(arm.units, shared) for arm in (a, b)]
    if any(len(np.unique(arm.fractions[k])) < 2 for arm, k in zip((a, b), kept)):
        return None
    first, second = (
        Attempts(arm.fractions[k], arm.success[k], arm.units[k]) for arm, k in zip((a, b), kept)
    )
    return first, second
