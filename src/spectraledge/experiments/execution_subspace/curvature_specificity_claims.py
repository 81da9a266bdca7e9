"""Verdicts and section on how specific the onset is to runs that generalise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spectraledge.experiments.execution_subspace.curvature_specificity import (
    FACTORS,
    SIGNALS,
    STEPS,
    Corrected,
    areas_at,
    horizon_of,
    outcomes,
    threshold_rule,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    PUBLISHED_NAME,
    DefectRun,
    published_onset,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import share_words
from spectraledge.report import Axes, Curve, Figure, Reference, Section, Table, Verdict, curves
from spectraledge.series import AlarmOutcomes, Auroc

__all__ = ["specificity_section", "specificity_verdicts"]

NOT_RUN = "not run yet"
Areas = Mapping[tuple[str, int], Auroc]
# Least area of a score that is of use as a warning; 0.5 says nothing.
USEFUL = 0.75
# A rule that may be wrong more often than this is no warning; eight runs decide it if all agree.
MOST_WRONG = 0.4
# Recomputed from the released tensors: 12 runs that generalise, 6 of hard operations.
RELEASED = {500: 0.67, 1000: 0.64, 1500: 0.83, 2000: 0.72}


def specificity_verdicts(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], rule: Corrected | None
) -> list[Verdict]:
    """False alarms of the published rule, warnings at fixed steps, and corrected rules.

    Args:
        decayed: Runs with decay.
        plain: Runs without.
        rule: Of all runs, see `corrected_rule`.

    Returns:
        One verdict per claim.
    """
    horizon = horizon_of(decayed)
    groups = {
        "operations that do not generalise": decayed,
        "runs without decay": _with_plain(decayed, plain),
    }
    return [
        *(_false_alarm(title, runs, horizon) for title, runs in groups.items()),
        _warning(decayed),
        _corrected(rule),
    ]


def _with_plain(decayed: Sequence[DefectRun], plain: Sequence[DefectRun]) -> list[DefectRun]:
    """Runs that generalise with decay, and those that do not without it."""
    return [run for run in decayed if run.generalises] + [r for r in plain if r.silent]


def _published(runs: Sequence[DefectRun], horizon: int | None) -> AlarmOutcomes | None:
    return outcomes(runs, [published_onset(run).alarm for run in runs], horizon)


def _false_alarm(title: str, runs: Sequence[DefectRun], horizon: int | None) -> Verdict:
    found = _published(runs, horizon)
    observed, status = NOT_RUN, "undecided"
    if found is not None:
        status = decide(found.false_alarm, below=MOST_WRONG)
        observed = (
            f"it fires in {share_words(found.false_alarm)} of the runs by step {horizon}, and "
            f"misses {share_words(found.miss)} of those that generalise; "
            f"{found.false_alarm.count} seeds"
        )
    return Verdict(
        f"The published rule stays silent: {title}",
        "not tested; released runs fire at step 2000 in hard operations and 3400 without decay",
        observed,
        status,
        "Alarms until half of the runs that generalise have (grok_90), the same step for all. "
        f"Holds if false alarms lie below {MOST_WRONG:g} with their whole interval (exact, "
        "of as many trials as there are seeds), fails if above.",
    )


def _warning(decayed: Sequence[DefectRun]) -> Verdict:
    steps = [g for run in decayed if (g := run.grok("grok_90")) is not None]
    early = [step for step in STEPS if step < min(steps, default=0)]
    # One step, set beforehand, so one area: its confidence need not be shared.
    found = areas_at(decayed, 1).get(("published form", early[-1])) if early else None
    observed, status = NOT_RUN if not steps else "no step before the first", "undecided"
    if found is not None:
        status = decide(found.interval, above=USEFUL)
        observed = f"{share_words(found.interval)} at step {early[-1]}"
    return Verdict(
        "Before they do, the defect tells runs that will generalise from those that will not",
        "zero overlap, of maxima over whole runs; 0.72 at step 2000 of the released runs",
        observed,
        status,
        "Area under the ROC of the published defect among runs with decay, at the last of the "
        f"steps {', '.join(map(str, STEPS))} at which none has generalised (grok_90). Holds above "
        f"{USEFUL:g}, fails below; 0.5 says nothing.",
    )


def _corrected(found: Corrected | None) -> Verdict:
    observed, status = NOT_RUN, "undecided"
    if found is not None:
        rates = found.rates
        each = [decide(r, below=MOST_WRONG) for r in (rates.false_alarm, rates.miss)]
        status = "fails" if "fails" in each else "holds" if set(each) == {"holds"} else "undecided"
        observed = (
            f"false alarms {share_words(rates.false_alarm)}, misses {share_words(rates.miss)}; "
            f"choosing on the same runs would have promised {found.optimism:.2f} more"
        )
    return Verdict(
        "A rule on the unnormalised bracket, chosen on other seeds, warns of generalisation",
        "not published",
        observed,
        status,
        "Relative rises since memorisation, above the rounding floor; 24 candidates, the rule for "
        "each seed chosen by the others. Among all runs, with and without decay. Holds if false "
        f"alarms and misses both lie below {MOST_WRONG:g}, fails if either lies above.",
    )


def specificity_section(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], areas: Areas, rule: Corrected | None
) -> Section:
    """False alarms over thresholds, and areas at fixed steps."""
    horizon = horizon_of(decayed)
    items = [
        figure
        for figure in (_area_figure(areas), _threshold_figure(decayed, plain, horizon))
        if figure is not None
    ]
    return Section(
        "Is the onset specific?",
        "A lead says nothing without the false alarms: a rule that fires in every run as soon as "
        "it memorises has the longest leads. Runs that do not generalise are asked at the same "
        "step as those that do, and a signal is read only in runs that have not generalised yet.",
        [*items, _area_table(areas), _rule_table(rule)],
    )


def _area_figure(areas: Areas) -> Figure | None:
    drawn = []
    for name in SIGNALS:
        own = [(step, a.interval) for (signal, step), a in sorted(areas.items()) if signal == name]
        if not own:
            continue
        steps = np.array([step for step, _ in own])
        centre, lower, upper = (
            np.array([getattr(i, end) for _, i in own]) for end in ("centre", "lower", "upper")
        )
        drawn.append(Curve(name, steps, centre[None], centre=centre, lower=lower, upper=upper))
    if not drawn:
        return None
    colours = dict(zip(SIGNALS, ("#d55e00", "#0072b2", "#009e73")))
    return curves(
        drawn,
        title="Telling runs apart before they generalise",
        caption="Area under the ROC of a signal at a fixed step, runs with decay. Bands are "
        "simultaneous intervals over all steps and signals, by seed.",
        colours=colours,
        axes=Axes(y_label="area under the ROC", y_range=(0.0, 1.05)),
        references=[Reference(0.5, "says nothing", "y")],
        half=True,
    )


def _threshold_figure(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], horizon: int | None
) -> Figure | None:
    groups = {"with decay": decayed, "without decay": _with_plain(decayed, plain)}
    drawn = []
    for name, runs in groups.items():
        found = [_at_factor(runs, factor, horizon) for factor in FACTORS]
        known = [o.false_alarm for o in found if o is not None]
        if len(known) == len(FACTORS):
            ends = (np.array([getattr(i, e) for i in known]) for e in ("centre", "lower", "upper"))
            centre, lower, upper = ends
            drawn.append(
                Curve(name, np.array(FACTORS), centre[None], centre=centre, lower=lower,
                      upper=upper)
            )  # fmt: skip
    if not drawn:
        return None
    return curves(
        drawn,
        title="False alarms over the threshold",
        caption="Share of the runs that do not generalise in which the published rule fires by "
        f"step {horizon}, with its exact interval by seed.",
        colours={"with decay": "#d55e00", "without decay": "#0072b2"},
        axes=Axes("factor of the baseline", "false alarms", log_x=True, y_range=(-0.03, 1.05)),
        references=[Reference(10, "published")],
        half=True,
    )


def _at_factor(
    runs: Sequence[DefectRun], factor: float, horizon: int | None
) -> AlarmOutcomes | None:
    rule = threshold_rule(factor)
    alarms = [rule.find(run.records("defect", form=PUBLISHED_NAME)).alarm for run in runs]
    return outcomes(runs, alarms, horizon)


def _area_table(areas: Areas) -> Table:
    rows = []
    for step in STEPS:
        own = [areas.get((name, step)) for name in SIGNALS]
        first = next((area for area in own if area is not None), None)
        counts = f"{first.positives} and {first.negatives}" if first else "–"
        cells = [share_words(area.interval) if area else "–" for area in own]
        rows.append((step, counts, *cells, RELEASED.get(step)))
    return Table(
        ("step", "runs", *SIGNALS, "released runs"),
        rows,
        "Runs that generalise and do not; intervals allow for the number of areas. Released: "
        "published form, recomputed from the published tensors, 12 and 6 runs.",
    )


def _rule_table(found: Corrected | None) -> Table:
    columns = ("reference", "factor", "records in a row", "picked for seeds")
    picked = [] if found is None else list(found.picked)
    rows = [
        (rule.reference.replace("_", " "), rule.factor, rule.persistence, picked.count(rule))
        for rule in dict.fromkeys(picked)
    ]
    return Table(columns, rows, "Rules on the bracket that the other seeds picked.")
