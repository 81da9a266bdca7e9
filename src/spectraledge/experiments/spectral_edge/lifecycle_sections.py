"""Figures and tables of `two_phase_lifecycle`."""

from __future__ import annotations

from spectraledge.experiments.row_values import share_words
from spectraledge.experiments.spectral_edge.edge_alarms import alarm_section
from spectraledge.experiments.spectral_edge.edge_runs import (
    SPLIT,
    EdgeGroup,
    curve_name,
)
from spectraledge.experiments.spectral_edge.edge_study import Groups, drawn
from spectraledge.experiments.spectral_edge.flip_claims import window_end
from spectraledge.experiments.spectral_edge.lifecycle_claims import GRADIENT_SHARE
from spectraledge.experiments.spectral_edge.lifecycle_timing import timing_section
from spectraledge.report import Figure, Reference, Section, Table

__all__ = ["lifecycle_sections"]

HALF = Reference(0.5, "one half", axis="y")
SHARE = (-0.03, 1.03)


def lifecycle_sections(groups: Groups) -> list[Section]:
    """One section a task, and the windows."""
    tasks = [_task_section(group) for group in groups.values()]
    return [*tasks, timing_section(groups), alarm_section(groups)]


def _task_section(group: EdgeGroup) -> Section:
    end = window_end(group, SPLIT)
    left = Reference(float(end), "first displacement leaves", axis="x")
    figures: list[Figure] = [
        *drawn(group, group.regime.metric, "Held-out accuracy", "accuracy", shown=SHARE),
        *drawn(
            group, GRADIENT_SHARE, "Share of the gradient along v₁", "share of energy",
            shown=SHARE, references=(HALF, left),
        ),
        *drawn(
            group, curve_name(SPLIT, "interval_share", "weight_decay"),
            "Share of decay in each interval", "⟨w, δ⟩/‖δ‖²", references=(HALF,),
        ),
        *drawn(
            group, curve_name(SPLIT, "alignment", "v1"), "Gradient and decay along v₁", "cosine",
            shown=(-1.05, 1.05), references=(left,),
        ),
        *drawn(
            group, curve_name(SPLIT, "interval_cosine"), "Gradient and decay in all weights",
            "cosine", shown=(-1.05, 1.05),
        ),
        *drawn(
            group, curve_name(SPLIT, "overlap", "v1"), "Overlap of v₁ with the weights",
            "|cos(v₁, θ)|", shown=SHARE,
        ),
    ]  # fmt: skip
    return Section(group.name, "", [*figures, *_phase_table(group)])


def _phase_table(group: EdgeGroup) -> list[Table]:
    if not group.known():
        return []
    names = {
        "gradient along v₁": GRADIENT_SHARE,
        "last interval alone": curve_name(SPLIT, "last_energy_share", "gradient", "v1"),
        "by the trapezoid": curve_name(SPLIT, "trapezoid_share", "v1"),
        "with cross terms": curve_name(SPLIT, "signed_share", "gradient", "v1"),
        "decay, last interval": curve_name(SPLIT, "interval_share", "weight_decay"),
        "overlap of v₁ with θ": curve_name(SPLIT, "overlap", "v1"),
    }
    rows = [
        (
            f"{phase}, {group.when(names.values(), step)}",
            *(share_words(group.at(name, step)) for name in names.values()),
        )
        for phase, step in group.regime.phases.items()
    ]
    caption = (
        "Runs with decay; means over seeds with 95 % t intervals. The published multi-seed table "
        "takes the last interval alone, the others the whole window, under one name."
    )
    return [Table(("phase", *names), rows, caption)]
