"""Tuning, and times at the fraction where they tell most, for the page of the boundary study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectraledge.experiments.low_rank_decay.boundary_estimates import BASELINE, Ladder
from spectraledge.experiments.low_rank_decay.boundary_sections import COLOURS, MAIN
from spectraledge.experiments.low_rank_decay.decay_arms import ARMS, strengths_of
from spectraledge.experiments.low_rank_decay.outcomes import times_of
from spectraledge.experiments.low_rank_decay.paired_comparisons import compare, times_table
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.low_rank_decay.tuning import Score, Setting, scores
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import (
    RULE,
    Rows,
    by_seed,
    survival_curve,
)
from spectraledge.report import Axes, Section, Table, curves

__all__ = ["edges_of", "times_section", "tuning_section"]

# With fewer pairs not even complete agreement says much: 2 / 2⁵ = 0.06.
ENOUGH = 5


def edges_of(arm: str, setting: Setting, size: Size) -> list[str]:
    """At which edges of its grid a setting lies, in words; empty inside."""
    strengths, rates = strengths_of(arm, size), size.rates
    places = {
        "weakest": setting.strength == min(strengths) and len(strengths) > 1,
        "strongest": setting.strength == max(strengths) and len(strengths) > 1,
        "lowest lr": setting.lr == min(rates) and len(rates) > 1,
        "highest lr": setting.lr == max(rates) and len(rates) > 1,
    }
    return [words for words, there in places.items() if there]


def tuning_section(known: Known, size: Size) -> Section:
    """Best setting of every arm, and whether its grid ends there."""
    ranked = {arm: scores(known, arm, size) for arm in ARMS}
    rows = [_tuning_row(arm, found, size) for arm, found in ranked.items()]
    columns = ("arm", "strength", "lr", "at the edge", "step", "accuracy", "second-best step",
               "settings", "what it does")  # fmt: skip
    seeds = len(size.tuning_seeds)
    caption = (
        f"Mean over {seeds} seeds of the step of generalisation, a run that does not within "
        f"{size.tuning_steps} steps counted there; between equal steps the mean best accuracy "
        f"decides. {RULE}"
    )
    edge = [arm for arm, found in ranked.items() if found and edges_of(arm, found[0].setting, size)]
    text = (
        f"Strengths {', '.join(f'{s:g}' for s in strengths_of(BASELINE, size))} (norm held and "
        "Hyperball have their own) times learning rates "
        f"{', '.join(f'{lr:g}' for lr in size.rates)}, at train fraction {size.fraction:g}, on "
        "seeds and splits that nothing else uses. A strength means the same length of step at "
        "initialisation wherever it can. What is tuned is the speed at this fraction, not the "
        "boundary, which may prefer another setting."
    )
    if edge:
        text += (
            f"\n\nThe best setting lies at the edge of the grid, so that a better one may lie "
            f"beyond it, for: {', '.join(edge)}."
        )
    return Section("Tuning", text, [Table(columns, rows, caption)])


def _tuning_row(arm: str, found: Sequence[Score], size: Size) -> tuple[str | int | None, ...]:
    what = ARMS[arm].title
    if not found:
        return (arm, None, None, None, "not complete", None, None, None, what)
    best = found[0]
    return (
        arm,
        f"{best.setting.strength:g}",
        f"{best.setting.lr:g}",
        ", ".join(edges_of(arm, best.setting, size)) or "no",
        f"{best.steps:.0f}",
        f"{best.accuracy:.3f}",
        f"{found[1].steps:.0f}" if len(found) > 1 else "–",
        len(found),
        what,
    )


def times_section(known: Known, found: Sequence[Ladder], size: Size) -> Section:
    """Survival curves and paired tests at the fraction closest to the boundary of L2."""
    title, budget = "Times at one fraction", size.budgets[-1]
    baseline = next((one for one in found if one.label == BASELINE), None)
    fraction = _closest(baseline, known, budget) if baseline else None
    if baseline is None or fraction is None:
        return Section(title, f"Fewer than {ENOUGH} seeds of L2 at any fraction so far.")
    arms = {one.label: _rows_at(known, one, fraction) for one in found if one.label in MAIN}
    reference = arms[BASELINE]
    there = {a: rows for a, rows in arms.items() if len(set(rows) & set(reference)) >= ENOUGH}
    against = compare({a: r for a, r in there.items() if a != BASELINE}, reference, budget)
    drawn = [
        survival_curve(arm, times_of(rows.values(), budget), budget) for arm, rows in there.items()
    ]
    figure = curves(
        drawn,
        title=f"Share of seeds that have generalised at train fraction {fraction:g}",
        caption=f"After Kaplan and Meier, with pointwise 95 % intervals. {RULE}",
        colours=COLOURS,
        axes=Axes(y_label="share generalised", y_range=(-0.03, 1.03)),
    )
    text = (
        f"The main arms that were run at train fraction {fraction:g}, that of the ladder of L2 "
        f"closest to its boundary, on at least {ENOUGH} seeds that L2 has too; the ladders of the "
        f"others lie elsewhere. With n seeds the test cannot go below 2 / 2ⁿ before it is adjusted."
    )
    return Section(title, text, [figure, times_table(there, against, budget, BASELINE)])


def _rows_at(known: Known, one: Ladder, fraction: float) -> Rows:
    return by_seed(known, (run for run in one.runs if run.task.train_fraction == fraction))  # type: ignore[attr-defined]


def _closest(baseline: Ladder, known: Known, budget: int) -> float | None:
    """Fraction with enough seeds that is closest to the boundary, or to the end it lies beyond."""
    tried = sorted({run.task.train_fraction for run in baseline.runs})  # type: ignore[attr-defined]
    enough = [f for f in tried if len(_rows_at(known, baseline, f)) >= ENOUGH]
    boundary = baseline.logistic.get(budget)
    if not enough or boundary is None or np.isnan(boundary.interval.centre):
        return None
    place = np.clip(boundary.interval.centre, enough[0], enough[-1])
    return min(enough, key=lambda f: abs(f - place))
