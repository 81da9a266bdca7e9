"""Sections of the page of `is_collapse_causal`: injections, projections and the release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spectraledge.experiments.low_rank_decay.collapse_effects import (
    ACCURACY,
    AFTER,
    L2,
    PLAIN,
    RANDOM,
    RANK,
    RELEASED,
    TAIL,
    Findings,
    Injection,
)
from spectraledge.experiments.low_rank_decay.outcomes import generalised_at
from spectraledge.experiments.low_rank_decay.paired_comparisons import (
    compare,
    differences_figure,
    share_figure,
    times_figure,
    times_table,
)
from spectraledge.experiments.row_values import (
    last_value,
    mean_of,
    share_words,
    short,
    value_at,
)
from spectraledge.experiments.study import GENERALISED
from spectraledge.experiments.study_sections import BAND, Rows, row_curve
from spectraledge.lab.rows import Row
from spectraledge.report import (
    Axes,
    Figure,
    Reference,
    Section,
    Table,
    arm_colours,
    curves,
)

__all__ = ["injection_section", "projection_section", "release_section"]


def injection_section(found: Findings) -> Section:
    """Accuracy and rank around the injections, over the seeds that had a solution to lose."""
    moments = {**found.injections[TAIL].moments, **found.injections[RANDOM].moments}
    arms = {arm: _aligned(found.conditions[arm], moments) for arm in (PLAIN, TAIL, RANDOM)}
    colours = arm_colours(list(arms))
    marked = [Reference(0.0, "injection")]
    span = (float(-AFTER), 2.0 * AFTER)
    steps = "steps after the injection"
    accuracy = Axes(steps, "validation accuracy", x_range=span, y_range=(-0.03, 1.03))
    rank = Axes(steps, "stable rank of Q and K", x_range=span)
    items: list[Figure | Table | None] = [
        _figure(arms, ACCURACY, "Accuracy around the injection", accuracy, colours, marked),
        _figure(arms, RANK, "Stable rank around the injection", rank, colours, marked),
        _injection_table(found.injections),
    ]
    text = (
        "The part of the initial Q and K outside of the "
        f"{found.kept} leading directions, which low-rank decay had removed, is added again, as "
        "long as the whole matrix; for comparison a random tail of the same length. Low-rank decay "
        "goes on. Only seeds that had generalised and were still right just before say whether "
        f"the tail matters; the others are left out. {BAND}"
    )
    return Section("Putting the tail back", text, [item for item in items if item])


def _aligned(rows: Rows, moments: Mapping[int, int]) -> Rows:
    """Some seeds around a moment of each, with steps counted from it."""
    return {seed: _around(rows[seed], at) for seed, at in moments.items() if seed in rows}


def _around(row: Row, at: int) -> Row:
    # The steps of an instrument stand beside its curves.
    folders = {name: name.rpartition("step")[0] for name in row.curves if name.endswith("step")}
    found: dict[str, Any] = {}
    for step, folder in folders.items():
        offset = row.curves[step] - at
        kept = (offset >= -AFTER) & (offset <= 2 * AFTER)
        own = (n for n in row.curves if n.rpartition("/")[0] == folder.rstrip("/"))
        found |= {name: row.curves[name][kept] for name in own} | {step: offset[kept]}
    return replace(row, curves=found)


def _injection_table(injections: Mapping[str, Injection]) -> Table:
    rows: list[tuple[str | int, ...]] = [
        (
            arm,
            i.known,
            i.generalised,
            len(i.moments),
            ", ".join(str(step) for step in sorted(set(i.moments.values()))) or "–",
            *(share_words(v) for v in (i.before, i.after, i.later, i.fall, i.fall_later)),
            f"{short(i.rank_before)} → {short(i.rank_after)}",
        )
        for arm, i in injections.items()
    ]
    columns = (
        "condition", "seeds", "had generalised", "still right", "at step",
        "accuracy before", "just after",
        f"{AFTER} steps after", f"minus {PLAIN}, just after", f"minus {PLAIN}, {AFTER} after",
        "stable rank before → after",
    )  # fmt: skip
    caption = (
        "Means over the seeds that were still right, with 95 % t intervals; differences are "
        "paired by seed, at the same step. Before: last record ahead of the injection; just "
        "after: the record of its own step. The rank is measured less often than accuracy."
    )
    return Table(columns, rows, caption)


def projection_section(found: Findings, kind: str) -> Section:
    """Times of L2 under projections of one kind."""
    arms = {L2: found.conditions[L2], **found.projected[kind]}
    # The two kinds of projection share the colours of the ranks.
    colours = dict(zip(arms, arm_colours([f"{k}" for k in range(len(arms))]).values()))
    family, budget = found.families[kind], found.budget
    marked = [Reference(float(found.early), "projection")]
    rank = Axes(y_label="stable rank of Q and K", log_y=True)
    items = [
        times_figure(arms, budget, colours, "Step of generalisation"),
        differences_figure(family, budget, colours, L2),
        share_figure(arms, budget, colours),
        _figure(arms, RANK, "Stable rank", rank, colours, marked),
        times_table(arms, family, budget, L2, _more(arms)),
    ]
    words = {
        "once": f"At step {found.early} Q and K are replaced by their best approximation of rank "
        "k, a single time; L2 goes on and may fill the rank again.",
        "kept": f"From step {found.early} on Q and K are projected to rank k after every step.",
    }[kind]
    title = {"once": "Projecting L2 runs once", "kept": "Holding L2 runs at low rank"}[kind]
    return Section(title, f"{words} {BAND}", [item for item in items if item])


def release_section(found: Findings) -> Section:
    """Times when low-rank decay ends early."""
    arms = {arm: found.conditions[arm] for arm in (PLAIN, RELEASED, L2)}
    colours = arm_colours(list(arms))
    others = {arm: rows for arm, rows in arms.items() if arm != PLAIN}
    against = compare(others, arms[PLAIN], found.budget)
    marked = [Reference(float(found.early), "release")]
    rank = Axes(y_label="stable rank of Q and K", log_y=True)
    items = [
        times_figure(arms, found.budget, colours, "Step of generalisation"),
        _figure(arms, RANK, "Stable rank", rank, colours, marked),
        share_figure(arms, found.budget, colours),
        times_table(arms, against, found.budget, PLAIN, _more(arms)),
    ]
    text = (
        f"Low-rank decay acts until step {found.early} only; then L2 of the same strength takes "
        f"its place. {BAND}"
    )
    return Section("Releasing low-rank decay early", text, [item for item in items if item])


def _more(arms: Mapping[str, Rows]) -> dict[str, dict[str, str]]:
    """Further columns: the rank when runs generalise, and how many are right at the very end."""
    least = GENERALISED.threshold
    known = {arm: rows for arm, rows in arms.items() if rows}
    ranks = {
        arm: [value_at(row, RANK, step) for row in rows.values() if (step := generalised_at(row))]
        for arm, rows in known.items()
    }
    ends = {
        arm: sum(last_value(row, ACCURACY) >= least for row in rows.values())
        for arm, rows in known.items()
    }
    return {
        "stable rank then": {arm: short(mean_of(values, 0.0)) for arm, values in ranks.items()},
        f"still {least:g} at the end": {a: f"{n} of {len(arms[a])}" for a, n in ends.items()},
    }


def _figure(
    arms: Mapping[str, Rows],
    name: str,
    title: str,
    axes: Axes,
    colours: Mapping[str, str],
    references: Sequence[Reference],
) -> Figure | None:
    limits = (0.0, 1.0) if name == ACCURACY else (0.0, float("inf"))
    found = [row_curve(a, r, name, log=axes.log_y, limits=limits) for a, r in arms.items()]
    drawn = [curve for curve in found if curve is not None]
    if not drawn:
        return None
    caption = "Every seed, and their mean."
    return curves(
        drawn,
        title=title,
        caption=caption,
        colours=colours,
        axes=axes,
        references=references,
        half=True,
    )
