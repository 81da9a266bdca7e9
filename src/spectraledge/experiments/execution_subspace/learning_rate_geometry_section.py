"""Components and alignment over learning rates, as figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import nan

import numpy as np

from spectraledge.experiments.execution_subspace.defect_records import DefectRun
from spectraledge.experiments.execution_subspace.learning_rate_geometry import (
    CHECKPOINTS,
    LEARNED,
    SHARE,
    Turned,
    cosines,
    measured_rates,
    turnovers,
)
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.row_values import short
from spectraledge.experiments.seed_intervals import interval_by_seed
from spectraledge.experiments.study_sections import BAND, row_curve
from spectraledge.report import Axes, Curve, Figure, Reference, Section, Table, arm_colours, curves

__all__ = ["geometry_section"]

# Released ratios at memorisation, "spike" and after, one run of add and mul each.
RELEASED = (
    ("1e-4", "0.18, 0.28", "0.86, 0.53", "0.12, 0.34"),
    ("1e-3", "0.57, 0.97", "0.64, 0.61", "1.14, 2.23"),
    ("1e-2", "1.77, 2.14", "1.35, 1.58", "lost"),
)


def geometry_section(runs: Sequence[DefectRun]) -> Section:
    """PC1 over training at every learning rate, its turnover, and alignment at checkpoints."""
    tables = [
        _turnover_table(runs),
        _alignment_table(runs),
        Table(
            ("learning rate", "memorised", "“spike”", "after"), RELEASED,
            "Released alignment of add and mul, one run each, over moves between checkpoints.",
        ),
    ]  # fmt: skip
    return Section(
        "Components and alignment by learning rate",
        "PC1 of all attention weights as one vector, in the expanding window from step 0; and how "
        "far the move since the last record, 0.1/lr steps, lies along commutators at its end, over "
        f"what a random move has. {BAND}",
        [*_share_figures(runs), *_alignment_figure(runs), *tables],
    )


def _share_figures(runs: Sequence[DefectRun]) -> Iterator[Figure]:
    rates = measured_rates(runs)
    drawn = [c for lr in rates if (c := _share_curve(runs, lr)) is not None]
    if drawn:
        yield curves(
            drawn,
            title="PC1 of attention by learning rate, add",
            caption="Over lr × steps, which is what decay and records go by.",
            colours=arm_colours([curve.arm for curve in drawn]),
            axes=Axes(x_label="lr × steps", y_label="share of variance", y_range=(-0.03, 1.03)),
            references=[Reference(6 / np.pi**2, "isotropic diffusion", "y")],
        )


def _share_curve(runs: Sequence[DefectRun], lr: float) -> Curve | None:
    rows = {run.seed: run.row for run in runs if run.spec.lr == lr and _operation(run) == "add"}
    found = row_curve(f"lr {lr:g}", rows, SHARE, limits=(0.0, 1.0))
    if found is None:
        return None
    return Curve(
        found.arm, found.steps * lr, found.values, found.centre, found.lower, found.upper,
        seeds=found.seeds,
    )  # fmt: skip


def _operation(run: DefectRun) -> str:
    return str(getattr(run.spec.task, "operation", ""))


def _alignment_figure(runs: Sequence[DefectRun]) -> Iterator[Figure]:
    estimates = [
        Estimate(f"lr {lr:g}", checkpoint, interval)
        for lr in measured_rates(runs)
        for checkpoint in CHECKPOINTS
        if (interval := cosines(runs, lr, checkpoint)) is not None
    ]
    if estimates:
        yield forest_figure(
            estimates,
            title="Alignment of the trajectory with commutators",
            caption="Mean |cos| over its random mean; geometric means over seeds, 95 % t intervals "
            "of logarithms, which run off the figure where there is one seed.",
            label="mean |cos| / random",
            references=[Reference(1.0, "random")],
            shown=(0.0, 2.5),
        )


def _turnover_table(runs: Sequence[DefectRun]) -> Table:
    found = turnovers(runs)
    rows = [
        (
            f"{lr:g}",
            len(own),
            _steps(own, lambda run, grok, step: step),
            _steps(own, lambda run, grok, step: grok),
            _steps(own, lambda run, grok, step: None if step is None else grok - step),
        )
        for lr in measured_rates(runs)
        if (own := [entry for entry in found if entry[0].spec.lr == lr])
    ]
    columns = ("learning rate", "runs that generalise", "turnover of PC1", "grok_95", "lead")
    return Table(columns, rows, "Steps, means over seeds with 95 % t intervals.")


def _steps(
    own: Sequence[Turned], number: Callable[[DefectRun, int, int | None], float | None]
) -> str:
    values = [(entry[0].seed, number(*entry)) for entry in own]
    return short(interval_by_seed((s, nan if v is None else float(v)) for s, v in values))


def _alignment_table(runs: Sequence[DefectRun]) -> Table:
    rows = [
        (
            f"{lr:g}",
            *(short(cosines(runs, lr, at)) for at in CHECKPOINTS),
            *(short(cosines(runs, lr, at, LEARNED)) for at in CHECKPOINTS),
        )
        for lr in measured_rates(runs)
    ]
    columns = ("learning rate", *CHECKPOINTS, *(f"{at}, attention, no decay" for at in CHECKPOINTS))
    caption = "Mean |cos| over random; the last three without what decay did, attention alone."
    return Table(columns, rows, caption)
