"""Sections of the page on curvature: the two forms, their parts, and leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spectraledge.experiments.execution_subspace.curvature_claims import lead_words, sign_words
from spectraledge.experiments.execution_subspace.curvature_effects import (
    after_ratio,
    baseline_growth,
    generalising,
    initial_ratio,
    last_defect,
    of_runs,
)
from spectraledge.experiments.execution_subspace.curvature_specificity import (
    FACTORS,
    threshold_rule,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    EXACT_NAME,
    GROKS,
    PUBLISHED_NAME,
    DefectRun,
    leads_of,
    published_onset,
)
from spectraledge.experiments.row_values import short
from spectraledge.experiments.seed_intervals import interval_by_seed
from spectraledge.experiments.study_sections import BAND, row_curve
from spectraledge.report import Axes, Curve, Figure, Reference, Section, Table, arm_colours, curves

__all__ = ["Groups", "forms_section", "leads_section", "parts_section"]

Groups = Mapping[str, Sequence[DefectRun]]
FORMS = {"published form": PUBLISHED_NAME, "exact": EXACT_NAME}
# Steps of the published mean of lead_90, by operation, from the released tensors.
RELEASED_LEADS = {"add": 1100, "sub": 1400, "mul": 733, "x2_y2": 1233}


def _curve(
    arm: str, runs: Sequence[DefectRun], name: str, quantity: str = "", dashed: bool = False
) -> list[Curve]:
    rows = {run.seed: run.row for run in sorted(runs, key=lambda run: run.seed)}
    found = row_curve(arm, rows, name, log=True)
    if found is None or not (found.values > 0).any():
        return []
    return [replace(found, quantity=quantity, dash="dash" if dashed else "solid")]


def _grok_line(runs: Sequence[DefectRun]) -> list[Reference]:
    steps = [step for run in runs if (step := run.grok("grok_90")) is not None]
    return [Reference(float(np.mean(steps)), "generalised")] if steps else []


def forms_section(decayed: Groups) -> Section:
    """The published form beside the exact defect, for every operation."""
    figures = [f for operation, runs in decayed.items() if (f := _forms_figure(operation, runs))]
    columns = ("operation", "published form at step 0", "exact at step 0", "ratio at step 0",
               "ratio after generalisation", "growth over baseline")  # fmt: skip
    rows = [
        (
            operation,
            short(of_runs(runs, lambda run: last_defect(run, PUBLISHED_NAME, 0))),
            short(of_runs(runs, lambda run: last_defect(run, until=0))),
            short(of_runs(runs, initial_ratio)),
            short(of_runs(generalising(runs), after_ratio)),
            short(of_runs(runs, baseline_growth)),
        )
        for operation, runs in decayed.items()
    ]
    caption = "Geometric means over seeds. Growth: largest published defect over its baseline."
    return Section(
        "The published form and the exact defect",
        "The published form takes the difference of two weight vectors of norm 100 in float32 to "
        "find one of 1e-6; where gradients are small, what it finds is rounding. The exact defect "
        f"is ‖H_B g_A − H_A g_B‖ / (‖g_A‖ ‖g_B‖). {BAND}",
        [*figures, Table(columns, rows, caption)],
    )


def _forms_figure(operation: str, runs: Sequence[DefectRun]) -> Figure | None:
    drawn = [c for form, name in FORMS.items() for c in _curve(form, runs, f"{name}/defect")]
    if not drawn:
        return None
    return curves(
        drawn,
        title=f"Defect, {operation}",
        caption="With decay, every seed; the dashed lines are the fixed level of the published "
        "onset rule, its published initial value, and the mean grok_90.",
        colours=arm_colours(list(FORMS)),
        axes=Axes(y_label="defect, 1/loss", log_y=True),
        references=[Reference(20, "20", "y"), Reference(2.43, "2.43", "y"), *_grok_line(runs)],
        half=True,
    )


def parts_section(decayed: Groups, plain: Groups) -> Section:
    """Numerator, denominators and rounding floor over training."""
    colours = arm_colours(list(decayed))
    parts = {
        "Bracket": ("bracket_norm", "‖L‖", "rounding_floor"),
        "Gradient": ("gradient_norm", "(‖g_A‖ ‖g_B‖)^½", ""),
    }
    figures = [
        figure
        for title, (output, label, floor) in parts.items()
        for where, groups in (("with decay", decayed), ("without decay", plain))
        if (figure := _part_figure(f"{title}, {where}", groups, output, label, floor, colours))
    ]
    return Section(
        "Numerator and denominator",
        "The defect divides the bracket by two gradient norms. What grows before generalisation "
        "and what vanishes after it are read off its parts; dashed lines are what rounding alone "
        "gives the bracket.",
        figures,
    )


def _part_figure(
    title: str,
    groups: Groups,
    output: str,
    label: str,
    floor: str,
    colours: Mapping[str, str],
) -> Figure | None:
    drawn = [
        curve
        for operation, runs in groups.items()
        for name, dashed in ((output, False), (floor, True))
        if name
        for curve in _curve(operation, runs, f"{EXACT_NAME}/{name}", name, dashed)
    ]
    if not drawn:
        return None
    return curves(
        drawn,
        title=title,
        caption="Median over batch pairs, every seed, with geometric mean and its 95 % t interval.",
        colours=colours,
        axes=Axes(y_label=label, log_y=True),
        half=True,
    )


def leads_section(decayed: Groups) -> Section:
    """Onsets and leads of the published rule by operation, and under other thresholds."""
    rows = [_lead_row(operation, runs) for operation, runs in decayed.items()]
    columns = ("operation", "runs", "memorised", "onset", "onset − memorised", "lead to grok_50",
               "lead to grok_90", "lead to grok_stop", "released lead_90")  # fmt: skip
    grown = [run for runs in decayed.values() for run in generalising(runs)]
    signs = _sign_table(grown)
    return Section(
        "Onset and lead",
        "Onset as published: the first record from the third on whose published defect is above "
        "20 and above ten times the median of the first three. Steps are means over seeds with t "
        "intervals; runs without an onset or without generalisation are counted, not averaged.",
        [
            Table(columns, rows, "Leads of runs with both; released: three seeds."),
            signs,
            _sweep_table(grown),
        ],
    )


def _mean(runs: Sequence[DefectRun], values: Sequence[float | None]) -> str:
    pairs = [(r.seed, np.nan if v is None else float(v)) for r, v in zip(runs, values)]
    return short(interval_by_seed(pairs))


def _lead_row(operation: str, runs: Sequence[DefectRun]) -> tuple[str | int | None, ...]:
    onsets = [published_onset(run).step for run in runs]
    since = [
        None if step is None or run.memorised is None else float(step - run.memorised)
        for run, step in zip(runs, onsets)
    ]
    leads = [
        _mean(runs, leads_of(runs, onsets)[rule].leads.tolist()) if runs else "–" for rule in GROKS
    ]
    count = f"{len(runs)}, {len(generalising(runs))} generalise, {onsets.count(None)} no onset"
    return (
        operation,
        count,
        _mean(runs, [run.memorised for run in runs]),
        _mean(runs, onsets),
        _mean(runs, since),
        *leads,
        RELEASED_LEADS.get(operation),
    )


def _sign_table(grown: Sequence[DefectRun]) -> Table:
    found = leads_of(grown, [published_onset(r).step for r in grown]) if grown else {}
    rows = [(rule, lead_words(leads), sign_words(leads)) for rule, leads in found.items()]
    return Table(("generalised by", "lead", "sign test"), rows, "All runs that generalise.")


def _sweep_table(grown: Sequence[DefectRun]) -> Table:
    forms = {"published": PUBLISHED_NAME, "exact": EXACT_NAME}
    rows = []
    for factor in FACTORS if grown else ():
        rule = threshold_rule(factor)
        cells = []
        for form in forms.values():
            onsets = [rule.find(run.records("defect", form=form)).step for run in grown]
            leads = leads_of(grown, onsets)["grok_90"]
            cells += [lead_words(leads), f"{leads.sign_test().positive} of {len(grown)}"]
        rows.append((f"{factor}, above {2 * factor}", *cells))
    columns = ("factor and level", "lead_90, published form", "first", "lead_90, exact", "first")
    return Table(columns, rows, "Other thresholds; 10 and 20 are published.")
