"""What the controls of gradient suppression say: other bases, lengths and places."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spectraledge.experiments.execution_subspace.intervention_effects import (
    EQUIVALENCE,
    MARGIN,
    Cells,
    Delays,
    delays_of,
)
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AFTER_ADAM,
    DECAY_INSIDE,
    INITIAL,
    NORM_MATCHED,
    OTHER_BATCHES,
    OWN_PAST,
    PRIMARY,
    RANDOM,
    RANDOM_MATCHED,
    SCALED,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import status_within
from spectraledge.report import Verdict

__all__ = ["control_verdicts"]

NOT_RUN = "not run yet"
UNMOVED = f"moves grokking by less than {MARGIN:.0f} steps"


# Controls that exchange the basis, or what is projected, each against the ordinary run.
ALSO: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        NORM_MATCHED: (
            "Suppression delays at the length of the whole gradient too",
            "The gradient that is left is made as long as the whole one.",
        ),
        OWN_PAST: (
            "Suppression of what leaves the run's own past delays, without knowing its future",
            "The basis is that of the last 32 records, 3200 steps, of the run so far.",
        ),
        INITIAL: (
            "So does suppression of what leaves the initial weights",
            "The basis is that along which decay alone would move.",
        ),
        DECAY_INSIDE: (
            "Decay inside the subspace alone delays, with the whole gradient",
            "Weights outside are not decayed from the start step on.",
        ),
    }
)


def control_verdicts(cells: Cells, found: Mapping[str, Delays], budget: int) -> list[Verdict]:
    """What the paper did not try, and its random basis.

    Args:
        cells: Rows by operation, arm and seed.
        found: Delays by arm.
        budget: Last step.

    Returns:
        The verdicts.
    """
    return [
        _random(found.get(RANDOM), f"A random basis of the whole space {UNMOVED}"),
        _random(found.get(RANDOM_MATCHED), f"A random basis inside attention {UNMOVED}"),
        _scaling(found.get(SCALED)),
        _after_adam(found.get(AFTER_ADAM)),
        _same_batches(cells, found, budget),
        *(_also(found.get(arm), claim, rule) for arm, (claim, rule) in ALSO.items()),
    ]


def _same_batches(cells: Cells, found: Mapping[str, Delays], budget: int) -> Verdict:
    claim = "A basis from the very batches of the run delays longer than one from others"
    paper = "not tried; its basis comes from other batches, since samples shift the stream"
    other, between = found.get(OTHER_BATCHES), delays_of(cells, PRIMARY, budget, OTHER_BATCHES)
    if other is None or between is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    return Verdict(
        claim,
        paper,
        f"basis from other batches {other.words()}; from the same ones later by {between.words()}",
        decide(between.interval(), above=0.0),
        "s = 0.75; holds if the 95 % interval of the paired difference is above 0. The other basis "
        "is of a run with the same weights and split that goes through its data epoch by epoch, "
        "where the published one draws other batches with replacement.",
    )


def _random(delay: Delays | None, claim: str) -> Verdict:
    paper = "less than 50 steps at s ≤ 0.75; the figure cannot be read, its axis ends at 200,000"
    if "inside attention" in claim:
        paper = "not tried: the published random basis covers all parameters, the other attention"
    return _equal(delay, claim, paper)


def _equal(delay: Delays | None, claim: str, paper: str, note: str = "") -> Verdict:
    if delay is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    interval = delay.interval(EQUIVALENCE)
    rule = (
        f"Two one-sided tests: holds if the 90 % interval lies within ±{MARGIN:.0f} steps, fails "
        f"if it lies outside. 50 steps are below the distance of two records. {note}"
    )
    status = status_within(interval, MARGIN)
    if status == "holds" and delay.censored:
        status = "undecided"
    return Verdict(claim, paper, delay.words(EQUIVALENCE), status, rule.strip())


def _scaling(delay: Delays | None) -> Verdict:
    claim = f"A gradient of a quarter of its length {UNMOVED}"
    return _equal(
        delay,
        claim,
        "not tried; under Adam it follows from invariance to scale",
        "This is all that suppression does to the 55 % of parameters outside attention.",
    )


def _also(delay: Delays | None, claim: str, rule: str) -> Verdict:
    if delay is None:
        return Verdict(claim, "not tried", NOT_RUN, "undecided")
    told = f"{rule} s = 0.75; holds if the 95 % interval of the delay is above 0."
    return Verdict(claim, "not tried", delay.words(), decide(delay.interval(), above=0.0), told)


def _after_adam(delay: Delays | None) -> Verdict:
    claim = "Suppression that Adam cannot undo delays as well"
    paper = "not tried"
    if delay is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    interval = delay.interval()
    return Verdict(
        claim,
        paper,
        delay.words(),
        decide(interval, above=0.0),
        "The projection of the optimizer's step instead of the gradient, s = 0.75; holds if the "
        "95 % interval of the delay is above 0. It also slows down everything outside fourfold, "
        "which any smaller learning rate does.",
    )
