"""Arms against a reference on the same seeds: how much sooner or later each generalises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectraledge.experiments.low_rank_decay.outcomes import times_of
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study_sections import (
    RULE,
    Rows,
    p_words,
    survival_curve,
    time_words,
)
from spectraledge.report import Axes, Figure, Outcome, Reference, Table, curves, dots_with_intervals
from spectraledge.series import (
    Interval,
    Times,
    holm,
    paired_log_rank,
    restricted_mean,
    restricted_mean_difference,
    simultaneous_confidence,
)

__all__ = [
    "Comparison",
    "compare",
    "compare_pairs",
    "comparison_words",
    "differences_figure",
    "share_figure",
    "times_figure",
    "times_table",
]

MOST_BANDS = 3


@dataclass(frozen=True)
class Comparison:
    """An arm against the reference, one of a family of comparisons.

    Args:
        arm: Which.
        own: Its times, over the seeds that both have.
        reference: Times of the reference, the same seeds in the same order.
        seeds: The seeds.
        difference: Restricted mean of the arm minus that of the reference, in steps, with an
            interval that holds for the whole family at once; negative where the arm is sooner.
        p: Paired log-rank test, adjusted for the family after Holm.
    """

    arm: str
    own: Times
    reference: Times
    seeds: tuple[int, ...]
    difference: Interval
    p: float

    @property
    def direction(self) -> str:
        """``sooner``, ``later`` or, where the interval holds 0, an empty text.

        The interval decides. The test stands beside it: it uses the order of times only, and with
        n seeds its p-value is at least 2 / 2ⁿ before it is adjusted, so five seeds cannot pass it.
        """
        if self.difference.upper < 0:
            return "sooner"
        return "later" if self.difference.lower > 0 else ""


def compare(arms: Mapping[str, Rows], reference: Rows, budget: int) -> list[Comparison]:
    """Every arm against the reference, as one family.

    Args:
        arms: Rows by seed of each arm; those without a seed in common are left out.
        reference: Rows by seed of the reference.
        budget: Steps up to which times are compared.

    Returns:
        The comparisons, in the order of the arms.
    """
    return compare_pairs({arm: (rows, reference) for arm, rows in arms.items()}, budget)


def compare_pairs(pairs: Mapping[str, tuple[Rows, Rows]], budget: int) -> list[Comparison]:
    """Arms against references of their own, as one family.

    Args:
        pairs: Rows by seed of an arm and of its reference, by name.
        budget: Steps up to which times are compared.

    Returns:
        The comparisons of the pairs that have seeds in common, in their order.
    """
    shared = {
        name: tuple(seed for seed in own if seed in ref) for name, (own, ref) in pairs.items()
    }
    shared = {name: seeds for name, seeds in shared.items() if seeds}
    if not shared:
        return []
    confidence = simultaneous_confidence(len(shared), 0.95)
    found = []
    for name, seeds in shared.items():
        own, other = (times_of([rows[seed] for seed in seeds], budget) for rows in pairs[name])
        difference = restricted_mean_difference(own, other, float(budget), confidence)
        found.append(Comparison(name, own, other, seeds, difference, paired_log_rank(own, other)))
    adjusted = holm([c.p for c in found])
    return [replace(c, p=float(p)) for c, p in zip(found, adjusted)]


def comparison_words(c: Comparison) -> str:
    """Such as ``sooner by 620 [570, 680] steps``."""
    if not (c.own.observed.any() or c.reference.observed.any()):
        return "neither generalised"
    if not c.direction:
        return f"not told apart ({short(c.difference)} steps)"
    ends = sorted(abs(end) for end in (c.difference.lower, c.difference.upper))
    size = Interval(abs(c.difference.centre), ends[0], ends[1], c.difference.count)
    return f"{c.direction} by {short(size)} steps"


def times_table(
    arms: Mapping[str, Rows],
    comparisons: Iterable[Comparison],
    budget: int,
    reference: str,
    more: Mapping[str, Mapping[str, str]] | None = None,
) -> Table:
    """Times of every arm and its difference to the reference.

    Args:
        arms: Rows by seed of each arm, the reference among them.
        comparisons: From `compare`.
        budget: Steps.
        reference: Name of the reference.
        more: Further columns: their cells by arm, by heading.

    Returns:
        The table; arms without rows are not run yet.
    """
    against = {c.arm: c for c in comparisons}
    extra = more or {}
    rows = []
    for arm, of_arm in arms.items():
        times = times_of(of_arm.values(), budget) if of_arm else None
        compared = against.get(arm)
        cells = [short(compared.difference), p_words(compared.p)] if compared else ["–", "–"]
        rows.append(
            (arm, time_words(times, budget), *cells, *(c.get(arm, "–") for c in extra.values()))
        )
    caption = (
        f"{RULE} Mean number of the first {budget} steps before a run does, with its 95 % "
        f"interval; difference to {reference}, paired by seed, with {_family(len(against))}, and "
        "the p-value of the paired log-rank test, adjusted after Holm."
    )
    columns = ("arm", "generalised", f"minus {reference}, steps", "p", *extra)
    return Table(columns, rows, caption)


def times_figure(
    arms: Mapping[str, Rows], budget: int, colours: Mapping[str, str], title: str
) -> Figure | None:
    """Step of generalisation of every run, by arm; None without any run."""
    outcomes = [_times(arm, rows, budget) for arm, rows in arms.items() if rows]
    if not outcomes:
        return None
    return dots_with_intervals(
        outcomes,
        title=title,
        colours=colours,
        caption=f"{RULE} Hollow marks: not within {budget} steps. Diamonds: mean number of these "
        "steps before a run generalises, with its 95 % interval.",
        label="step of generalisation",
        censored_as="not within the budget",
        half=True,
    )


def _times(arm: str, rows: Rows, budget: int) -> Outcome:
    times = times_of(rows.values(), budget)
    mean = restricted_mean(times, budget)
    bounded = times.count > 1
    return Outcome(
        arm,
        times.steps,
        ~times.observed,
        centre=mean.centre,
        lower=mean.lower if bounded else None,
        upper=mean.upper if bounded else None,
        seeds=tuple(rows),
    )


def share_figure(
    arms: Mapping[str, Rows], budget: int, colours: Mapping[str, str]
) -> Figure | None:
    """Share of runs that have generalised, over steps, by arm; None without any run."""
    drawn = [
        survival_curve(arm, times_of(rows.values(), budget), budget)
        for arm, rows in arms.items()
        if rows
    ]
    if not drawn:
        return None
    # More bands would hide each other.
    banded = len(drawn) <= MOST_BANDS
    return curves(
        drawn if banded else [replace(c, lower=None, upper=None) for c in drawn],
        title="Share that has generalised",
        caption="After Kaplan and Meier" + (", with pointwise 95 % intervals." if banded else "."),
        colours=colours,
        axes=Axes(y_label="share generalised", y_range=(-0.03, 1.03)),
        half=True,
    )


def differences_figure(
    comparisons: Sequence[Comparison], budget: int, colours: Mapping[str, str], reference: str
) -> Figure | None:
    """How much sooner or later than the reference each seed generalises; None without any."""
    if not comparisons:
        return None
    return dots_with_intervals(
        [_difference(c) for c in comparisons],
        title=f"Steps later than {reference}, seed by seed",
        colours=colours,
        caption=f"Paired by seed; negative is sooner. A pair with a run that did not generalise "
        f"within {budget} steps has no dot, but counts in the diamond: the difference of "
        f"restricted means, with {_family(len(comparisons))}.",
        label=f"step minus that of {reference}",
        references=[Reference(0.0, reference)],
        half=True,
    )


def _family(count: int) -> str:
    if count < 2:
        return "its 95 % interval"
    return f"an interval that holds for all {count} comparisons at once"


def _difference(c: Comparison) -> Outcome:
    both = c.own.observed & c.reference.observed
    bounded = len(c.seeds) > 1
    return Outcome(
        c.arm,
        np.where(both, c.own.steps - c.reference.steps, np.nan),
        centre=c.difference.centre,
        lower=c.difference.lower if bounded else None,
        upper=c.difference.upper if bounded else None,
        seeds=c.seeds,
    )
