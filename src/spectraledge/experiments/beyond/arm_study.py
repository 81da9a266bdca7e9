"""A study of the scale-invariant runs: one page from claims and figures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from math import nan
from typing import ClassVar

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.beyond.scale_invariant_runs import (
    ARMS,
    INSTRUMENTS,
    LR,
    STRENGTH,
    Arms,
    arm_rows,
    arm_runs,
    generalised_at,
)
from spectraledge.experiments.curves_over_steps import over_steps
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    BAND,
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.report import Figure, Page, Section, Table, Verdict, arm_colours
from spectraledge.series import Interval
from spectraledge.training import RunSpec

__all__ = ["ArmStudy", "between_arms", "figure", "mean_over_run"]

COLOURS = arm_colours(ARMS)


class ArmStudy(Study):
    """A study of the shared arms; concrete ones are frozen dataclasses."""

    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS
    explained: ClassVar[str]

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every arm and seed; depends on nothing that is known."""
        for runs in arm_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Claims, numbers of every arm, curves, and what was run."""
        rows = arm_rows(known, scale)
        verdicts = scaled_verdicts(self.claims(rows), scale)
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, any(rows.values()))}\n\n{self.explained}",
            verdicts=verdicts,
            sections=[
                Section("Every arm", "", [_table(rows, self.numbers())]),
                Section("Over training", "", self.figures(rows)),
                _provenance(known, scale),
            ],
        )

    @abstractmethod
    def claims(self, rows: Arms) -> list[Verdict]:
        """One verdict a claim."""

    @abstractmethod
    def numbers(self) -> Mapping[str, Callable[[Row], float]]:
        """Numbers of a run, by name."""

    @abstractmethod
    def figures(self, rows: Arms) -> list[Figure]:
        """Curves of every arm."""


def figure(
    rows: Arms, name: str, title: str, label: str, *, log: bool = False,
    shown: tuple[float, float] | None = None,
) -> list[Figure]:  # fmt: skip
    """A curve of every arm; nothing if no run has it."""
    return over_steps(
        rows, name, COLOURS, title=title, caption=BAND, label=label, log=log, shown=shown
    )


def mean_over_run(row: Row, name: str, start: float = 0.0) -> float:
    """Mean of the finite values of a curve from a step on; NaN without any."""
    if name not in row.curves:
        return nan
    steps, values = row.curve(name)
    seen = values[(steps >= start) & np.isfinite(values)]
    return float(seen.mean()) if seen.size else nan


def between_arms(
    rows: Arms, first: str, second: str, number: Callable[[Row], float]
) -> Interval | None:
    """Mean over seeds of a number under one arm minus that under another."""
    both = [seed for seed in rows[first] if seed in rows[second]]
    return mean_of(number(rows[first][s]) - number(rows[second][s]) for s in both)


def _table(rows: Arms, numbers: Mapping[str, Callable[[Row], float]]) -> Table:
    cells = [
        (
            f"{arm} ({len(own)})",
            f"{sum(generalised_at(row) is not None for row in own.values())} of {len(own)}",
            *(short(mean_of(number(row) for row in own.values())) for number in numbers.values()),
        )
        for arm, own in rows.items()
    ]
    return Table(("arm (seeds)", "generalise", *numbers), cells, "Means over seeds, t intervals.")


def _provenance(known: Known, scale: Scale) -> Section:
    rows = [provenance_row(known, arm, runs) for arm, runs in arm_runs(scale).items()]
    text = (
        f"Modular addition with RMSNorm and QK-norm, lr {LR:g}; decay of strength {STRENGTH:g} on "
        "Q and K, of equal step length at the start in both arms; all other weights decay by 0.1."
    )
    return Section("What was run", text, [Table(PROVENANCE, rows)])
