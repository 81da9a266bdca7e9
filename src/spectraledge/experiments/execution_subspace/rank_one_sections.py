"""Sections of `rank_one_trajectory` on shares and what explains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan

import numpy as np

from spectraledge.experiments.execution_subspace.base_runs import DECAY
from spectraledge.experiments.execution_subspace.released_shares import (
    MATRIX_KINDS,
    MATRIX_MEANS,
    released_interval,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    Run,
    curve_name,
    seed_mean,
)
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.row_values import share_words, short
from spectraledge.experiments.study_sections import BAND, row_curve
from spectraledge.report import (
    Axes,
    Curve,
    Figure,
    Grid,
    Reference,
    Section,
    Table,
    curves,
    heat_map,
)

__all__ = ["arm_curves", "over_steps", "share_sections"]

OURS, RELEASED = "ours", "released, published size"
CONTROLS = {
    "first component": "first_share",
    "without the decayed start": "first_share_without_decayed_start",
    "random walk": "random_walk_share",
    "walk that forgets its start": "ornstein_uhlenbeck_share",
}
ENDS = "Read where the published runs stopped; means over seeds with 95 % t intervals."
DIFFUSION = Reference(0.608, "diffusion 60.8 %", axis="y")


def share_sections(cells: Cells, colours: Mapping[str, str]) -> list[Section]:
    """Shares, the random walk, and decay of the initial weights."""
    return [_shares(cells), _walk(cells, colours), _start(cells), _scopes(cells, colours)]


def arm_curves(
    cells: Cells, output: str, scope: str, operations: Sequence[str], decay: str = DECAY
) -> list[Curve]:
    """A quantity over steps, every seed, of the operations that have it."""
    name = curve_name(output, scope)
    found = [row_curve(o, cells.rows(o, decay), name, limits=(0, 1)) for o in operations]
    return [curve for curve in found if curve is not None and np.isfinite(curve.values).any()]


def over_steps(
    drawn: Sequence[Curve],
    controls: Sequence[Curve],
    colours: Mapping[str, str],
    *,
    title: str,
    caption: str,
    half: bool = True,
) -> list[Figure]:
    """Shares over steps, with controls as dashed means; no figure without curves."""
    dashed = [
        replace(
            c, values=c.centre[None], lower=None, upper=None, seeds=(), dash="dash",
            quantity="random walk",
        )
        for c in controls
        if c.centre is not None and np.isfinite(c.centre).any()
    ]  # fmt: skip
    if not drawn:
        return []
    axes = Axes(y_label="share of the variance", y_range=(0.0, 1.0))
    return [
        curves(
            [*drawn, *dashed],
            title=title,
            caption=caption,
            colours=colours,
            axes=axes,
            references=[DIFFUSION],
            half=half,
        )
    ]


def _shares(cells: Cells) -> Section:
    text = (
        f"{ENDS} The hard operations are read at their end, after 5000 and not 200,000 steps, "
        "those that should generalise only if they did. Released intervals are those of three "
        "seeds; they are of the published size and are no target for another. The published "
        "range of 68 to 83 % takes its lower end from layer means and its upper end from single "
        "matrices. Even pure diffusion gives 60.8 % to the first component of a long walk, "
        "15.2 % to the second and 6.8 % to the third."
    )
    return Section("What the first component explains", text, [*_means_forest(cells),
                   *_matrix_map(cells), _share_table(cells)])  # fmt: skip


def _means_forest(cells: Cells) -> list[Figure]:
    estimates = []
    for operation in cells.regime.operations:
        for layer in cells.layers:
            row = f"{operation}, layer {layer}"
            own = seed_mean(_ended(cells, operation), "first_share", [f"layer{layer} mean"])
            given = released_interval(operation, layer)
            estimates += [Estimate(row, OURS, own)] if own else []
            estimates += [Estimate(row, RELEASED, given)] if given else []
    if not any(e.condition == OURS for e in estimates):
        return []
    estimates.sort(key=lambda e: e.condition != OURS)
    return [
        forest_figure(
            estimates,
            title="First component, mean over the matrices of a layer",
            caption="Dots are means over seeds, lines 95 % t intervals; hard operations last.",
            label="share of the variance",
            references=[Reference(0.68, "68 %"), Reference(0.83, "83 %")],
            shown=(0.4, 0.9),
        )
    ]


def _ended(cells: Cells, operation: str) -> list[Run]:
    hard = operation in cells.hard
    return cells.runs([operation]) if hard else cells.generalised([operation])


def _matrix_map(cells: Cells) -> list[Figure]:
    scopes, operations = cells.matrices(), cells.regime.operations
    own = [[_centre(cells, operation, scope) for operation in operations] for scope in scopes]
    if not np.isfinite(np.array(own)).any():
        return []
    released = [
        [MATRIX_MEANS[operation, layer][MATRIX_KINDS.index(kind)] / 100 for operation in operations]
        for layer in cells.layers
        for kind in MATRIX_KINDS
    ]
    return [
        heat_map(
            [Grid(OURS, operations, np.array(own)), Grid(RELEASED, operations, np.array(released))],
            rows=scopes,
            title="First component of single matrices",
            caption=f"Share of the variance along the first component. {ENDS}",
            quantity="share",
            row_label="matrix",
            limits=(0.3, 1.0),
        )
    ]


def _centre(cells: Cells, operation: str, scope: str) -> float:
    found = seed_mean(_ended(cells, operation), "first_share", [scope])
    return nan if found is None else found.centre


def _share_table(cells: Cells) -> Table:
    outputs = {
        "PC1": "first_share", "PC2": "component 2", "PC3": "component 3",
        "random walk": "random_walk_share", "excess": "excess",
    }  # fmt: skip
    rows: list[tuple[str | int, ...]] = []
    for operation in cells.regime.operations:
        runs = _ended(cells, operation)
        for scope in cells.means:
            shares = [share_words(seed_mean(runs, output, [scope])) for output in outputs.values()]
            z = short(seed_mean(runs, "z_score", [scope]))
            rows.append((operation, scope, len(runs), *shares, z))
    caption = (
        f"{ENDS} z is the published form, the excess over the deviation of the walk, which falls "
        "as 1/√D with the number of parameters; the excess itself is what can be compared."
    )
    return Table(("operation", "scope", "runs", *outputs, "z"), rows, caption)


def _walk(cells: Cells, colours: Mapping[str, str]) -> Section:
    text = (
        "The walk takes steps of the same lengths in independent random directions. Its expected "
        "share follows from the lengths alone and scatters by a fraction of a point, so that "
        "any excess is many deviations. Steps shorten while training goes on, which is why "
        "the walk stays below the 60.8 % of equal steps."
    )
    scope = f"{cells.last_layer} mean"
    every = cells.regime.operations
    figures = over_steps(
        arm_curves(cells, "first_share", scope, every),
        arm_curves(cells, "random_walk_share", scope, every),
        colours,
        title="Last layer, mean over matrices, from the start to each step",
        caption=f"First component; dashed: the random walk of the same step lengths. {BAND}",
        half=False,
    )
    return Section("Against the random walk", text, figures)


def _start(cells: Cells) -> Section:
    text = (
        f"{ENDS} Mean over the grokking operations. With decay λ and learning rate η the initial "
        "weights alone leave W_0 (1 − ηλ)^t, a curve along exactly one direction that has "
        "nothing to do with the task. What is left once it is taken out is the part of the share "
        "that training made. The walk that forgets its start decays towards zero and takes "
        "random steps of the same lengths."
    )
    return Section("What decay of the initial weights explains", text, [*_start_forest(cells),
                   _start_table(cells)])  # fmt: skip


def _start_forest(cells: Cells) -> list[Figure]:
    estimates = [
        Estimate(scope, condition, found)
        for condition, output in CONTROLS.items()
        for scope in cells.matrices()
        if (found := seed_mean(cells.generalised(), output, [scope])) is not None
    ]
    if not estimates:
        return []
    return [
        forest_figure(
            estimates,
            title="First component beside its controls",
            caption=f"Each attention matrix. {ENDS}",
            label="share of the variance",
            references=[Reference(0.608, "diffusion 60.8 %")],
            shown=(0.4, 1.0),
        )
    ]


def _start_table(cells: Cells) -> Table:
    outputs = CONTROLS | {"along W_0": "start_share", "|cos(PC1, W_0)|": "start_cosine"}
    runs = cells.generalised()
    rows = [
        (scope, *(share_words(seed_mean(runs, output, [scope])) for output in outputs.values()))
        for scope in (*cells.matrices(), *cells.means)
    ]
    caption = (
        f"{ENDS} Along W_0: share of the trajectory's variance. The walk is that of the whole "
        "trajectory's step lengths, also beside what is left without the decayed start."
    )
    return Table(("scope", *outputs), rows, caption)


def _scopes(cells: Cells, colours: Mapping[str, str]) -> Section:
    scopes = [f"layer{layer}" for layer in cells.layers] + ["attention", "model"]
    outputs = CONTROLS | {"|cos(PC1, W_0)|": "start_cosine"}
    runs = cells.generalised()
    rows = [
        (scope, *(share_words(seed_mean(runs, output, [scope])) for output in outputs.values()))
        for scope in scopes
    ]
    text = (
        "Matrices taken together as one vector, and every parameter: embeddings are most of the "
        "norm of the whole model, and decay shrinks them along their start."
    )
    table = Table(("scope", *outputs), rows, f"{ENDS} Mean over the grokking operations.")
    every = cells.regime.operations
    figures = [
        figure
        for scope, name in (("attention", "All attention weights"), ("model", "All parameters"))
        for figure in over_steps(
            arm_curves(cells, "first_share", scope, every),
            arm_curves(cells, "random_walk_share", scope, every),
            colours,
            title=f"{name} as one vector",
            caption=f"First component; dashed the random walk. {BAND}",
        )
    ]
    return Section("All attention weights, and the whole model", text, [*figures, table])
