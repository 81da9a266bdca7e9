"""Figures and tables of the boundary study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.low_rank_decay.boundary_claims import (
    boundary_words,
    difference_words,
)
from spectraledge.experiments.low_rank_decay.boundary_estimates import (
    BASELINE,
    Ladder,
    Shift,
    planned,
)
from spectraledge.experiments.low_rank_decay.contenders import HEADLINE, MORE
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.report import Axes, Figure, Reference, Section, Table, arm_colours
from spectraledge.report.plots.layout import base_layout, numbers, of_arm, plain
from spectraledge.series import Boundary

__all__ = ["MAIN", "boundaries_section", "differences_section", "success_section"]

MAIN = ("no decay", "L2", "LRD", "LRD absolute", "LRD published step", "norm held")
COLOURS = arm_colours(MAIN)
# Points of different arms at one fraction stand side by side, this share of the range apart.
APART = 0.006


def within(budget: int) -> str:
    """A budget in words."""
    return f"within {budget} steps"


def missing_words(found: Sequence[Ladder]) -> str:
    """Arms without a boundary and ladders with missing runs; empty if there are none."""
    wanted = dict.fromkeys(label for matched in (False, True) for label, _ in planned(matched))
    there = {one.label for one in found if one.logistic}
    absent = [label for label in (BASELINE, *wanted) if label not in there]
    partial = [f"{one.label} ({one.missing})" for one in found if one.logistic and one.missing]
    return "\n\n".join(
        f"{words}: {', '.join(arms)}."
        for words, arms in (
            ("No boundary yet", absent),
            ("Runs are missing yet, so that nothing is decided about", partial),
        )
        if arms
    )


def boundaries_section(found: Sequence[Ladder], size: Size) -> Section:
    """Forest plot and table of the boundary of every arm."""
    estimates = [
        Estimate(one.label, within(budget), one.logistic[budget].interval)
        for one in found
        for budget in size.budgets
        if budget in one.logistic
    ]
    text = (
        "Every arm is tuned by itself on the same number of settings, on seeds and splits that are "
        "not used here (“matched”: at the setting that is best for L2). A bisection with few seeds "
        f"finds the place, a ladder of fractions with {len(size.seeds)} seeds measures it; "
        f"{MORE * len(size.seeds)} seeds for {', '.join(HEADLINE)}.\n\n" + missing_words(found)
    )
    if not estimates:
        return Section("Train fraction needed", text)
    figure = forest_figure(
        estimates,
        title="Train fraction from which half of the seeds generalise",
        caption="Logistic curves through all attempts of an arm, 95 % intervals over seeds. An "
        "arrow: the interval leaves the fractions tried. An arrow without a dot: so does the "
        "boundary, and nothing is extrapolated.",
        label="train fraction f₅₀",
    )
    items: list[Figure | Table] = [figure, _boundary_table(found, size), _check_table(found, size)]
    return Section("Train fraction needed", text, items)


def _boundary_table(found: Sequence[Ladder], size: Size) -> Table:
    rows = [
        (
            one.label,
            f"{one.contender.setting.strength:g}",
            f"{one.contender.setting.lr:g}",
            *(boundary_words(one.logistic[b]) if b in one.logistic else None for b in size.budgets),
            f"{one.logistic[last].low:g} to {one.logistic[last].high:g}",
            len(one.attempts[last].units),
        )
        for one in found
        for last in size.budgets[-1:]
        if last in one.logistic
    ]
    columns = ("arm", "strength", "lr", *(within(b) for b in size.budgets), "tried", "runs")
    caption = (
        "Fraction from which half of the seeds generalise, with 95 % intervals; the fractions that "
        "were tried, and in how many runs."
    )
    return Table(columns, rows, caption)


def _check_table(found: Sequence[Ladder], size: Size) -> Table:
    last = size.budgets[-1]
    pairs = [(one.label, one.logistic[last], one.isotonic[last])
             for one in found if last in one.logistic]  # fmt: skip
    rows = [
        (label, boundary_words(logistic), boundary_words(isotonic),
         "yes" if _disjoint(logistic, isotonic) else "no", _width_words(logistic))
        for label, logistic, isotonic in pairs
    ]  # fmt: skip
    columns = ("arm", "logistic", "isotonic", "apart", "10 to 90 %")
    caption = (
        f"Does the curve matter? The boundary {within(last)} of a logistic curve, and of the best "
        "rising staircase, which assumes no curve; apart: whether the two intervals do not meet. "
        "10 to 90 %: fractions over which success rises that far, an upper limit where no run "
        "fails above another's success."
    )
    return Table(columns, rows, caption)


def _disjoint(a: Boundary, b: Boundary) -> bool:
    first, second = a.interval, b.interval
    return first.upper < second.lower or second.upper < first.lower


def _width_words(boundary: Boundary) -> str:
    if boundary.position != "inside" or boundary.slope <= 0:
        return "–"
    return ("≤ " if boundary.separated else "") + f"{boundary.width:.3f}"


def differences_section(compared: Sequence[Shift], size: Size) -> Section:
    """Paired differences to L2 with simultaneous intervals, tuned and matched."""
    text = (
        "Differences of the boundaries, arm minus L2, over the same seeds: left of zero the arm "
        "needs less data. Intervals are wide enough to hold with 95 % for all comparisons of a "
        "figure and budget together. No test stands beside them: ladders lie where the bisection "
        "of each arm led, so that arms are not exchangeable; tests are made below, at one fraction."
    )
    items: list[Figure | Table] = []
    for matched, title in ((False, "each at its own best setting"), (True, "at the setting of L2")):
        chosen = [c for c in compared if c.matched == matched]
        if chosen:
            drawn = _difference_figure(chosen, title, size)
            items += [drawn] if drawn else []
            items.append(_difference_table(chosen, title, size))
    return Section("Differences to L2", text + ("" if items else "\n\nNot run yet."), items)


def _difference_figure(chosen: Sequence[Shift], title: str, size: Size) -> Figure | None:
    order = list(dict.fromkeys(shift.label for shift in chosen))
    estimates = [
        Estimate(shift.label, within(shift.budget), shift.family)
        for shift in sorted(chosen, key=lambda shift: order.index(shift.label))
        if shift.baseline == BASELINE and shift.bounded
    ]
    if not estimates:
        return None
    return forest_figure(
        estimates,
        title=f"Train fraction needed beyond that of L2, {title}",
        caption=f"95 % for all {len(planned(chosen[0].matched))} comparisons together; bootstrap "
        "over seeds, paired. An arrow: not bounded on this side by the fractions tried. What is "
        "bounded on neither side is left out.",
        label="f₅₀(arm) − f₅₀(L2)",
        references=[Reference(0.0, "as L2")],
        shown=(-size.bisection.spacing, size.bisection.spacing),
    )


def _difference_table(chosen: Sequence[Shift], title: str, size: Size) -> Table:
    by_pair: dict[tuple[str, str], dict[int, Shift]] = {}
    for shift in chosen:
        by_pair.setdefault((shift.label, shift.baseline), {})[shift.budget] = shift
    last = size.budgets[-1]
    rows = [
        (
            " − ".join(label.removesuffix(", matched") for label in pair),
            _side(own[last]) if last in own else None,
            *(difference_words(own[b].family) if b in own else None for b in size.budgets),
            difference_words(own[last].single) if last in own else None,
            max(shift.family.count for shift in own.values()),
        )
        for pair, own in by_pair.items()
    ]
    columns = ("difference", "needs", *(within(b) for b in size.budgets),
               f"{last}, by itself", "seeds")  # fmt: skip
    caption = (
        f"Differences of f₅₀, {title}, with intervals that hold with 95 % for all "
        f"{len(planned(chosen[0].matched))} together. By itself: the 95 % interval if this were "
        "the only comparison."
    )
    return Table(columns, rows, caption)


def _side(comparison: Shift) -> str:
    if comparison.family.upper < 0:
        return "less data"
    return "more data" if comparison.family.lower > 0 else "not decided"


def success_section(found: Sequence[Ladder], size: Size) -> Section:
    """Share of seeds that generalise against the train fraction."""
    own = {one.label: one for one in found}
    chosen = [own[arm] for arm in MAIN if arm in own and own[arm].attempts]
    text = "Points are shares of seeds, curves the logistic fits whose middle is the boundary."
    if not chosen:
        return Section("Success against train fraction", f"{text}\n\nNot run yet.")
    figures = [
        _success_figure(there, budget)
        for budget in reversed(size.budgets)
        if (there := [one for one in chosen if budget in one.attempts])
    ]
    return Section("Success against train fraction", text, figures)


def _success_figure(chosen: Sequence[Ladder], budget: int) -> Figure:
    low = min(one.logistic[budget].low for one in chosen)
    high = max(one.logistic[budget].high for one in chosen)
    room = 0.04 * (high - low)
    axes = Axes("train fraction", "share of seeds that generalise",
                x_range=(low - room, high + room), y_range=(-0.05, 1.05))  # fmt: skip
    traces: list[Mapping[str, Any]] = []
    for number, one in enumerate(chosen):
        shift = APART * (high - low) * (number - (len(chosen) - 1) / 2)
        traces += _success_traces(one, budget, shift, np.linspace(low, high, 120))
    return Figure(
        f"Success {within(budget)}",
        "Points are moved sideways a little so that arms do not hide each other. An arm whose "
        "boundary lies outside the fractions tried has points only.",
        {"data": traces, "layout": base_layout(axes)},
    )


def _success_traces(
    one: Ladder, budget: int, shift: float, places: np.ndarray
) -> list[Mapping[str, Any]]:
    tally, boundary, colour = one.attempts[budget].tally, one.logistic[budget], COLOURS[one.label]
    success, trials = tally.success.sum(0), tally.trials.sum(0)
    points = {
        "x": numbers(tally.fractions + shift), "y": numbers(success / trials), "mode": "markers",
        "name": plain(one.label), "marker": {"size": 8, "color": colour},
        "text": [f"{plain(one.label)}, f = {f:g}<br>{s:.0f} of {t:.0f} seeds"
                 for f, s, t in zip(tally.fractions, success, trials)],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    if boundary.position != "inside":
        return [of_arm(one.label, points)]
    inside = places[(places >= boundary.low) & (places <= boundary.high)]
    odds = boundary.slope * (inside - boundary.interval.centre)
    line = {
        "x": numbers(inside), "y": numbers(1 / (1 + np.exp(-odds))), "mode": "lines",
        "line": {"width": 2.4, "color": colour}, "showlegend": False, "hoverinfo": "skip",
    }  # fmt: skip
    return [of_arm(one.label, line), of_arm(one.label, points)]
