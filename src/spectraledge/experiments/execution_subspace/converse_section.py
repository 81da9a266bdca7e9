"""Section on the converse: whether the trajectory moves along the commutators."""

from __future__ import annotations

from collections.abc import Mapping

from spectraledge.experiments.curves_over_steps import Colours, over_steps
from spectraledge.experiments.execution_subspace.base_runs import DECAY
from spectraledge.experiments.execution_subspace.orthogonal_curvature_claims import by_phase
from spectraledge.experiments.execution_subspace.projection_curves import (
    ALIGNMENT,
    PUBLISHED_COSINES,
    VARIANTS,
)
from spectraledge.experiments.execution_subspace.training_phases import (
    PHASES,
    Cells,
    median_of,
    ratio_interval,
)
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study_sections import BAND
from spectraledge.lab.rows import Row
from spectraledge.report import Figure, Reference, Section, Table

__all__ = ["converse_section"]

TEXT = (
    "Here the roles are exchanged: the move Δθ since the last snapshot is compared with the "
    "commutators at its end, one by one (mean |cos|) and with their span of C dimensions. A random "
    "move has a share ‖CᵀΔθ‖/‖Δθ‖ of about √(C/P), with a median 6 % below it for C = 6. The "
    "published figure draws C/P, the mean of the square, and so shows any move far above its "
    "baseline.\n\n"
    "With decay the early moves are mostly the initial weights shrinking, which is no learning. So "
    "the share is repeated without what decay did, and among the attention matrices alone, which "
    "have fewer parameters and their own baseline. Moves are of 100 steps here, of 200 to 500 in "
    "the paper; runs without decay have no such part."
)


def converse_section(conditions: Mapping[str, Cells], grokking: Cells, colours: Colours) -> Section:
    """Alignment over training, by phase and variant, and beside the published medians."""
    shown = next(iter(conditions.values()), {})
    figures: list[Figure | Table] = [
        figure
        for words, variant in VARIANTS.items()
        for figure in over_steps(
            shown,
            f"{ALIGNMENT}/subspace_ratio:{variant}",
            colours,
            title=f"Share of the move in the span: {words}",
            caption=f"‖CᵀΔθ‖/‖Δθ‖ over √(C/P), with decay. {BAND}",
            label="share / random",
            references=(Reference(1.0, "random", "y"),),
        )
    ]
    items = [*figures, *_phases_figure(grokking), _table(conditions)]
    return Section("The converse: does the trajectory move along the commutators?", TEXT, items)


def _phases_figure(cells: Cells) -> list[Figure]:
    found = {
        words: by_phase(cells, f"{ALIGNMENT}/subspace_ratio:{variant}")
        for words, variant in VARIANTS.items()
    }
    estimates = [
        Estimate(phase, words, found[words][phase])
        for phase in PHASES
        for words in VARIANTS
        if phase in found[words]
    ]
    if not estimates:
        return []
    caption = (
        "Runs that can generalise, with decay: medians over the records of a phase, geometric "
        "means over operations, then over seeds, with t intervals that hold for all phases at once "
        "(on a logarithmic scale)."
    )
    return [
        forest_figure(
            estimates,
            title="Share of the move by phase",
            caption=caption,
            label="share / √(C/P)",
            references=[Reference(1.0, "random")],
            shown=(0.0, 2.0),
        )
    ]


def _table(conditions: Mapping[str, Cells]) -> Table:
    columns = (
        "runs",
        "operation",
        "mean |cos|, published statistic",
        "published",
        *(f"share, {words}" for words in VARIANTS),
        "share over C/P, as drawn",
    )
    rows = [
        _table_row(condition, operation, rows)
        for condition, cells in conditions.items()
        for operation, rows in cells.items()
    ]
    caption = (
        "Each over what a random move has; medians over all records, then geometric means over "
        "seeds with 95 % t intervals."
    )
    return Table(columns, rows, caption)


def _table_row(condition: str, operation: str, rows: Mapping[int, Row]) -> tuple[str, ...]:
    published = PUBLISHED_COSINES.get(operation, "–")
    if condition != DECAY:
        published = "1.2 to 1.9 over operations"
    return (
        condition,
        operation,
        _median(rows, "cosine_ratio:all"),
        published,
        *(_median(rows, f"subspace_ratio:{variant}") for variant in VARIANTS.values()),
        _median(rows, "subspace_ratio_published:all"),
    )


def _median(rows: Mapping[int, Row], output: str) -> str:
    number = median_of(f"{ALIGNMENT}/{output}")
    return short(ratio_interval([number(row) for row in rows.values()]))
