"""Sections of the page `published_basis`: two bases beside each other, and beside chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt

from spectraledge.experiments.execution_subspace.orthogonal_curvature_claims import (
    RANGE,
    by_phase,
)
from spectraledge.experiments.execution_subspace.projection_curves import PUBLISHED_TRAJECTORY
from spectraledge.experiments.execution_subspace.published_basis_claims import (
    chance_of,
    fine,
    future_by_phase,
    future_over_past,
)
from spectraledge.experiments.execution_subspace.published_basis_runs import PREFIXES, WHOLE
from spectraledge.experiments.execution_subspace.training_phases import (
    PHASES,
    Cells,
    Number,
    count_records,
    lowest,
    median_of,
    ratio_interval,
)
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.row_values import last_value, mean_of, short
from spectraledge.experiments.study_sections import BAND, row_curve
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Figure, Reference, Section, Table, arm_colours, curves
from spectraledge.series import Interval

__all__ = ["future_section", "phases_section", "ratio_section", "residuals_section"]

Rows = Mapping[int, Row]
COLOURS = arm_colours(list(PREFIXES))
NOT_MEASURED = "not measured"


def ratio_section(cells: Cells) -> Section:
    """Ratios on both bases over training."""
    figures = [
        figure
        for operation, rows in cells.items()
        for figure in _both_bases(
            rows,
            "ratio",
            title=f"Ratio over training, {operation}",
            label="‖Bᵀδ‖/‖δ‖ over √(K/P)",
            references=_chance_marks(rows),
        )
    ]
    text = (
        "Commutators δ of batch pairs on two principal directions of every attention matrix: of "
        "the whole run, as published, and of the run so far. A ratio of 1 is that of a random "
        "basis; the dashed lines beside it hold 95 % of random bases for one commutator, after the "
        "Beta law. At step 0 there is no trajectory so far."
    )
    return Section("Ratio to a random basis", text, figures or [_nothing(cells)])


def _both_bases(
    rows: Rows,
    output: str,
    *,
    title: str,
    label: str,
    references: list[Reference],
    log: bool = True,
) -> list[Figure]:
    drawn = [row_curve(b, rows, f"{prefix}/{output}", log=log) for b, prefix in PREFIXES.items()]
    series = [curve for curve in drawn if curve is not None]
    if not series:
        return []
    return [
        curves(
            series,
            title=title,
            caption=BAND,
            colours=COLOURS,
            axes=Axes(y_label=label, log_y=log),
            references=references,
            half=True,
        )
    ]


def _chance_marks(rows: Rows) -> list[Reference]:
    marks = [Reference(1.0, "random", "y")]
    for end in ("lower", "upper"):
        found = mean_of(last_value(r, f"{PREFIXES[WHOLE]}/ratio_{end}") for r in rows.values())
        if found is not None:
            marks.append(Reference(found.centre, f"95 % of random, {found.centre:.2f}", "y"))
    return marks


def phases_section(cells: Cells, grokking: Cells) -> Section:
    """Ratios by phase, with what was published."""
    kinds = {f"{basis}, any directions": f"{p}/ratio" for basis, p in PREFIXES.items()}
    kinds |= {f"{b}, same matrices": f"{p}/ratio_matched" for b, p in PREFIXES.items()}
    found = {kind: by_phase(grokking, name) for kind, name in kinds.items()}
    marks = [Reference(1.0, "random"), *(Reference(end, f"{end:g}") for end in RANGE)]
    figures = _forest(found, "Ratio by phase, operations that can generalise", marks)
    rows: list[tuple[str, ...]] = [
        (basis, operation, *_phase_cells(of_seed, prefix))
        for basis, prefix in PREFIXES.items()
        for operation, of_seed in cells.items()
    ]
    blank = ("–",) * len(PHASES)
    rows += [
        ("published", operation, *blank, ", ".join(f"{value:.2f}" for value in values))
        for operation, values in PUBLISHED_TRAJECTORY.items()
    ]
    caption = (
        "Medians over the records of a phase, then geometric means over seeds with 95 % t intervals"
        " of logarithms; in brackets how many records of all seeds. Published: medians of all "
        "records of each of three seeds with decay on the basis of the whole run, from the "
        "released runs; nowhere reported."
    )
    text = (
        "Against random directions of all parameters, as published, and against random directions "
        "inside the same matrices, which do not ask how much of the curvature is in attention."
    )
    table = Table(("basis", "operation", *PHASES, "all records"), rows, caption)
    return Section("By phase", text, [*figures, table])


def _forest(
    found: Mapping[str, Mapping[str, Interval]], title: str, marks: list[Reference]
) -> list[Figure]:
    estimates = [
        Estimate(phase, kind, intervals[phase])
        for phase in PHASES
        for kind, intervals in found.items()
        if phase in intervals
    ]
    if not estimates:
        return []
    caption = (
        "Medians over the records of a phase, geometric means over operations, then over seeds, "
        "with t intervals of logarithms that hold for all phases at once."
    )
    return [
        forest_figure(
            estimates, title=title, caption=caption, label="ratio", references=marks,
            shown=(0.0, 3.0),
        )
    ]  # fmt: skip


def _phase_cells(rows: Rows, prefix: str) -> list[str]:
    name = f"{prefix}/ratio"
    if not any(name in row.curves for row in rows.values()):
        return [NOT_MEASURED] * (1 + len(PHASES))
    return [
        f"{_over_seeds(rows, median_of(name, phase))} ({count_records(rows, name, phase)})"
        for phase in (*PHASES, None)
    ]


def _over_seeds(rows: Rows, number: Number) -> str:
    return short(ratio_interval([number(row) for row in rows.values()]))


def future_section(cells: Cells) -> Section:
    """What knowing the future changes, paired by seed."""
    figures = _forest(
        {"whole run over so far": future_by_phase(cells)},
        "What the future changes, by phase",
        [Reference(1.0, "the same")],
    )
    rows = [
        (operation, *(_over_seeds(of_seed, future_over_past(p)) for p in (*PHASES, None)))
        for operation, of_seed in cells.items()
    ]
    text = (
        "The ratio on the basis of the whole run over that on the basis so far, at the same record "
        "of the same run. It comes to 1 where the run ends, as the two become one basis; before, "
        "it is what the basis owes to steps that were not taken yet."
    )
    caption = (
        "Medians over records, geometric means over seeds with 95 % t intervals of logarithms."
    )
    table = Table(("operation", *PHASES, "all records"), rows, caption)
    return Section("What knowing the future changes", text, [*figures, table])


def residuals_section(cells: Cells) -> Section:
    """Residuals beside what counting dimensions gives."""
    chance = chance_of(cells)
    marks = [] if chance is None else [Reference(sqrt(1 - chance), "random basis", "y")]
    figures = [
        figure
        for operation, rows in cells.items()
        for figure in _both_bases(
            rows,
            "residual",
            title=f"Residual, {operation}",
            label="‖δ − BBᵀδ‖/‖δ‖",
            references=marks,
            log=False,
        )
    ]
    rows = [
        (basis, operation, *_residual_cells(of_seed, prefix), _random(chance_of({"": of_seed})))
        for basis, prefix in PREFIXES.items()
        for operation, of_seed in cells.items()
    ]
    text = (
        "A random basis of K directions leaves √(1 − K/P) of any commutator in P dimensions: "
        "0.99997 at the published size. The published 0.9996 would still be reached with fifteen "
        "times the share of a random basis inside. Only the ratio tells."
    )
    caption = (
        "Means over seeds of medians over records, and of the lowest record, with t intervals."
    )
    columns = ("basis", "operation", "ρ", "lowest", "random √(1 − K/P)")
    return Section(
        "The residual counts dimensions", text, [*figures, Table(columns, rows, caption)]
    )


def _residual_cells(rows: Rows, prefix: str) -> tuple[str, str]:
    name = f"{prefix}/residual"
    numbers: tuple[Callable[[Row], float], ...] = (median_of(name), lambda r: lowest([r], name))
    first, second = (
        mean_of((number(row) for row in rows.values()), high=1.0) for number in numbers
    )
    return (
        NOT_MEASURED if first is None else fine(first),
        NOT_MEASURED if second is None else fine(second),
    )


def _random(chance: float | None) -> str:
    return "–" if chance is None else f"{sqrt(1 - chance):.5f}"


def _nothing(cells: Cells) -> Table:
    told = [(operation, NOT_MEASURED) for operation in cells]
    return Table(("operation", "ratio"), told, "Runs that are known have no such reading.")
