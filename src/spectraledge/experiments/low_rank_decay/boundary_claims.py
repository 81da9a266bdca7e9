"""Claims about the train fraction that is needed, each decided by an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.gather import decide
from spectraledge.experiments.low_rank_decay.boundary_estimates import (
    BASELINE,
    HELD,
    LRD,
    PUBLISHED_STEP,
    Ladder,
    Shift,
    planned,
)
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.study_sections import scaled_verdicts
from spectraledge.report import Verdict
from spectraledge.series import Boundary, Interval

__all__ = ["boundary_words", "difference_words", "verdicts"]

NO_DECAY = "no decay"
# The preprint's "over 30 % better data efficiency", as a share of what L2 needs.
LESS = 0.3
# Runs that generalise are stopped and known first, so half a ladder would flatter an arm.
UNDER_WAY = "runs are missing yet"
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim about the difference of two boundaries.

    Args:
        words: The claim.
        pair: Labels of the arm and of what it is compared with.
        published: What was published, in words.
        means: What the claim means for the difference, in words.
        below: It means that the difference is below this; or
        above: that it is above this.
    """

    words: str
    pair: tuple[str, str]
    published: str
    means: str
    below: float | None = None
    above: float | None = None


def verdicts(
    found: Sequence[Ladder], compared: Sequence[Shift], size: Size, scale: Scale
) -> list[Verdict]:
    """Every claim; undecided where its runs are missing, and all of them at smoke scale.

    Args:
        found: Boundaries by arm.
        compared: Differences.
        size: Budgets; the longest decides.
        scale: Its scale.

    Returns:
        The verdicts.
    """
    by_label = {one.label: one for one in found}
    made = [_verdict(claim, compared, by_label, size) for claim in _claims(by_label, size)]
    made.insert(3, _never(by_label.get(NO_DECAY), size))
    return scaled_verdicts(made, scale)


def _claims(by_label: dict[str, Ladder], size: Size) -> list[Claim]:
    margin = size.bisection.spacing
    as_good = f"No more data than one rung of the ladder, {margin:g}."
    third = -LESS * _needed(by_label.get(BASELINE), size)
    return [
        Claim(
            "Low-rank decay generalises from less data than L2, each at its own best setting",
            (LRD, BASELINE),
            "boundary near 0.40 against 0.45 (paper), 0.35 against 0.50 (preprint); one seed, L2 "
            "54 times weaker",
            "Less: the difference is below 0.",
            below=0.0,
        ),
        Claim(
            "Low-rank decay generalises from less data than L2 at the same strength and learning "
            "rate, those that are best for L2",
            (f"{LRD}, matched", BASELINE),
            "not examined",
            "Less: the difference is below 0.",
            below=0.0,
        ),
        Claim(
            f"Low-rank decay needs at least {100 * LESS:.0f} % less data than L2",
            (LRD, BASELINE),
            "“over 30 %” better data efficiency (preprint)",
            f"The difference is below {_signed(third)}, {100 * LESS:.0f} % of what L2 needs.",
            below=third,
        ),
        Claim(
            "Without decay of Q and K more data is needed than with L2",
            (NO_DECAY, BASELINE),
            "implied",
            "More: the difference is above 0.",
            above=0.0,
        ),
        Claim(
            "The published step is as good as an accurate one",
            (PUBLISHED_STEP, LRD),
            "assumed",
            as_good,
            below=margin,
        ),
        Claim(
            "Merely holding the norm of Q and K, without any decay, is as good as low-rank decay",
            (HELD, LRD),
            "not examined",
            as_good,
            below=margin,
        ),
    ]


def _needed(one: Ladder | None, size: Size) -> float:
    """Boundary within the longest budget; NaN where it is not known, which decides nothing."""
    boundary = one.logistic.get(size.budgets[-1]) if one else None
    return boundary.interval.centre if boundary else float("nan")


def _verdict(
    claim: Claim, compared: Sequence[Shift], by_label: dict[str, Ladder], size: Size
) -> Verdict:
    own = {c.budget: c for c in compared if (c.label, c.baseline) == claim.pair}
    last = own.get(size.budgets[-1])
    whole = all(label in by_label and by_label[label].missing == 0 for label in claim.pair)
    seen = "; ".join(f"within {b} steps {difference_words(c.family)}" for b, c in own.items())
    pairs = len(planned(matched=claim.pair[0].endswith("matched")))
    return Verdict(
        claim.words,
        claim.published,
        (seen or "not run yet") + (f"; {UNDER_WAY}" if seen and not whole else ""),
        decide(last.family, above=claim.above, below=claim.below) if last and whole else UNDECIDED,
        f"{claim.means} Difference of the fractions {claim.pair[0]} − {claim.pair[1]}, paired by "
        f"seed; intervals hold with 95 % for all {pairs} comparisons together. The longest budget "
        "decides.",
    )


def _never(one: Ladder | None, size: Size) -> Verdict:
    """Whether no decay generalises at all, at any fraction tried."""
    claim = "Without decay of Q and K the network does not generalise from any fraction tried"
    boundary = one.logistic.get(size.budgets[-1]) if one else None
    if one is None or boundary is None or one.missing:
        seen = f"{boundary_words(boundary)}; {UNDER_WAY}" if boundary else "not run yet"
        return Verdict(claim, "implied", seen, UNDECIDED)
    at = boundary.interval
    never = boundary.position == "above" and at.lower >= boundary.high
    return Verdict(
        claim,
        "implied: the network stays on a plateau",
        "; ".join(f"within {b} steps {boundary_words(v)}" for b, v in one.logistic.items()),
        "holds" if never else "fails" if np.isfinite(at.upper) else UNDECIDED,
        "Fraction from which half of the seeds generalise. The claim fails if its 95 % interval "
        "ends within the fractions tried; it holds if less than half do at the largest of them, by "
        "an exact test.",
    )


def boundary_words(boundary: Boundary) -> str:
    """A boundary with its 95 % interval; where it lies outside the range tried it says so."""
    low, high, at = boundary.low, boundary.high, boundary.interval
    if boundary.position == "unclear":
        return f"unclear between {low:g} and {high:g}"
    if boundary.position == "below":
        surely = f" (surely below {at.upper:g})" if np.isfinite(at.upper) else ""
        return f"below {low:g}{surely}"
    if boundary.position == "above":
        surely = f" (surely above {at.lower:g})" if np.isfinite(at.lower) else ""
        return f"above {high:g}{surely}"
    lower = f"{at.lower:.3f}" if np.isfinite(at.lower) else f"below {low:g}"
    upper = f"{at.upper:.3f}" if np.isfinite(at.upper) else f"above {high:g}"
    return f"{at.centre:.3f} [{lower}, {upper}]"


def difference_words(interval: Interval) -> str:
    """A difference of boundaries with its interval, signed; what is not bounded is said so."""
    low, high = np.isfinite([interval.lower, interval.upper])
    if low and high:
        ends = f"[{_signed(interval.lower)}, {_signed(interval.upper)}]"
        return f"{_signed(interval.centre)} {ends}"
    if not low and not high:
        return "not bounded by what was tried"
    return f"below {_signed(interval.upper)}" if high else f"above {_signed(interval.lower)}"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")
