"""Sections of `rank_one_trajectory` on windows, horizons, runs without decay, and what was run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY
from spectraledge.experiments.execution_subspace.rank_one_horizon_claims import (
    end_difference,
    equal_difference,
)
from spectraledge.experiments.execution_subspace.rank_one_sections import arm_curves, over_steps
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    Run,
    per_seed,
    share_at,
)
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.study_sections import BAND
from spectraledge.report import Figure, Reference, Section, Table

__all__ = ["horizon_sections", "run_section"]

HORIZONS = (1000, 2000, 3000, 4000, 5000)
# Points of the rolling window, and what diffusion of equal steps gives to one component of them:
# 1 / (4 sin²(π/2T)) of (T² − 1) / 6.
ROLLING = 10
ROLLING_DIFFUSION = 1 / (4 * np.sin(np.pi / (2 * ROLLING)) ** 2) / ((ROLLING**2 - 1) / 6)


def horizon_sections(cells: Cells, colours: Mapping[str, str]) -> list[Section]:
    """Expanding and rolling windows, equal horizons, and runs without decay."""
    return [_windows(cells, colours), _horizons(cells), _without_decay(cells, colours)]


def _windows(cells: Cells, colours: Mapping[str, str]) -> Section:
    scope, every = f"{cells.last_layer}.attention.value", cells.regime.operations
    figures = over_steps(
        arm_curves(cells, "first_share", scope, every),
        arm_curves(cells, "random_walk_share", scope, every),
        colours,
        title="Expanding window: W_V of the last layer",
        caption=f"First component from the start to each step; dashed the random walk. {BAND}",
    )
    rolling = over_steps(
        arm_curves(cells, "rolling_first_share", f"{cells.last_layer} mean", every),
        [],
        colours,
        title="Rolling window: last layer, mean over matrices",
        caption=f"First component of the last {ROLLING} snapshots. {BAND}",
    )
    text = (
        "A window that starts at step 0 keeps the first transient in all of its shares. A rolling "
        f"window of {ROLLING} snapshots, which was not published, shows what moves at the time; "
        f"diffusion of equal steps gives its first component {ROLLING_DIFFUSION:.1%}."
    )
    if not rolling:
        text += " No rolling window is recorded in these rows."
    return Section("Expanding and rolling windows", text, [*figures, *rolling])


def _horizons(cells: Cells) -> Section:
    text = (
        "The published comparison sets runs of some 3000 steps against runs of 200,000. Here all "
        "runs are read at the same step. A run that stopped earlier is left out of later columns, "
        "which then show the slower seeds only; the differences below are paired by seed, each at "
        "the step where the generalising run stopped."
    )
    tables = [_horizon_table(cells, scope) for scope in (cells.means[-1], _value(cells))]
    return Section("Equal horizons", text, [*_difference_forest(cells), *tables])


def _value(cells: Cells) -> str:
    return f"{cells.last_layer}.attention.value"


def _horizon_table(cells: Cells, scope: str) -> Table:
    rows = [
        (operation, decay, *(_at(cells, operation, decay, scope, step) for step in HORIZONS))
        for decay in (DECAY, NO_DECAY)
        for operation in cells.regime.operations
    ]
    columns = ("operation", "decay", *(f"step {step}" for step in HORIZONS))
    caption = (
        f"First component of {scope} from the start to each step; mean over the seeds that got "
        "there, with 95 % t intervals."
    )
    return Table(columns, rows, caption)


def _at(cells: Cells, operation: str, decay: str, scope: str, step: int) -> str:
    read = partial(share_at, output="first_share", scope=scope, step=step)
    return share_words(mean_of(per_seed(cells.runs([operation], decay), [read])))


def _difference_forest(cells: Cells) -> list[Figure]:
    estimates = []
    for condition, difference in (
        ("both cut where the first stopped", equal_difference),
        ("hard runs go on to their end", end_difference),
    ):
        for operation in cells.grokking:
            runs = cells.generalised([operation])
            for scope in cells.means:
                measure = partial(difference, cells, scopes=(scope,))
                found = mean_of(per_seed(runs, [measure]))
                if found:
                    estimates.append(Estimate(f"{operation}, {scope}", condition, found))
    if not estimates:
        return []
    return [
        forest_figure(
            estimates,
            title="First component of generalising runs less that of hard operations",
            caption="Paired by seed; means with 95 % t intervals. Hard runs end at step 5000 here.",
            label="difference of shares",
            references=[Reference(0.0, "equal"), Reference(0.24, "published gap")],
            shown=(-0.05, 0.26),
        )
    ]


def _without_decay(cells: Cells, colours: Mapping[str, str]) -> Section:
    scope, every = f"{cells.last_layer} mean", cells.regime.operations
    figures = [
        figure
        for decay in (DECAY, NO_DECAY)
        for figure in over_steps(
            arm_curves(cells, "first_share", scope, every, decay),
            arm_curves(cells, "random_walk_share", scope, every, decay),
            colours,
            title=f"Last layer, {decay}",
            caption=f"First component, mean over matrices; dashed the random walk. {BAND}",
        )
    ]
    text = (
        "Without decay nothing draws the weights away from their start, so the plain share is "
        "compared with the random walk and no start is taken out. The published runs without "
        "decay went on for 50,000 steps with a snapshot every 500; ours share the horizon and the "
        "cadence of those with decay."
    )
    return Section("Without decay", text, [*figures, _decay_table(cells)])


def _decay_table(cells: Cells) -> Table:
    outputs = {"PC1": "first_share", "random walk": "random_walk_share", "excess": "excess"}
    rows: list[tuple[str | int, ...]] = []
    for operation in cells.regime.operations:
        runs = cells.runs([operation], NO_DECAY)
        for scope in cells.means:
            values = [
                mean_of(per_seed(runs, [partial(share_at, output=output, scope=scope)]))
                for output in outputs.values()
            ]
            rows.append((operation, scope, len(runs), *map(share_words, values)))
    caption = "Runs without decay at their end; means over seeds with 95 % t intervals."
    return Table(("operation", "scope", "runs", *outputs), rows, caption)


def run_section(cells: Cells) -> Section:
    """What was run, how many generalised, and what more would add."""
    rows = [_cell(cells, operation, decay) for operation, decay in cells.specs]
    columns = ("operation", "decay", "wanted", "known", "generalised", "stopped at", "steps taken")
    regime = cells.regime
    text = (
        f"The {regime.name} regime: modulus {regime.modulus}, width {regime.model.width}, "
        f"{regime.model.layers} layers, batches of {regime.batch_size}, learning rate "
        f"{regime.lr:g}, decay {regime.weight_decay:g} of every parameter, snapshots every "
        f"{regime.record_every} steps. Runs end 1000 steps after they generalised, or at step "
        "5000. The accuracy is that of half of the held-out pairs.\n\n"
        "`--scale full` runs the published size with its three seeds, where released numbers can "
        "be compared one by one; the reduced regime has the seeds to tell effects from chance."
    )
    caption = (
        "Generalised: three evaluations in a row at 0.98; stopped at: the third, mean over the "
        "runs that did. Those that did not are censored: no published end is known of them."
    )
    return Section("What was run", text, [Table(columns, rows, caption)])


def _cell(cells: Cells, operation: str, decay: str) -> tuple[str | int, ...]:
    runs: list[Run] = cells.runs([operation], decay)
    stops = [stop for run in runs if (stop := run.stop) is not None]
    taken = [run.row.steps_taken for run in runs]
    return (
        operation,
        decay,
        len(cells.specs[operation, decay]),
        len(runs),
        len(stops),
        f"{np.mean(stops):.0f}" if stops else "–",
        f"{np.mean(taken):.0f}" if taken else "–",
    )
