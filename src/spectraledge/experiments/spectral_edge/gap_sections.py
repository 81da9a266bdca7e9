"""Figures and tables of `gap_compression`."""

from __future__ import annotations

from spectraledge.experiments.row_values import short
from spectraledge.experiments.spectral_edge.edge_runs import EDGE, EdgeGroup, curve_name
from spectraledge.experiments.spectral_edge.edge_study import Groups, drawn
from spectraledge.experiments.spectral_edge.gap_claims import (
    EDGES,
    declines,
    mean_rotation,
    window_words,
)
from spectraledge.report import Section, Table

__all__ = ["gap_sections"]

ANGLES = (0.0, 91.0)


def gap_sections(groups: Groups) -> list[Section]:
    """One section a task, declines, and rotations."""
    return [
        *(_task_section(group) for group in groups.values()),
        _decline_section(groups),
        _rotation_section(groups),
    ]


def _task_section(group: EdgeGroup) -> Section:
    figures = [
        *drawn(group, curve_name(EDGE, "gap23"), "Gap σ₂² − σ₃²", "weight²", log=True),
        *drawn(group, curve_name(EDGE, "singular_values", "v1"), "σ₁", "weight", log=True),
        *drawn(group, curve_name(EDGE, "gap_ratio"), "Ratio at the gap", "σ_k / σ_k+1"),
        *drawn(group, curve_name(EDGE, "rotation", "v1"), "Angle of v₁", "°", shown=ANGLES),
    ]
    return Section(group.name, f"{window_words(EDGE, group)}.", figures)


def _decline_section(groups: Groups) -> Section:
    rows = [
        (
            f"{group.name}, {condition}, {window_words(edge, group)}",
            *(
                ", ".join(_times(v) for v in declines(group, edge, condition, least=n).values())
                for n in (None, 2)
            ),
        )
        for group in groups.values()
        for condition in group.rows
        for edge in EDGES
        if group.rows[condition]
    ]
    text = (
        "Largest gap over the last, up to generalising with decay, over the whole run without and "
        "on shuffled labels; one number a seed. A dash: no two such windows before generalising. "
        "The published form takes windows of two displacements too, whose σ₃ is 0."
    )
    columns = ("runs and window", "full windows, each seed", "as published")
    return Section("Declines", text, [Table(columns, rows)])


def _rotation_section(groups: Groups) -> Section:
    components = ("v1", "v2", "v3")
    rows = [
        (
            f"{group.name}, {condition}",
            *(short(mean_rotation(group, "rotation", v, condition)) for v in components),
            *(short(mean_rotation(group, "null_rotation", v, condition)) for v in components),
        )
        for group in groups.values()
        for condition in group.rows
        if group.rows[condition]
    ]
    columns = ("runs", *components, *(f"null of {v}" for v in components))
    text = (
        "Mean angle in degrees between a direction and the same one a displacement later, over "
        "the whole run. Null: a constant drift and white noise of the same ratio, whose windows "
        "overlap as these do."
    )
    return Section("Rotations", text, [Table(columns, rows)])


def _times(value: float) -> str:
    return "–" if value != value else f"{value:.3g}×"
