"""What was published on gradient suppression, and what the rows say of each claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from spectraledge.experiments.execution_subspace.intervention_effects import (
    BASELINE,
    EQUIVALENCE,
    MARGIN,
    Cells,
    Delays,
    delays_of,
    grok_time,
)
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AFTER_ADAM,
    AMPLIFIED,
    AMPLIFIED_OTHER,
    DOSES,
    OTHER_BATCHES,
    PRIMARY,
    RANDOM,
    RANDOM_MATCHED,
    RANDOM_WHOLE,
    SCALED,
    dose,
    other_batches,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import (
    last_value,
    mean_of,
    share_words,
    short,
    status_within,
)
from spectraledge.report import Verdict
from spectraledge.series import Interval, mean_interval, proportion_interval

__all__ = ["PUBLISHED", "dose_slope", "suppression_verdicts"]

Status = Literal["holds", "fails", "undecided"]

# Mean `grok_stop` without intervention and at the strengths below 1, read off the figures.
PUBLISHED: Mapping[str, tuple[float, ...]] = {
    "add": (3216, 3270, 3490, 4067),
    "sub": (3733, 3767, 4150, 4333),
    "mul": (2833, 2967, 3033, 3433),
    "x2_y2": (2667, 2733, 3000, 3133),
}
# 16 to 27 % read off the figures, and the noise of 300 in about 3200 steps on either side.
EXPECTED = (0.16 - 0.09, 0.27 + 0.09)
MEMORISED = 0.95
NOT_RUN = "not run yet"


def suppression_verdicts(cells: Cells, found: Mapping[str, Delays], budget: int) -> list[Verdict]:
    """The published claims, then what the controls say.

    Args:
        cells: Rows by operation, arm and seed.
        found: Delays by arm.
        budget: Last step.

    Returns:
        The verdicts.
    """
    return [
        _dose_response(cells, budget),
        _size(found.get(PRIMARY)),
        _random(found.get(RANDOM), "A random basis of the whole space has no effect"),
        _random(found.get(RANDOM_MATCHED), "Nor has a random basis inside attention"),
        _never(found.get(dose(1.0)), found.get(RANDOM_WHOLE)),
        _not_learning(cells),
        _suppresses(cells, found, budget),
        _scaling(found.get(SCALED)),
        _after_adam(found.get(AFTER_ADAM)),
        _same_batches(cells, found, budget),
        _published_protocol(cells, found, budget),
    ]


def dose_slope(cells: Cells, budget: int) -> list[float]:
    """Steps of delay per unit of strength by seed, least squares over strengths below 1."""
    strengths = {BASELINE: 0.0} | {dose(s): s for s in DOSES if s < 1}
    slopes: dict[int, list[float]] = {}
    for arms in cells.values():
        if not all(arm in arms for arm in strengths):
            continue
        for seed in set.intersection(*(set(arms[arm]) for arm in strengths)):
            steps = [grok_time(arms[arm][seed], budget) or budget for arm in strengths]
            slope = np.polyfit(list(strengths.values()), steps, 1)[0]
            slopes.setdefault(seed, []).append(float(slope))
    return [float(np.mean(slopes[seed])) for seed in sorted(slopes)]


def _dose_response(cells: Cells, budget: int) -> Verdict:
    claim = "The stronger the suppression, the later a run groks"
    paper = "add: 3200 without, 3270, 3450–3533 and 4067 at s = 0.25, 0.5 and 0.75"
    slopes = dose_slope(cells, budget)
    if not slopes:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    slope = mean_interval(slopes)
    return Verdict(
        claim,
        paper,
        f"{short(slope)} steps per unit of strength",
        decide(slope, above=0.0),
        "Slope over s = 0, 0.25, 0.5 and 0.75, seed by seed; holds if its 95 % interval is above "
        "0. That it delays does not say why; see the amplification.",
    )


def _size(delay: Delays | None) -> Verdict:
    claim = "At s = 0.75 it delays grokking by a fifth to a quarter"
    paper = "600–800 steps, 20–25 %, in the text; 470–850 steps, 16–27 %, in the figures"
    if delay is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    share = delay.relative()
    low, high = EXPECTED
    status: Status = "undecided"
    if low < share.lower and share.upper < high:
        status = "holds"
    elif share.upper <= low or share.lower >= high:
        status = "fails"
    return Verdict(
        claim,
        paper,
        f"{short(delay.interval())} steps, {_percent(share)} of the step without",
        status,
        f"Holds if the 95 % interval of the share lies in {low:.0%} to {high:.0%}: the range of "
        "the figures and the scatter of one seed between scripts; fails if it lies outside.",
    )


def _same_batches(cells: Cells, found: Mapping[str, Delays], budget: int) -> Verdict:
    claim = "A basis from the very batches of the run delays longer than one from others"
    paper = "not tried; its basis comes from other batches, since samples shift the stream"
    other, between = found.get(OTHER_BATCHES), delays_of(cells, PRIMARY, budget, OTHER_BATCHES)
    if other is None or between is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    return Verdict(
        claim,
        paper,
        f"basis from other batches {short(other.interval())} steps; from the same ones "
        f"{short(between.interval())} more",
        decide(between.interval(), above=0.0),
        "s = 0.75; holds if the 95 % interval of the paired difference is above 0. The other basis "
        "is of a run with the same weights and split that goes through its data epoch by epoch.",
    )


def _published_protocol(cells: Cells, found: Mapping[str, Delays], budget: int) -> Verdict:
    claim = "On a basis from other batches, as published, it is suppression that delays"
    paper = "+70, +250 to 333, +850 at s = 0.25, 0.5, 0.75"
    amplified = found.get(AMPLIFIED_OTHER)
    between = delays_of(cells, OTHER_BATCHES, budget, AMPLIFIED_OTHER)
    if amplified is None or between is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    doses = ", ".join(
        short(delay.interval())
        for strength in DOSES
        if (delay := found.get(other_batches(strength))) is not None
    )
    rest, alone = between.interval(0.975), amplified.interval(0.975)  # both at once
    delayed = found[OTHER_BATCHES].interval(0.975) if OTHER_BATCHES in found else None
    status: Status = "undecided"
    if delayed is not None and delayed.lower > 0:
        if rest.lower > 0 and alone.upper < MARGIN:
            status = "holds"
        elif alone.lower > 0:
            status = "fails"
    return Verdict(
        claim,
        paper,
        f"{doses} steps; amplification of the inside alone {short(alone)}; suppression beyond "
        f"amplification {short(rest)}",
        status,
        "Fails if both delay, each 97.5 % interval being above 0; holds if only suppression does.",
    )


def _random(delay: Delays | None, claim: str) -> Verdict:
    paper = "less than 50 steps at s ≤ 0.75; the figure cannot be read, its axis ends at 200,000"
    if "Nor" in claim:
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
    return Verdict(claim, paper, f"{short(interval)} steps", status, rule.strip())


def _never(full: Delays | None, random: Delays | None) -> Verdict:
    claim = "At s = 1 no run groks"
    paper = "0 of 12 within 15,000 steps, and 0 of 3 with a random basis"
    if full is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    share = proportion_interval(full.grokked, full.count, EQUIVALENCE)
    told = f"{full.grokked} of {full.count}"
    if random is not None:
        told += f"; random basis {random.grokked} of {random.count}"
    return Verdict(
        claim,
        paper,
        told,
        decide(share, below=0.5),
        "Holds if the exact one-sided 95 % bound on the share that groks is below one half. A "
        "random basis doing the same says that the subspace is not the reason.",
    )


def _not_learning(cells: Cells) -> Verdict:
    claim = "At s = 1 grokking is prevented, and not learning"
    paper = "“prevents grokking”; train accuracy is not reported"
    rows = [row for arms in cells.values() for row in arms.get(dose(1.0), {}).values()]
    train = mean_of((last_value(row, "train_accuracy") for row in rows), 0.0, 1.0)
    if train is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    return Verdict(
        claim,
        paper,
        f"train accuracy {share_words(train)} at the last record",
        decide(train, above=MEMORISED),
        "Holds if the 95 % interval of the final train accuracy is above 0.95, the published mark "
        "of memorisation; fails if it is below: what lies outside attention then has no gradient "
        "at all while it decays, and memorisation is lost.",
    )


def _suppresses(cells: Cells, found: Mapping[str, Delays], budget: int) -> Verdict:
    claim = "It is the suppression of the outside that delays"
    paper = "the flow orthogonal to the subspace is necessary; amplification was not tried"
    primary, amplified = found.get(PRIMARY), found.get(AMPLIFIED)
    between = delays_of(cells, PRIMARY, budget, AMPLIFIED)
    if primary is None or amplified is None or between is None:
        return Verdict(claim, paper, NOT_RUN, "undecided")
    pair = 0.975  # both intervals at once
    delayed, alone = primary.interval(pair), amplified.interval(pair)
    rest = between.interval(pair)
    status: Status = "undecided"
    if delayed.lower > 0 and alone.lower > 0:
        status = "fails"
    elif delayed.lower > 0 and rest.lower > 0 and alone.upper < MARGIN:
        status = "holds"
    return Verdict(
        claim,
        paper,
        f"suppression {short(delayed)} steps, amplification of the inside alone {short(alone)}; "
        f"suppression beyond amplification {short(rest)}",
        status,
        "Amplifying the inside four times suppresses nothing. Fails if both delay, each 97.5 % "
        "interval being above 0; holds if only suppression does, and clearly more than "
        "amplification. Adam divides out what suppression takes from the outside.",
    )


def _scaling(delay: Delays | None) -> Verdict:
    claim = "A gradient of a quarter of its length changes nothing"
    return _equal(
        delay,
        claim,
        "not tried; under Adam it follows from invariance to scale",
        "This is all that suppression does to the 55 % of parameters outside attention.",
    )


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


def _percent(share: Interval) -> str:
    if share.count == 1:
        return f"{share.centre:.0%}"
    return f"{share.centre:.0%} [{share.lower:.0%}, {share.upper:.0%}]"
