"""What was published on kicks, noise and the penalty, and what the rows say of each claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from spectraledge.experiments.execution_subspace.forcing_arms import ARMS
from spectraledge.experiments.execution_subspace.forcing_lengths import Pushes
from spectraledge.experiments.execution_subspace.intervention_effects import (
    EQUIVALENCE,
    MARGIN,
    Cells,
    Delays,
    delays_of,
    direction,
    family_confidence,
    level_words,
)
from spectraledge.experiments.row_values import short, status_within
from spectraledge.report import Verdict
from spectraledge.series import mean_interval

__all__ = ["forcing_verdicts", "pooled"]

Status = Literal["holds", "fails", "undecided"]

# Means of `grok_stop`, read off the figures, by family.
PUBLISHED: Mapping[str, tuple[str, str]] = {
    "kick": (
        f"A single kick along the commutator moves grokking by less than {MARGIN:.0f} steps",
        "3200, 3200, 3233, 3200 for α = 1, 5, 10, 20, against 3233",
    ),
    "sustained kicks": (
        f"Sustained kicks move grokking by less than {MARGIN:.0f} steps",
        "27 of 27 grok at about 3200: means 3167–3233, random 3167–3300, against 3200",
    ),
    "noise": (
        f"Noise orthogonal to the subspace moves grokking by less than {MARGIN:.0f} steps",
        "3167, 3200, 3200, 3167 for norms 0.01, 0.05, 0.1, 0.5, against 3233",
    ),
    "penalty": (
        f"Suppression at every tenth step moves grokking by less than {MARGIN:.0f} steps",
        "3333, 3200, 3267, 3200 for strengths 0.1, 0.3, 0.5, 0.9, against 3233",
    ),
}
PAIRS = (
    ("sustained × 100", "sustained random × 100"),
    ("sustained × 500", "sustained random × 500"),
)
NOT_RUN = "not run yet"


def forcing_verdicts(
    cells: Cells, found: Mapping[str, Delays], pushes: Mapping[str, Pushes], budget: int
) -> list[Verdict]:
    """The published claims, then how strong the forcing was and what stronger forcing does.

    Args:
        cells: Rows by operation, arm and seed.
        found: Delays by arm.
        pushes: Lengths of the pushes by arm.
        budget: Last step.

    Returns:
        The verdicts.
    """
    families = [_family(family, found) for family in PUBLISHED]
    return [*families, _direction(cells, budget), _strong(pushes), _large(found)]


def pooled(found: Sequence[Mapping[int, float]]) -> list[float]:
    """Mean over arms by seed, for the seeds that all arms have."""
    if not found:
        return []
    shared = sorted(set.intersection(*map(set, found)))
    return [float(np.mean([delays[seed] for delays in found])) for seed in shared]


def _family(family: str, found: Mapping[str, Delays]) -> Verdict:
    claim, paper = PUBLISHED[family]
    members = [arm for arm, forcing in ARMS.items() if forcing.family == family]
    known = [found[arm] for arm in members if arm in found]
    values = pooled([delay.steps for delay in known])
    if not values:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    interval = mean_interval(values, EQUIVALENCE)
    confidence = family_confidence(found)
    alone = {d.arm: d.interval(confidence) for d in known}
    clear = [arm for arm, own in alone.items() if direction(own) != "not told apart"]
    status = status_within(interval, MARGIN)
    if any(status_within(own, MARGIN) == "fails" for own in alone.values()):
        status = "fails"
    elif status == "holds" and (clear or len(known) < len(members)):
        status = "undecided"
    grokked, count = sum(d.grokked for d in known), sum(d.count for d in known)
    told = f"{short(interval)} steps later{level_words(EQUIVALENCE)}, {grokked} of {count} grok"
    return Verdict(
        claim,
        paper,
        told + (f"; told apart alone: {', '.join(clear)}" if clear else ""),
        status,
        f"Mean over {', '.join(d.arm for d in known)} by seed. Two one-sided tests: holds if the "
        f"90 % interval lies within ±{MARGIN:.0f} steps and no arm alone is told apart from the "
        "ordinary run; fails if it lies outside, or that of an arm, which holds for all at once, "
        "does.",
    )


def _direction(cells: Cells, budget: int) -> Verdict:
    claim = "The direction of a kick does not matter"
    paper = "neither acts; but the random kicks had a constant length, not that of the others"
    found = [delays_of(cells, own, budget, reference) for own, reference in PAIRS]
    values = pooled([delay.steps for delay in found if delay is not None])
    if not values or None in found:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    interval = mean_interval(values, EQUIVALENCE)
    return Verdict(
        claim,
        paper,
        f"commutator minus random {short(interval)} steps{level_words(EQUIVALENCE)}",
        status_within(interval, MARGIN),
        f"Random kicks of the commutator's length, × 100 and × 500; holds if the 90 % interval of "
        f"the paired difference lies within ±{MARGIN:.0f} steps, fails if it lies outside.",
    )


def _strong(pushes: Mapping[str, Pushes]) -> Verdict:
    claim = "The published pushes are a match for the optimizer"
    paper = "lengths are not compared; a null result is read as “forcing is insufficient”"
    own = {arm: p for arm, p in pushes.items() if ARMS[arm].family != "large"}
    rates = {arm: p.rate for arm, p in own.items() if p.rate is not None}
    if not rates:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    largest = max(rates, key=lambda arm: rates[arm])
    status: Status = "undecided"
    if len(rates) == len(own):
        status = "holds" if rates[largest] >= 1 else "fails"
    return Verdict(
        claim,
        paper,
        f"at most {rates[largest]:.2g} of the optimizer's own way ({largest})",
        status,
        "Way that the pushes add for each way of Adam under gradients of pure noise, "
        "lr·√P·√((1−β₁)/(1+β₁)) a step: holds if it is at least 1 in some published arm. Single "
        "kicks, which happen once, count over the interval of the sustained ones.",
    )


def _large(found: Mapping[str, Delays]) -> Verdict:
    claim = "Much larger pushes change when a run groks"
    paper = "not tried"
    members = [arm for arm, forcing in ARMS.items() if forcing.family == "large"]
    known = {arm: found[arm] for arm in members if arm in found}
    if not known:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    together = family_confidence(known)
    intervals = {arm: d.interval(together) for arm, d in known.items()}
    clear = {arm: i for arm, i in intervals.items() if direction(i) != "not told apart"}
    equal = all(status_within(d.interval(EQUIVALENCE), MARGIN) == "holds" for d in known.values())
    status: Status = "undecided"
    if clear:
        status = "holds"
    elif equal and len(known) == len(members):
        status = "fails"
    return Verdict(
        claim,
        paper,
        "; ".join(f"{arm}: {known[arm].words(together)}" for arm in clear or intervals),
        status,
        f"Holds if an arm is told apart, with intervals that hold for all {len(known)} at once; "
        f"fails if all 90 % intervals lie within ±{MARGIN:.0f} steps.",
    )
