"""What becomes of SCAN's spectral edge once it has turned to weight decay?

The paper follows the edge to step 15,000 and gives numbers of steps 5000 and 10,000. A run goes on
from where it was stopped, so that the page shows each as far as it has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, short, step_of, value_at
from spectraledge.experiments.spectral_edge.edge_runs import SPLIT, EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import drawn, regime_words
from spectraledge.experiments.spectral_edge.flip_claims import window_end
from spectraledge.experiments.spectral_edge.late_claims import GAP, LATE_NUMBERS, SHARE, late_claims
from spectraledge.experiments.spectral_edge.late_scan import (
    FOUR,
    HORIZON,
    INSTRUMENTS,
    late_curve,
    late_group,
    late_runs,
)
from spectraledge.experiments.spectral_edge.lifecycle_timing import timing_section
from spectraledge.experiments.spectral_edge.published_numbers import numbers_section
from spectraledge.experiments.spectral_edge.scan_numbers import is_published_size
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.report import Page, Reference, Section, Table
from spectraledge.training import RunSpec

__all__ = ["STUDY", "ScanAfterTheFlip"]

BOUNDS = (-0.03, 1.03)
HALF = Reference(0.5, "one half", axis="y")
STEPS = (5000, 10_000, 15_000)


@dataclass(frozen=True)
class ScanAfterTheFlip(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/scan_after_the_flip"
    title: ClassVar[str] = "What becomes of SCAN's edge once it has turned to weight decay?"
    until: ClassVar[Decision | None] = HORIZON
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """With decay and without; depends on nothing that is known."""
        for runs in late_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Claims, where the edge stands at published steps, curves, and what was run."""
        group = late_group(known, scale)
        verdicts = scaled_verdicts(late_claims(group), scale)
        further = Known(known.ledger, HORIZON, beyond=True)
        provenance = [
            provenance_row(further, condition, runs) for condition, runs in late_runs(scale).items()
        ]
        run = Section("What was run", regime_words({group.name: group}),
                      [Table(PROVENANCE, provenance)])  # fmt: skip
        there = any(group.rows.values())
        return Page(
            title=self.title,
            summary=answer_words(verdicts, group.known()),
            verdicts=verdicts,
            sections=[*(_measured(group) if there else ()), run],
        )


def _measured(group: EdgeGroup) -> list[Section]:
    figures = [
        *drawn(group, SHARE, "Share of the gradient along v₁", "share of energy",
               shown=BOUNDS, references=(HALF,)),
        *drawn(group, GAP, "σ₂² − σ₃²", "gap", log=True),
        *drawn(group, group.regime.metric, "Held-out accuracy", "accuracy"),
        *drawn(group, late_curve(SPLIT, "weight_norm"), "Norm of the attention weights", "norm"),
    ]  # fmt: skip
    numbers = numbers_section(LATE_NUMBERS, group) if is_published_size(group.regime) else []
    return [
        *numbers,
        Section("Where the edge stands", "", [_standing(group), *figures]),
        timing_section({group.name: group}),
    ]


def _standing(group: EdgeGroup) -> Table:
    """Quantities at published steps, each read there or not at all."""
    steps = (window_end(group, SPLIT), *STEPS)
    names = {
        "held-out accuracy": group.regime.metric,
        "gradient's share along v₁": SHARE,
        **{
            f"cosine of gradient and decay along v{k}": late_curve(FOUR, "alignment", f"v{k}")
            for k in range(1, 5)
        },
        "cosine of gradient and decay in all weights": late_curve(SPLIT, "interval_cosine"),
        "|cos(v₁, θ)|": late_curve(SPLIT, "overlap", "v1"),
        "σ₂² − σ₃²": GAP,
        "norm of the attention weights": late_curve(SPLIT, "weight_norm"),
    }
    rows = [
        (f"{words}, {condition}", *(_mean(runs.values(), name, step) for step in steps))
        for words, name in names.items()
        for condition, runs in group.rows.items()
        if runs
    ]
    caption = "Means over the seeds that came so far, 95 % t intervals."
    return Table(("quantity", *(f"step {step}" for step in steps)), rows, caption)


def _mean(rows: Iterable[Row], name: str, step: int) -> str:
    there = [row for row in rows if step_of(row, name, step) == step]
    return short(mean_of(value_at(row, name, step) for row in there))


STUDY = ScanAfterTheFlip()
