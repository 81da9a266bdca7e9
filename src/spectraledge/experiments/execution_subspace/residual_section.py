"""Section on the residual of commutators, which is what counting dimensions gives."""

from __future__ import annotations

from collections.abc import Mapping

from spectraledge.experiments.curves_over_steps import Colours, over_steps
from spectraledge.experiments.execution_subspace.projection_curves import BASES
from spectraledge.experiments.execution_subspace.training_phases import (
    Cells,
    lowest,
    median_of,
    pooled,
)
from spectraledge.experiments.row_values import mean_of
from spectraledge.experiments.study_sections import BAND
from spectraledge.lab.rows import Row
from spectraledge.report import Figure, Reference, Section, Table
from spectraledge.series import Interval

__all__ = ["residual_section"]


def residual_section(conditions: Mapping[str, Cells], colours: Colours) -> Section:
    """Residuals beside what counting dimensions gives."""
    text = (
        "The residual is ρ = ‖δ − BBᵀδ‖/‖δ‖ for commutators δ of batch pairs and a basis B of K "
        "directions, in P dimensions. A random subspace leaves √(1 − K/P): 0.99997 at the "
        "published size, for any δ. So ρ = 1.000 would be found for a curvature that has nothing "
        "to do with the subspace as well as for one that prefers it: at ρ = 0.9996 the share in "
        "the basis is already fifteen times that of a random one. Only the ratio below tells.\n\n"
        "The basis of the trajectory here knows the snapshots up to each record. The published one "
        "knows the whole run, so part of it is the future; the study `published_basis` measures "
        "it. At step 0 there is no trajectory, and the residual drawn there is exactly 1."
    )
    rows = [
        _residual_row(condition, operation, rows)
        for condition, cells in conditions.items()
        for operation, rows in cells.items()
    ]
    columns = ("runs", "operation", "ρ, trajectory", "lowest", "ρ, singular", "lowest", "random")
    caption = (
        "Means over seeds of medians over records, and the lowest record of all. "
        "Random: √(1 − K/P) of the trajectory basis."
    )
    items: list[Figure | Table] = []
    for cells in list(conditions.values())[:1]:
        for basis, prefix in BASES.items():
            items += over_steps(
                cells,
                f"{prefix}/residual",
                colours,
                title=f"Residual, {basis} basis",
                caption=f"With decay; the dashed line is a random subspace. {BAND}",
                label="ρ",
                references=_random_residual(cells, prefix),
                log=False,
            )
    return Section("The residual counts dimensions", text, [*items, Table(columns, rows, caption)])


def _random_residual(cells: Cells, prefix: str) -> tuple[Reference, ...]:
    found = pooled(cells, median_of(f"{prefix}/residual_random"))
    return (Reference(found.centre, "random subspace", "y"),) if found else ()


def _residual_row(condition: str, operation: str, rows: Mapping[int, Row]) -> tuple[str, ...]:
    cells = [condition, operation]
    for prefix in BASES.values():
        name = f"{prefix}/residual"
        cells.append(_five(mean_of(median_of(name)(row) for row in rows.values())))
        cells.append(_five(mean_of([lowest(rows.values(), name)])))
    random = pooled({operation: rows}, median_of(f"{BASES['trajectory']}/residual_random"))
    return (*cells, _five(random))


def _five(found: Interval | None) -> str:
    return "–" if found is None else f"{found.centre:.5f}"
