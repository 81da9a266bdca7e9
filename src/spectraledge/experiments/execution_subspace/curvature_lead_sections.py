"""Onsets, leads and steps of generalising on the page of `curvature_precedes_generalisation`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectraledge.experiments.execution_subspace.curvature_claims import lead_words, sign_words
from spectraledge.experiments.execution_subspace.curvature_effects import nearly
from spectraledge.experiments.execution_subspace.curvature_sections import FORMS, Groups
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
from spectraledge.experiments.study_sections import row_curve
from spectraledge.report import Axes, Figure, Reference, Section, Table, arm_colours, curves

__all__ = ["leads_section"]

# Means of three seeds by operation, from the released tensors.
RELEASED_LEADS = {"add": 1100, "sub": 1400, "mul": 733, "x2_y2": 1233}
RELEASED_STEPS = {
    "add": (2933, 3167), "sub": (3433, 3667), "mul": (2633, 2900), "x2_y2": (1867, 2600),
}  # fmt: skip
SHOWN = ("sub", 137)


def leads_section(decayed: Groups) -> Section:
    """Onsets and leads of the published rule by operation, and under other thresholds."""
    rows = [_lead_row(operation, runs) for operation, runs in decayed.items()]
    columns = ("operation", "runs", "memorised", "onset", "onset − memorised", "lead to grok_50",
               "lead to grok_90", "lead to grok_stop", "released lead_90")  # fmt: skip
    grown = [run for runs in decayed.values() for run in nearly(runs)]
    signs = _sign_table(grown)
    single = _single_run(decayed)
    return Section(
        "Onset and lead",
        "Onset as published: the first record from the third on whose published defect is above "
        "20 and above ten times the median of the first three. Steps are means over seeds with t "
        "intervals; runs without an onset or without generalisation are counted, not averaged.",
        [
            Table(columns, rows, "Leads of runs with both; released: three seeds."),
            _step_table(decayed),
            signs,
            _sweep_table(grown),
            *([single] if single else []),
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
    count = f"{len(runs)}, {len(nearly(runs))} generalise, {onsets.count(None)} no onset"
    return (
        operation,
        count,
        _mean(runs, [run.memorised for run in runs]),
        _mean(runs, onsets),
        _mean(runs, since),
        *leads,
        RELEASED_LEADS.get(operation),
    )


def _step_table(decayed: Groups) -> Table:
    rows = [
        (
            operation,
            *(_mean(runs, [run.grok(rule) for run in runs]) if runs else "–" for rule in GROKS),
            *RELEASED_STEPS.get(operation, (None, None)),
        )
        for operation, runs in decayed.items()
    ]
    columns = ("operation", *GROKS, "released grok_90", "released grok_stop")
    caption = (
        "Step of generalising, mean over the seeds that do. The published table has 2900, 3400, "
        "2600 and 1900 in the text, which is grok_90, and grok_stop elsewhere."
    )
    return Table(columns, rows, caption)


def _single_run(decayed: Groups) -> Figure | None:
    """The run that the paper shows alone."""
    operation, seed = SHOWN
    run = next((r for r in decayed.get(operation, ()) if r.seed == seed), None)
    if run is None:
        return None
    drawn = [
        curve
        for form, name in FORMS.items()
        if (curve := row_curve(form, {seed: run.row}, f"{name}/defect", log=True)) is not None
    ]
    marks = {"memorised": run.memorised, "onset": published_onset(run).step,
             "grok_90": run.grok("grok_90")}  # fmt: skip
    told = ", ".join(f"{name} {'–' if step is None else step}" for name, step in marks.items())
    return curves(
        drawn,
        title=f"The run that the paper shows: {operation}, seed {seed}",
        caption=f"{told}. Published: onset 2000, grok_90 3600, a lead of 1600.",
        colours=arm_colours(list(FORMS)),
        axes=Axes(y_label="defect, 1/loss", log_y=True),
        references=[Reference(float(s), name) for name, s in marks.items() if s is not None],
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
