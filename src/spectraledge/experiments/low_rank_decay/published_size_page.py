"""Page of `published_size`: accuracies by arm and fraction, and whether the order is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay import published_size as study
from spectraledge.experiments.low_rank_decay.outcomes import best_accuracy, generalised_at
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import (
    BAND,
    by_seed,
    row_curve,
    scaled_verdicts,
)
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Figure, Page, Section, Table, Verdict, arm_colours, curves

__all__ = ["published_size_page"]

FULLER = (
    "A larger budget would add seeds, so that the order has an interval, and tuning at this size: "
    "here all arms run at the published learning rate, and the strength is that of the published "
    "step. `--scale full` asks for eight seeds and 10,000 steps."
)
Rows = Mapping[int, Row]
Cells = Mapping[tuple[str, float], Rows]


def published_size_page(known: Known, scale: Scale) -> Page:
    """The page; see `published_size`."""
    runs = study.headline_runs(scale)
    cells = {cell: rows for cell, of_cell in runs.items() if (rows := by_seed(known, of_cell))}
    titles = {f"{arm}, f = {fraction:g}": of_cell for (arm, fraction), of_cell in runs.items()}
    verdicts = [_needs_decay(cells), _same_order(cells), _norm_alone(cells)]
    return Page(
        title=study.PublishedSize.title,
        summary=_summary(cells),
        sections=(
            _outcome_section(cells),
            *_curve_sections(cells),
            provenance_section(known, titles, study.headline_size(scale), FULLER),
        ),
        verdicts=scaled_verdicts(verdicts, scale),
    )


def _summary(cells: Cells) -> str:
    shares = ", ".join(_share(cells, arm) for arm in study.ARMS)
    return (
        f"Runs that generalised at the published size, by arm: {shares}. Few seeds: they say "
        "whether the order of the arms on the reduced model is contradicted, not more."
    )


def _outcome_section(cells: Cells) -> Section:
    rows = [
        (
            arm,
            fraction,
            seed,
            generalised_at(row),
            best_accuracy(row),
            row.steps_taken,
            _last(row, "weight_spectrum/stable_rank"),
            _last(row, "weight_spectrum/frobenius_norm"),
        )
        for (arm, fraction), of_cell in cells.items()
        for seed, row in of_cell.items()
    ]
    columns = (
        "arm", "train fraction", "seed", "generalised at", "best validation accuracy",
        "steps taken", "stable rank at the end", "norm at the end",
    )  # fmt: skip
    text = "One row a run. A dash under “generalised at” means not within the steps taken."
    if not rows:
        text = "None of the runs is known yet."
    return Section("Outcomes", text, [Table(columns, rows)])


def _last(row: Row, name: str) -> float | None:
    values = row.curves.get(name, np.zeros(0))
    return float(values[-1]) if len(values) else None


def _curve_sections(cells: Cells) -> list[Section]:
    fractions = sorted({fraction for _, fraction in cells})
    return [
        Section(
            f"Train fraction {fraction:g}",
            BAND,
            [
                *_figure(cells, fraction, "validation_accuracy", "validation accuracy", log=False),
                *_figure(cells, fraction, "weight_spectrum/stable_rank", "stable rank", log=True),
                *_figure(
                    cells, fraction, "weight_spectrum/frobenius_norm", "norm of Q and K", log=True
                ),
            ],
        )
        for fraction in fractions
    ]


def _figure(cells: Cells, fraction: float, name: str, label: str, *, log: bool) -> Sequence[Figure]:
    limits = (-np.inf, np.inf) if log else (0.0, 1.0)
    found = [
        curve
        for (arm, at), rows in cells.items()
        if at == fraction
        and (curve := row_curve(arm, rows, name, log=log, limits=limits)) is not None
    ]
    if not found:
        return []
    return [
        curves(
            found,
            title=f"{label.capitalize()} at train fraction {fraction:g}",
            caption=f"Every seed: {label}.",
            colours=arm_colours(list(study.ARMS)),
            axes=Axes(y_label=label, log_y=log),
            half=log,
        )
    ]


def _outcomes(cells: Cells, arm: str) -> list[bool]:
    return [
        generalised_at(row) is not None
        for (of_arm, _), rows in cells.items()
        if of_arm == arm
        for row in rows.values()
    ]


def _share(cells: Cells, arm: str) -> str:
    won = _outcomes(cells, arm)
    return f"{arm} {sum(won)} of {len(won)}" if won else f"{arm} not run"


def _needs_decay(cells: Cells) -> Verdict:
    none, l2 = _outcomes(cells, "no decay"), _outcomes(cells, "L2")
    decided = len(none) >= 4 and len(l2) >= 4
    status = "undecided"
    if decided and not any(none) and all(l2):
        status = "holds"
    elif decided and sum(none) >= sum(l2):
        status = "fails"
    return Verdict(
        "At the published size, too, nothing generalises unless Q and K are decayed",
        "no run without decay is shown",
        f"generalised: {_share(cells, 'no decay')}, {_share(cells, 'L2')}",
        status,
        "Holds if all L2 runs and no run without decay generalised, of at least four each.",
    )


def _same_order(cells: Cells) -> Verdict:
    ahead = _ahead(cells, "LRD", "L2")
    status = "undecided"
    if len(ahead) >= 5:
        status = "holds" if all(x > 0 for x in ahead) else "fails" if min(ahead) < 0 else status
    return Verdict(
        "At matched strength low-rank decay generalises sooner than L2",
        "at step 1400, L2 not at all (unmatched, other split)",
        f"generalised: {_share(cells, 'LRD')}, {_share(cells, 'L2')}; "
        f"ahead by steps: {', '.join(f'{x:+d}' for x in ahead) or 'no pair'}",
        status,
        "Paired by seed and fraction; fewer than five pairs decide nothing (sign test, 5 %).",
    )


def _norm_alone(cells: Cells) -> Verdict:
    ahead = _ahead(cells, "norm held", "L2")
    status = "undecided"
    if len(ahead) >= 5:
        status = "holds" if all(x >= 0 for x in ahead) else "fails"
    return Verdict(
        "Holding the norm of Q and K small, without any decay, does as well as decaying them",
        "not asked",
        f"generalised: {_share(cells, 'norm held')}, {_share(cells, 'L2')}; "
        f"ahead by steps: {', '.join(f'{x:+d}' for x in ahead) or 'no pair'}",
        status,
        "Paired by seed and fraction; fewer than five pairs decide nothing (sign test, 5 %).",
    )


def _ahead(cells: Cells, arm: str, other: str) -> list[int]:
    """Steps by which an arm was sooner, where both generalised."""
    found = []
    for (of_arm, fraction), rows in cells.items():
        if of_arm != arm:
            continue
        for seed, row in rows.items():
            rival = cells.get((other, fraction), {}).get(seed)
            mine = generalised_at(row)
            theirs = None if rival is None else generalised_at(rival)
            if mine is not None and theirs is not None:
                found.append(theirs - mine)
    return found
