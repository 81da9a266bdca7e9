"""Section on how specific the onset is to runs that generalise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spectraledge.experiments.execution_subspace.curvature_specificity import (
    FACTORS,
    SIGNALS,
    STEPS,
    Corrected,
    horizon_of,
    outcomes,
    threshold_rule,
)
from spectraledge.experiments.execution_subspace.curvature_specificity_claims import with_plain
from spectraledge.experiments.execution_subspace.defect_records import (
    PUBLISHED_NAME,
    DefectRun,
    published_onset,
)
from spectraledge.experiments.row_values import share_words
from spectraledge.report import Axes, Curve, Figure, Reference, Section, Table, curves
from spectraledge.series import AlarmOutcomes, Auroc, RelativeRise

__all__ = ["specificity_section"]

Areas = Mapping[tuple[str, int], Auroc]
# Recomputed from the released tensors: 12 runs that generalise, 6 of hard operations.
RELEASED = {500: 0.67, 1000: 0.64, 1500: 0.83, 2000: 0.72}


def specificity_section(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], areas: Areas, rule: Corrected | None
) -> Section:
    """False alarms over thresholds, and areas at fixed steps."""
    horizon = horizon_of(decayed)
    items = [
        figure
        for figure in (
            _area_figure(areas),
            _fired_figure(decayed, plain, horizon),
            _threshold_figure(decayed, plain, horizon),
        )
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


def _fired_figure(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], horizon: int | None
) -> Figure | None:
    """Shares of runs with an onset by each step; one against another is the ROC in time."""
    groups = {
        "generalise": [run for run in decayed if run.generalises],
        "do not, with decay": [run for run in decayed if run.silent],
        "do not, without decay": [run for run in plain if run.silent],
    }
    if horizon is None:
        return None
    drawn = [
        Curve(name, steps, share[None], centre=share)
        for name, runs in groups.items()
        if runs and (steps := np.asarray(runs[0].row.curve("train_accuracy")[0])) is not None
        for share in [_fired(runs, steps)]
    ]
    return curves(
        drawn,
        title="Runs in which the published rule has fired",
        caption="Share of the runs with an onset by a step. A warning fires in those that "
        "generalise, and not in the others, before the dashed step, by which half of them have.",
        colours=dict(zip(groups, ("#d55e00", "#0072b2", "#009e73"))),
        axes=Axes(y_label="share of runs", y_range=(-0.03, 1.05)),
        references=[Reference(float(horizon), "half have")],
        half=True,
    )


def _fired(runs: Sequence[DefectRun], steps: np.ndarray) -> np.ndarray:
    alarms = [published_onset(run).alarm for run in runs]
    found = np.array([np.inf if alarm is None else alarm for alarm in alarms])
    return (found[:, None] <= steps).mean(0)


def _threshold_figure(
    decayed: Sequence[DefectRun], plain: Sequence[DefectRun], horizon: int | None
) -> Figure | None:
    groups = {"with decay": decayed, "without decay": with_plain(decayed, plain)}
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
        if isinstance(rule, RelativeRise)
    ]
    return Table(columns, rows, "Rules on the bracket that the other seeds picked.")
