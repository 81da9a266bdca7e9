"""Figures and tables of `flat_yet_critical`."""

from __future__ import annotations

from spectraledge.experiments.row_values import share_words, short
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    CURVES,
    LOGITS,
    EdgeGroup,
    curve_name,
)
from spectraledge.experiments.spectral_edge.edge_study import Groups, drawn
from spectraledge.experiments.spectral_edge.flat_claims import (
    curvature_ratio,
    ratio_at,
    removal,
)
from spectraledge.report import Reference, Section, Table

__all__ = ["flat_sections"]

REMOVALS = ("edge", "bulk", "matched", "shrink", "additive", "displacement", "window", "random")
DIRECTIONS = ("v1", "v2", "v3", "v4", "theta", "random1")


def flat_sections(groups: Groups) -> list[Section]:
    """One section a task."""
    return [_task_section(group) for group in groups.values()]


def _task_section(group: EdgeGroup) -> Section:
    equal = Reference(1.0, "as much", axis="y")
    figures = [
        *drawn(group, removal("accuracy_change", "edge"), "Accuracy without the edge", "change"),
        *drawn(
            group, removal("accuracy_change", "matched"), "Accuracy without as much at random",
            "change",
        ),
        *drawn(
            group, curve_name(ABLATION, "edge_over_matched_loss"), "Loss, edge over matched",
            "ratio", log=True, references=(equal,),
        ),
        *drawn(
            group, curve_name(LOGITS, "gamma", "v1"), "Response along v₁ over random", "γ",
            log=True, references=(equal,),
        ),
    ]  # fmt: skip
    return Section(group.name, "", [*figures, *_removal_tables(group), *_direction_tables(group)])


def _removal_tables(group: EdgeGroup) -> list[Table]:
    tables = []
    for condition, rows in group.rows.items():
        if not rows:
            continue
        cells = [
            (
                f"{phase}, step {step}",
                *(
                    short(group.at(removal("accuracy_change", r), step, condition))
                    for r in REMOVALS
                ),
                share_words(group.at(removal("removed", "edge"), step, condition)),
                short(ratio_at(group, step, condition)),
            )
            for phase, step in group.regime.functional_steps.items()
        ]
        columns = (condition, *REMOVALS, "f of the edge", "edge over matched")
        tables.append(Table(columns, cells, "Change of accuracy; means over seeds, t intervals."))
    return tables


def _direction_tables(group: EdgeGroup) -> list[Table]:
    tables = []
    for condition, rows in group.rows.items():
        if not rows:
            continue
        cells = [
            (
                f"{phase}, step {step}",
                *(
                    short(group.at(curve_name(CURVES, "curvature", d), step, condition))
                    for d in DIRECTIONS
                ),
                short(curvature_ratio(group, "v1", step, condition)),
            )
            for phase, step in group.regime.functional_steps.items()
        ]
        columns = (condition, *DIRECTIONS, "v1 over random")
        caption = "Exact curvature of the held-out loss along unit directions."
        tables.append(Table(columns, cells, caption))
    return tables
