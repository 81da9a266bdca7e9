"""Tables of `universality_classes`."""

from __future__ import annotations

from dataclasses import astuple, fields
from math import isnan

from spectraledge.experiments.spectral_edge.edge_class import run_class
from spectraledge.experiments.spectral_edge.edge_runs import LOGITS, EdgeGroup, curve_name
from spectraledge.experiments.spectral_edge.edge_study import Groups, drawn
from spectraledge.experiments.spectral_edge.gap_balance import (
    BALANCE_WORDS,
    GAPS,
    balance_class,
    gap_series,
    term_shares,
)
from spectraledge.lab.rows import Row
from spectraledge.report import Section, Table
from spectraledge.series import EdgeNumbers

__all__ = ["universality_sections"]

NAMES = tuple(field.name.replace("_", " ") for field in fields(EdgeNumbers))


def universality_sections(groups: Groups) -> list[Section]:
    """Every run of every task, and the response over training."""
    figures = [
        figure
        for group in groups.values()
        for figure in drawn(group, curve_name(LOGITS, "gamma", "v1"), "γ of v₁", "γ", log=True)
    ]
    return [
        *(_runs_section(group) for group in groups.values()),
        Section("Response of the logits along v₁, over random directions", "", figures),
        *(section for group in groups.values() for section in _flow_section(group)),
    ]


def _runs_section(group: EdgeGroup) -> Section:
    rows = []
    for condition, found in group.rows.items():
        for seed, row in found.items():
            numbers, name, margin = run_class(group, row)
            cells = (_told(value, ".3g") for value in astuple(numbers))
            end = (name or "–", _told(margin, ".2g"))
            rows.append((f"{condition}, seed {seed}", *cells, *end))
    caption = (
        "Medians over the last third. Special: accuracy lost without the edge over that of the "
        "matched control, a dash where the control loses less than 0.02; most special: what it "
        "would be if nothing were right without the edge. Peak: share of one frequency over "
        "classes, v₁ less the larger of a random direction and the weights. Turn: angle of v₁ "
        "minus that of drift and noise, in degrees."
    )
    return Section(group.name, "", [Table(("run", *NAMES, "class", "margin"), rows, caption)])


def _flow_section(group: EdgeGroup) -> list[Section]:
    rows = []
    for condition, found in group.rows.items():
        for seed, row in found.items():
            if shares := term_shares(row):
                cells = (f"{share:.2f}" for share in shares.values())
                rows.append((f"{condition}, seed {seed}", *cells, *_balance_cells(row)))
    columns = (
        "run", "curvature T1", "damping T2", "driving T3", "class", "margin",
        "signs, d₁ − d₂", "fitted, d₁ − d₂", "signs, d₂ − d₃", "fitted, d₂ − d₃",
    )  # fmt: skip
    caption = (
        "Shares of the scaled terms in the last third; they mean something only where the fit "
        "explains something. Signs: share of the intervals in which the sum of the terms has the "
        "sign of the change, beyond chance. Fitted: share of the changes that one free scale a "
        "term explains beyond a constant and the gap itself, adjusted. 0 is chance for both."
    )
    title = f"Flow of the gaps, {group.name}"
    return [Section(title, BALANCE_WORDS, [Table(columns, rows, caption)])] if rows else []


def _balance_cells(row: Row) -> tuple[str, ...]:
    """Class and margin, and what the terms say of the changes of each gap."""
    name, margin = balance_class(row)
    series = [gap_series(row, gap) for gap in GAPS]
    said = (_told(value, ".2f") for one in series for value in (one.agreement(), one.fitted()))
    return (name or "–", _told(margin, ".2f"), *said)


def _told(value: float, form: str) -> str:
    return "–" if isnan(value) else format(value, form)
