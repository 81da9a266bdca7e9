"""Does the gap flow explain nothing because its slopes are measured on few batches?

The terms of the gap flow hold gradients and curvatures of the training loss, which the shared runs
measure on four batches. Here the same runs are measured on four and on sixteen: what noise in the
terms hides must then come out, at least in part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import (
    GAP_FLOW,
    EdgeGroup,
    finite_curve,
    measured_group,
)
from spectraledge.experiments.spectral_edge.edge_study import drawn, over_seeds, regime_words
from spectraledge.experiments.spectral_edge.gap_balance import GAPS, gap_series
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.instruments import GapFlow
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.report import Page, Section, Table, Verdict
from spectraledge.training import Every, RunSpec

__all__ = ["MANY", "STUDY", "GapFlowBatches", "batch_curve", "batch_group", "batch_runs"]

MANY = GapFlow(batches=16)
FLOWS = {"4 batches": GAP_FLOW, "16 batches": MANY}
batch_curve = CurveNames(tuple(FLOWS.values()))
# A length of their own: rows of other studies lack the second measurement.
RECORDS = 31
PAPER = "assumed; a fit of the authors on language models explains nothing"


def batch_runs(scale: Scale) -> list[RunSpec]:
    """Dyck-1 with decay, one run a seed, past generalising."""
    regime = edge_regimes(scale)[DYCK]
    records = min(RECORDS, regime.steps // regime.record_every - 1)
    return regime.runs(steps=records * regime.record_every)


def batch_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known and were measured both ways."""
    needed = batch_curve(MANY, "gap", GAPS[0])
    regime = edge_regimes(scale)[DYCK]
    return measured_group(known, DYCK, regime, {DECAY: batch_runs(scale)}, needed)


@dataclass(frozen=True)
class GapFlowBatches(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/gap_flow_batches"
    title: ClassVar[str] = "Does the gap flow explain nothing because of few batches?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = tuple((flow, Every(1)) for flow in FLOWS.values())

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """One run a seed; depends on nothing that is known."""
        return batch_runs(scale)

    def page(self, known: Known, scale: Scale) -> Page:
        """Claims, what either number of batches explains, and what was run."""
        group = batch_group(known, scale)
        verdicts = scaled_verdicts(_claims(group), scale)
        rows = [provenance_row(known, f"{DYCK}, {DECAY}", batch_runs(scale))]
        run = Section("What was run", regime_words({DYCK: group}), [Table(PROVENANCE, rows)])
        return Page(
            title=self.title,
            summary=answer_words(verdicts, group.known()),
            verdicts=verdicts,
            sections=[*([_measured(group)] if group.known() else ()), run],
        )


def _fitted(row: Row, flow: GapFlow) -> float:
    return gap_series(row, GAPS[0], partial(batch_curve, flow)).fitted()


def _agreement(row: Row, flow: GapFlow) -> float:
    return gap_series(row, GAPS[0], partial(batch_curve, flow)).agreement()


def _same(row: Row, output: str, label: str) -> float:
    """Correlation over the run of what four batches say with what sixteen say."""
    few, many = (
        dict(zip(*finite_curve(row, batch_curve(flow, output, label)))) for flow in FLOWS.values()
    )
    both = [(few[step], many[step]) for step in few if step in many]
    if len(both) < 3:
        return np.nan
    return float(np.corrcoef(np.array(both).T)[0, 1])


def _claims(group: EdgeGroup) -> list[Verdict]:
    rows = list(group.rows[DECAY].values())
    explained = mean_of(_fitted(row, MANY) for row in rows)
    more = mean_of(_fitted(row, MANY) - _fitted(row, GAP_FLOW) for row in rows)
    signs = mean_of(_agreement(row, MANY) for row in rows)
    return [
        over_seeds(
            "With sixteen batches the terms of the gap flow explain changes of the gap", PAPER,
            explained,
            "Share of the changes of d₁ − d₂ that one free scale a term explains beyond a constant "
            "and the gap itself, adjusted, by seed.",
            above=0.0,
        ),
        over_seeds(
            "Sixteen batches explain more than four", "not tested", more,
            "The same share with sixteen minus that with four, by seed.", above=0.0,
        ),
        over_seeds(
            "With sixteen batches the sum of the terms has the sign of the change", PAPER, signs,
            "Share of the intervals beyond that of signs drawn apart, by seed.", above=0.0,
        ),
    ]  # fmt: skip


def _measured(group: EdgeGroup) -> Section:
    rows = list(group.rows[DECAY].values())
    lines = [
        (words, *(short(mean_of(read(row, flow) for row in rows)) for flow in FLOWS.values()))
        for words, read in (("explained", _fitted), ("signs beyond chance", _agreement))
    ]
    alike = [
        (words, short(mean_of((_same(row, output, label) for row in rows), -1.0, 1.0)))
        for words, output, label in (
            ("curvature along v₁", "curvature", "v1"),
            ("slope along v₁", "slope", "v1"),
            ("curvature term", "curvature_term", GAPS[0]),
            ("damping term", "damping_term", GAPS[0]),
            ("driving term", "driving_term", GAPS[0]),
        )
    ]
    caption = "Means over seeds, 95 % t intervals."
    return Section(
        "Four batches and sixteen",
        "",
        [
            Table(("gap d₁ − d₂", *FLOWS), lines, caption),
            Table(("over a run", "correlation of four with sixteen"), alike, caption),
            *drawn(group, batch_curve(MANY, "driving_term", GAPS[0]),
                   "Driving term of d₁ − d₂, 16 batches", "weight"),
        ],
    )  # fmt: skip


STUDY = GapFlowBatches()
