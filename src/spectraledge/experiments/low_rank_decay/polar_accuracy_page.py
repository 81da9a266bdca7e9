"""Page of `polar_accuracy`: times, ranks and norms under five ways to compute one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.paired_comparisons import (
    Comparison,
    compare,
    comparison_words,
    differences_figure,
    times_figure,
    times_table,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.sizes import size_of
from spectraledge.experiments.low_rank_decay.tuning import Setting, tuned
from spectraledge.experiments.row_values import last_value, mean_of, short, value_at
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import (
    BAND,
    Rows,
    by_seed,
    row_curve,
    scaled_verdicts,
)
from spectraledge.report import Axes, Figure, Page, Section, Verdict, arm_colours, curves
from spectraledge.series import restricted_mean

__all__ = ["polar_accuracy_page"]

EXACT, RELEASED = "exact proximal", "five cubic steps"
# A difference matters if it is at least this share of the time that the exact step takes.
RELEVANT = 0.25
ENDS = {
    "entropy rank": ("weight_spectrum/entropy_rank", False),
    "stable rank": ("weight_spectrum/stable_rank", False),
    "‖W‖_F of its initial value": ("weight_spectrum/frobenius_norm", True),
}
FULLER = (
    "A larger budget would add seeds, which narrow the intervals by the square root of their "
    "number, and the published size, where matrices are larger and five cubic steps are farther "
    "from a polar factor (`--scale full`)."
)


def polar_accuracy_page(known: Known, scale: Scale) -> Page:
    """The page; see `polar_accuracy`."""
    # The study imports its page.
    from spectraledge.experiments.low_rank_decay.polar_accuracy import (
        METHODS,
        PolarAccuracy,
        method_runs,
    )

    size = size_of(scale)
    budget = size.budgets[-1]
    runs = method_runs(known, size)
    settings = tuned(known, size, ("L2", "LRD"))
    colours = arm_colours(list(METHODS))
    sections, verdicts, answers = [], [], []
    for best, setting in settings.items():
        arms = {label: by_seed(known, runs[best, label]) for label in METHODS}
        found = compare({a: r for a, r in arms.items() if a != EXACT}, arms[EXACT], budget)
        sections.append(_section(best, setting, arms, found, budget, colours))
        verdicts.append(_matters(best, setting, arms, found, budget))
        answers.append(_answer(best, found))
    titles = {f"{label}, best setting of {best}": r for (best, label), r in runs.items()}
    return Page(
        title=PolarAccuracy.title,
        summary=_summary(answers),
        verdicts=scaled_verdicts(verdicts or [_unknown()], scale),
        sections=[*sections, provenance_section(known, titles, size, FULLER)],
    )


def _summary(answers: Sequence[str]) -> str:
    told = " ".join(answers) or "Tuning is not complete, so nothing was compared yet."
    return (
        f"{told}\n\n"
        "Five ways to compute the step of low-rank decay, with the step length of L2 at every "
        "step, from the same initial weights on the same batches. They differ in what they do to "
        "small singular values: the exact polar factor treats all alike and overshoots those "
        "below the step, the proximal step stops at zero, and the five cubic iterations that were "
        "released barely touch them: their direction stays close to that of the matrix itself."
    )


def _words(setting: Setting) -> str:
    return f"strength {setting.strength:g} at learning rate {setting.lr:g}"


def _answer(best: str, found: Sequence[Comparison]) -> str:
    told = f"At the best setting of {best}"
    if not found:
        return f"{told} nothing is known yet."
    if not any(c.own.observed.any() or c.reference.observed.any() for c in found):
        return f"{told} no run generalised."
    clear = [f"{c.arm} ({comparison_words(c)})" for c in found if c.direction]
    if clear:
        return f"{told} these differ from the exact proximal step: {', '.join(clear)}."
    return (
        f"{told} no method can be told apart from the exact proximal step in when it generalises; "
        f"the intervals exclude differences of more than {_excluded(found):.0f} steps."
    )


def _excluded(found: Sequence[Comparison]) -> float:
    """The largest difference, either way, that some interval allows."""
    return max(max(-c.difference.lower, c.difference.upper) for c in found)


def _section(
    best: str,
    setting: Setting,
    arms: Mapping[str, Rows],
    found: Sequence[Comparison],
    budget: int,
    colours: Mapping[str, str],
) -> Section:
    title = f"At the best setting of {best}"
    figures = [
        times_figure(arms, budget, colours, "Step of generalisation"),
        differences_figure(found, budget, colours, EXACT),
        _figure(arms, "weight_spectrum/entropy_rank", "entropy rank of Q and K", colours),
        _figure(arms, "weight_spectrum/frobenius_norm", "‖W‖_F of Q and K", colours),
    ]
    ends = {
        f"{name} when it ended": {arm: _end(rows, *source) for arm, rows in arms.items()}
        for name, source in ENDS.items()
    }
    table = times_table(arms, found, budget, EXACT, ends)
    text = f"{_words(setting).capitalize()}, the best of the tuning grid for {best}. {BAND}"
    return Section(title, text, [*(figure for figure in figures if figure), table])


def _figure(
    arms: Mapping[str, Rows], name: str, label: str, colours: Mapping[str, str]
) -> Figure | None:
    found = [row_curve(arm, rows, name, log=True) for arm, rows in arms.items()]
    drawn = [curve for curve in found if curve is not None]
    if not drawn:
        return None
    return curves(
        drawn,
        title=label[0].upper() + label[1:],
        caption=f"Every seed: {label}, mean over the matrices.",
        colours=colours,
        axes=Axes(y_label=label, log_y=True),
        half=True,
    )


def _end(rows: Rows, name: str, relative: bool) -> str:
    """Mean over seeds of the last value, over the first one if `relative`."""
    first = [value_at(row, name, 0) if relative else 1.0 for row in rows.values()]
    ends = [last_value(row, name) / start for row, start in zip(rows.values(), first)]
    return short(mean_of(ends, low=0.0))


def _matters(
    best: str,
    setting: Setting,
    arms: Mapping[str, Rows],
    found: Sequence[Comparison],
    budget: int,
) -> Verdict:
    claim = f"The accuracy of the polar factor matters, at the best setting of {best}"
    paper = "the polar factor is assumed; the released code takes five cubic steps"
    rule = (
        f"{_words(setting).capitalize()}. Holds if a method can be told apart from the exact "
        f"proximal step in when it generalises; fails if all intervals lie within {RELEVANT:.0%} "
        "of the time that the exact step takes, so that no difference that matters is left."
    )
    if not found:
        return Verdict(claim, paper, "not run yet", "undecided", rule)
    clear = [c for c in found if c.direction]
    time = min(restricted_mean(c.reference, budget).centre for c in found)
    small = _excluded(found) <= RELEVANT * time
    told = "; ".join(f"{c.arm} {comparison_words(c)}" for c in clear)
    if not any(c.own.observed.any() or c.reference.observed.any() for c in found):
        told = "no run generalised"
    elif not clear:
        extreme = max(found, key=lambda c: abs(c.difference.centre))
        told = (
            f"no difference told apart; largest: {extreme.arm} {short(extreme.difference)} steps; "
            f"excluded: more than {_excluded(found):.0f} steps, {_excluded(found) / time:.0%} of "
            "the exact step's time"
        )
    complete = all(arms.values())
    status = "holds" if clear else "fails" if small and complete else "undecided"
    return Verdict(claim, paper, told, status, rule)


def _unknown() -> Verdict:
    return Verdict(
        "The accuracy of the polar factor matters",
        "the polar factor is assumed; the released code takes five cubic steps",
        "not run yet",
        "undecided",
    )
