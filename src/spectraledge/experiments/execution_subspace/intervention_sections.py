"""What the pages on interventions share: times, delays, and curves of chosen arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spectraledge.experiments.execution_subspace.intervention_effects import (
    BASELINE,
    GROK_STOP,
    MARGIN,
    Delays,
    direction,
    family_confidence,
    grok_times,
)
from spectraledge.experiments.row_values import (
    last_value,
    mean_of,
    share_words,
    short,
)
from spectraledge.experiments.study_sections import (
    row_curve,
    survival_curve,
    time_words,
)
from spectraledge.lab.rows import Row
from spectraledge.report import (
    Axes,
    Figure,
    Outcome,
    Reference,
    Table,
    curves,
    dots_with_intervals,
)
from spectraledge.report.colours import PALETTE
from spectraledge.series import Interval, restricted_mean

__all__ = [
    "arm_palette",
    "arms_table",
    "delays_figure",
    "quantity_figure",
    "share_figure",
    "times_figure",
]

Rows = Mapping[int, Row]
Arms = Mapping[str, Rows]


def arm_palette(arms: Sequence[str]) -> dict[str, str]:
    """A colour for each arm; they repeat, so no figure tells more arms apart by colour alone."""
    return {arm: PALETTE[number % len(PALETTE)] for number, arm in enumerate(arms)}


def times_figure(arms: Arms, budget: int, colours: Mapping[str, str], title: str) -> Figure | None:
    """Step of grokking of every run, by arm; None without any run."""
    outcomes = []
    for arm, rows in arms.items():
        times = grok_times(rows, budget)
        if times is not None:
            mean = restricted_mean(times, budget)
            outcomes.append(_outcome(arm, times.steps, ~times.observed, mean, tuple(rows)))
    if not outcomes:
        return None
    return dots_with_intervals(
        outcomes,
        title=title,
        colours=colours,
        caption=f"{GROK_STOP} Hollow marks: not within {budget} steps. Diamonds: mean number of "
        "these steps before a run groks, with its 95 % interval.",
        label="step of grokking",
        censored_as="not within the horizon",
        half=True,
    )


def share_figure(
    arms: Arms, chosen: Sequence[str], budget: int, colours: Mapping[str, str], title: str
) -> Figure | None:
    """Share of runs that have grokked, after Kaplan and Meier; None without any run."""
    found = {arm: grok_times(arms.get(arm, {}), budget) for arm in chosen}
    drawn = [survival_curve(arm, t, budget) for arm, t in found.items() if t is not None]
    if not drawn:
        return None
    return curves(
        # Bands of this many arms would hide each other.
        [type(c)(c.arm, c.steps, c.values, centre=c.centre, quantity=c.quantity) for c in drawn],
        title=title,
        caption="After Kaplan and Meier, for chosen arms.",
        colours=colours,
        axes=Axes(y_label="share that has grokked", y_range=(-0.03, 1.03)),
        half=True,
    )


def delays_figure(
    found: Mapping[str, Delays], colours: Mapping[str, str], *, bounded: bool = True
) -> Figure | None:
    """Delay of every seed by arm, with family-wise intervals; None if no run grokked."""
    shown = {arm: delay for arm, delay in found.items() if delay.grokked}
    if not shown:
        return None
    confidence = family_confidence(found)
    outcomes = []
    for arm, delay in shown.items():
        values, seeds = np.array(list(delay.steps.values())), tuple(delay.steps)
        outcomes.append(_outcome(arm, values, None, delay.interval(confidence), seeds))
    # Labels of three lines so close would hide each other.
    margins = [Reference(-MARGIN, ""), Reference(MARGIN, "")] if bounded else []
    return dots_with_intervals(
        outcomes,
        title="Delay against the same seed without intervention",
        colours=colours,
        caption="Steps later; negative is sooner. A run that never groks counts with the horizon; "
        "arms that never do are left out. "
        f"Diamonds: mean, with an interval that holds for all {len(found)} arms at once. Runs of "
        f"one seed and setting are known to differ by {MARGIN:.0f} steps, the outer dashed lines.",
        label="steps later",
        references=[Reference(0.0, BASELINE), *margins],
        half=True,
    )


def _outcome(
    arm: str,
    values: NDArray[np.float64],
    censored: NDArray[np.bool_] | None,
    interval: Interval,
    seeds: tuple[int, ...],
) -> Outcome:
    """The values of an arm with their mean; of one seed, without an interval."""
    bounded = interval.count > 1
    return Outcome(
        arm,
        values,
        censored,
        centre=interval.centre,
        lower=interval.lower if bounded else None,
        upper=interval.upper if bounded else None,
        seeds=seeds,
    )


def arms_table(arms: Arms, found: Mapping[str, Delays], budget: int) -> Table:
    """Times, delays and accuracies of every arm.

    Args:
        arms: Rows by seed of each arm of one operation.
        found: Delays of the arms, over all operations.
        budget: Last step.

    Returns:
        The table; arms without rows are not run yet.
    """
    confidence = family_confidence(found)
    rows = []
    for arm, of_arm in arms.items():
        delay = found.get(arm)
        told = ["–", "–"]
        if delay is not None:
            interval = delay.interval(confidence)
            least = "at least " if delay.censored else ""
            told = [f"{least}{short(interval)}", direction(interval)]
            if not delay.grokked:
                told[0] = f"none by step {budget}"
        train, held_out = (
            share_words(mean_of((last_value(row, name) for row in of_arm.values()), 0.0, 1.0))
            for name in ("train_accuracy", "validation_accuracy")
        )
        rows.append((arm, time_words(grok_times(of_arm, budget), budget), *told, train, held_out))
    caption = (
        f"{GROK_STOP} Mean number of the first {budget} steps before a run does, with its 95 % "
        f"interval; delay paired by seed, with an interval that holds for all {len(found)} arms "
        "at once; accuracies at the last record."
    )
    columns = ("arm", "grokked", "delay, steps", "told apart", "train accuracy", "held-out")
    return Table(columns, rows, caption)


def quantity_figure(
    arms: Arms,
    chosen: Sequence[str],
    name: str,
    label: str,
    colours: Mapping[str, str],
    *,
    title: str,
    caption: str,
    relative: bool = False,
    log: bool = False,
    limits: tuple[float, float] = (-np.inf, np.inf),
    shown: tuple[float, float] | None = None,
    references: Sequence[Reference] = (),
) -> Figure | None:
    """A quantity of chosen arms over steps; None if no run has it."""
    found = [
        row_curve(arm, arms.get(arm, {}), name, relative=relative, log=log, limits=limits)
        for arm in chosen
    ]
    drawn = [curve for curve in found if curve is not None]
    if not drawn:
        return None
    axes = Axes(y_label=label, log_y=log, y_range=shown)
    return curves(
        drawn,
        title=title,
        caption=caption,
        colours=colours,
        axes=axes,
        references=references,
        half=True,
    )
