"""Sections on what lies in small bases: ratios by phase, attention and dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spectraledge.experiments.curves_over_steps import Colours, over_steps
from spectraledge.experiments.execution_subspace.orthogonal_curvature_claims import (
    RANGE,
    band_of,
    by_phase,
)
from spectraledge.experiments.execution_subspace.projection_curves import (
    BASES,
    PUBLISHED_RATIOS,
    PUBLISHED_TRAJECTORY,
    SWEPT,
)
from spectraledge.experiments.execution_subspace.training_phases import (
    PHASES,
    Cells,
    count_records,
    median_of,
    ratio_interval,
    seed_number,
)
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.study_sections import BAND
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Curve, Figure, Reference, Section, Table, curves

__all__ = ["attention_section", "phase_section", "sweep_section"]

MEDIANS = "Medians over the records of a phase, then means over seeds with 95 % t intervals"


def phase_section(
    basis: str, conditions: Mapping[str, Cells], grokking: Cells, colours: Colours
) -> Section:
    """Ratios of a basis over training, by phase, and under the controls."""
    prefix = BASES[basis]
    lower, upper = band_of(grokking, basis)
    marks = [Reference(1.0, "random", "y")]
    if np.isfinite(upper):
        marks += [Reference(end, f"95 % of random, {end:.2f}", "y") for end in (lower, upper)]
    shown = next(iter(conditions.values()), {})
    drawn = [
        *over_steps(
            shown,
            f"{prefix}/ratio",
            colours,
            title=f"Ratio over training, {basis} basis",
            caption=f"‖Bᵀδ‖/‖δ‖ over √(K/P), with decay. {BAND}",
            label="exec/random",
            references=tuple(marks),
        ),
        *over_steps(
            shown,
            f"{prefix}/ratio_matched",
            colours,
            title=f"Matched ratio over training, {basis} basis",
            caption="The same against random directions inside the same matrices.",
            label="exec/matched random",
            references=(Reference(1.0, "random", "y"),),
        ),
        *_controls_figure(basis, grokking),
    ]
    return Section(_HEADINGS[basis], _TEXTS[basis], [*drawn, _phase_table(basis, conditions)])


_HEADINGS = {
    "trajectory": "The basis that was described: principal directions of the trajectory",
    "singular": "The basis that was measured: singular directions of the current weights",
}
_READING = (
    "A ratio of 1 is that of a random subspace; above 1 the curvature prefers the basis, which is "
    "evidence against orthogonality. The band of random subspaces is that of one subspace and one "
    "bracket, after the Beta law; a mean over pairs varies less. Matched: against random "
    "directions inside the same matrices, so that it does not matter which share of the curvature "
    "is in attention at all."
)
_TEXTS = {
    "trajectory": (
        "Two leading principal directions of every attention matrix. " + _READING + " In the "
        "released runs this ratio is 1.03 on average; it is not reported."
    ),
    "singular": (
        "Three leading singular directions of every attention matrix as it is, anew at each "
        "record. The published 1.8 to 2.9 are medians of the memorization phase on this basis, one "
        "seed, and the 2.9 is a single record. " + _READING
    ),
}


def _controls_figure(basis: str, cells: Cells) -> list[Figure]:
    prefix = BASES[basis]
    kinds = {
        "against any directions": "ratio",
        "as published, ratio of medians": "ratio_published",
        "matched, inside the same matrices": "ratio_matched",
    }
    found = {kind: by_phase(cells, f"{prefix}/{name}") for kind, name in kinds.items()}
    estimates = [
        Estimate(phase, kind, found[kind][phase])
        for phase in PHASES
        for kind in kinds
        if phase in found[kind]
    ]
    if not estimates:
        return []
    marks = [Reference(1.0, "random"), *(Reference(end, f"{end:g}") for end in RANGE)]
    caption = (
        "Runs that can generalise, with decay: medians over the records of a phase, geometric "
        "means over operations, then over seeds, with t intervals that hold for all phases at once "
        "(on a logarithmic scale). Dashed lines: random, and the published range."
    )
    title = f"Ratio by phase and control, {basis} basis"
    return [
        forest_figure(
            estimates,
            title=title,
            caption=caption,
            label="exec/random",
            references=marks,
            shown=(0.0, 3.0),
        )
    ]


def _phase_table(basis: str, conditions: Mapping[str, Cells]) -> Table:
    rows = [
        (condition, operation, *_phase_cells(rows, BASES[basis]))
        for condition, cells in conditions.items()
        for operation, rows in cells.items()
    ]
    columns = ("runs", "operation", *PHASES, "all records")
    caption = (
        f"{MEDIANS} of logarithms; in brackets how many records of all seeds. "
        f"{_PUBLISHED_ROWS[basis]}"
    )
    return Table(columns, [*rows, *_published_rows(basis)], caption)


_PUBLISHED_ROWS = {
    "trajectory": "Published: medians of all records of each of three seeds, with decay, from the "
    "released runs; without decay they are 1.17 to 1.48.",
    "singular": "Published: medians of one seed, with decay.",
}


def _published_rows(basis: str) -> list[tuple[str, ...]]:
    if basis == "singular":
        return [
            ("published", operation, *(f"{value:.2f}" for value in values), "–")
            for operation, values in PUBLISHED_RATIOS.items()
        ]
    blank = ("–",) * len(PHASES)
    return [
        ("published", operation, *blank, ", ".join(f"{value:.2f}" for value in values))
        for operation, values in PUBLISHED_TRAJECTORY.items()
    ]


def _phase_cells(rows: Mapping[int, Row], prefix: str) -> list[str]:
    name = f"{prefix}/ratio"
    cells = []
    for phase in (*PHASES, None):
        found = ratio_interval([median_of(name, phase)(row) for row in rows.values()])
        count = count_records(rows, name, phase)
        cells.append(f"{short(found)} ({count})" if found else "–")
    return cells


def attention_section(cells: Cells, colours: Colours) -> Section:
    """Where the commutators live."""
    name = f"{BASES['singular']}/inside"
    text = (
        "Both bases span attention matrices only. Whatever share of a commutator lies in "
        "embeddings, MLPs, norms and head counts as outside, so the ratio against all parameters "
        "falls when the curvature leaves attention, wherever it points inside. Published (single "
        "precision): 0.30 at step 0, 0.77 at step 200, 0.70, then 0.5 when it generalises; at step "
        "0 and after generalising that is mostly rounding noise. The ratio "
        "on the right is immune to it."
    )
    figures = over_steps(
        cells,
        name,
        colours,
        title="Attention fraction",
        caption=f"Root mean share of ‖δ‖² on the attention matrices, with decay. {BAND}",
        label="‖δ in attention‖/‖δ‖",
        log=False,
        shown=(0.0, 1.0),
    ) + over_steps(
        cells,
        f"{BASES['singular']}/ratio_inside",
        colours,
        title="Ratio among the attention parameters alone, singular basis",
        caption="As if only the attention matrices existed, for δ and for the random subspace.",
        label="exec/random inside attention",
        references=(Reference(1.0, "random", "y"),),
    )
    rows = [
        (operation, *(_share(rows, name, phase) for phase in PHASES))
        for operation, rows in cells.items()
    ]
    table = Table(("operation", *PHASES), rows, f"With decay. {MEDIANS}.")
    return Section("How much of the curvature is in attention", text, [*figures, table])


def _share(rows: Mapping[int, Row], name: str, phase: str) -> str:
    found = mean_of((median_of(name, phase)(row) for row in rows.values()), low=0.0, high=1.0)
    return share_words(found)


def sweep_section(cells: Cells, colours: Colours) -> Section:
    """Ratios against the number of directions per matrix, by phase."""
    items: list[Figure | Table] = []
    for basis, prefix in BASES.items():
        series = [c for phase in PHASES if (c := _sweep_curve(cells, prefix, phase)) is not None]
        if not series:
            continue
        items.append(
            curves(
                series,
                title=f"Dimension sweep, {basis} basis",
                caption="Runs that can generalise, with decay. Thin lines are seeds (medians over "
                "records, geometric means over operations), the thick line their geometric mean, "
                "the band its 95 % t interval.",
                colours=colours,
                axes=Axes("directions per matrix", "exec/random", log_x=True, log_y=True),
                references=[Reference(1.0, "random", "y")],
                half=True,
            )
        )
    text = (
        "The same commutators on fewer and more directions. The published sweep is on singular "
        "directions, one seed: for addition 2.6 to 3.1 early and 2.6 falling to 1.6 in "
        "memorization from K = 8 to 256, 0.4 to 0.7 from generalisation on. The trajectory has no "
        "more directions than snapshots so far, less one."
    )
    return Section("From one direction per matrix to 32", text, items)


def _sweep_curve(cells: Cells, prefix: str, phase: str) -> Curve | None:
    seeds = sorted({seed for rows in cells.values() for seed in rows})
    numbers = [median_of(f"{prefix}/sweep_ratio:{count}", phase) for count in SWEPT]
    values = np.array([[seed_number(cells, seed, n) for n in numbers] for seed in seeds])
    kept = np.isfinite(values).any(1) if values.size else np.zeros(0, dtype=bool)
    if not kept.any():
        return None
    values = values[kept]
    ends = [ratio_interval(column.tolist()) for column in values.T]
    lower, centre, upper = (
        np.array([np.nan if i is None else getattr(i, end) for i in ends])
        for end in ("lower", "centre", "upper")
    )
    bounded = len(values) > 2 and np.isfinite(upper).all()
    return Curve(
        phase,
        np.array(SWEPT),
        values,
        centre=centre,
        lower=lower if bounded else None,
        upper=upper if bounded else None,
        seeds=tuple(seed for seed, there in zip(seeds, kept) if there),
    )
