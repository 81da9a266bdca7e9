"""Figures and tables of `flat_yet_critical`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spectraledge.experiments.row_values import short
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
    excess_at,
    removal,
)
from spectraledge.report import Reference, Section, Table
from spectraledge.series import Interval

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
    names = {what: removal("accuracy_change", what) for what in REMOVALS}
    names["f of the edge"] = removal("removed", "edge")
    caption = "Change of accuracy; means over seeds, t intervals."
    return _phase_tables(group, names, "lost beyond matched", excess_at, caption)


def _direction_tables(group: EdgeGroup) -> list[Table]:
    names = {direction: curve_name(CURVES, "curvature", direction) for direction in DIRECTIONS}
    caption = "Exact curvature of the held-out loss along unit directions."
    return _phase_tables(group, names, "v1 over random", _edge_curvature_ratio, caption)


def _edge_curvature_ratio(group: EdgeGroup, step: int, condition: str) -> Interval | None:
    return curvature_ratio(group, "v1", step, condition)


def _phase_tables(
    group: EdgeGroup,
    names: Mapping[str, str],
    last: str,
    ratio: Callable[[EdgeGroup, int, str], Interval | None],
    caption: str,
) -> list[Table]:
    """A table for every condition: curves by phase, and a ratio in the last column."""
    return [
        Table(
            (condition, *names, last),
            [
                (
                    f"{phase}, {group.when(names.values(), step, condition)}",
                    *(short(group.at(name, step, condition)) for name in names.values()),
                    short(ratio(group, step, condition)),
                )
                for phase, step in group.regime.functional_steps.items()
            ],
            caption,
        )
        for condition, rows in group.rows.items()
        if rows
    ]
