"""Sections of the page on curvature: the two forms, their parts, and leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spectraledge.experiments.execution_subspace.curvature_effects import (
    after_ratio,
    baseline_growth,
    generalising,
    initial_ratio,
    last_defect,
    of_runs,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    EXACT_NAME,
    PUBLISHED_NAME,
    DefectRun,
)
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study_sections import BAND, row_curve
from spectraledge.report import Axes, Curve, Figure, Reference, Section, Table, arm_colours, curves

__all__ = ["Groups", "forms_section", "parts_section"]

Groups = Mapping[str, Sequence[DefectRun]]
FORMS = {"published form": PUBLISHED_NAME, "exact": EXACT_NAME}


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
    columns = ("runs", "published form at step 0", "exact at step 0", "ratio at step 0",
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
        caption="Every seed; the dashed lines are the fixed level of the published onset rule, its "
        "published initial value, and the mean step at which held-out accuracy reaches 0.9.",
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
