"""Is depth re-encoded nonlinearly late in training, or only in smaller numbers?

The published probes, of fixed penalty on features as they are, beside scale-free ones; attention,
the response of the representation along the edge, and a search of what the output reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.dyck_probes import (
    INSTRUMENTS,
    probe_group,
    probe_runs,
)
from spectraledge.experiments.spectral_edge.reencoded_claims import reencoded_claims
from spectraledge.experiments.spectral_edge.reencoded_sections import reencoded_sections
from spectraledge.experiments.study import Known, Study
from spectraledge.experiments.study_sections import (
    PROVENANCE,
    answer_words,
    provenance_row,
    scaled_verdicts,
)
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page, Section, Table
from spectraledge.training import RunSpec

__all__ = ["STUDY", "ReencodedNotLost"]

EXPLAINED = (
    "Depth is read from the residual stream behind each block by a linear, a quadratic and a small "
    "nonlinear probe. Published: ridge of penalty 1 on features as they are, tokens of one row on "
    "both sides of the split, training rows among them. Scale-free: standardised features, the "
    "penalty chosen on held-out rows, split by row, rows of the training set left out."
)


@dataclass(frozen=True)
class ReencodedNotLost(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/reencoded_not_lost"
    title: ClassVar[str] = "Does decay re-encode depth nonlinearly, or only make it small?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every seed with decay and without."""
        for runs in probe_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Probes of both protocols, attention, responses, and what was run."""
        group = probe_group(known, scale)
        verdicts = scaled_verdicts(reencoded_claims(group), scale)
        rows = [provenance_row(known, c, runs) for c, runs in probe_runs(scale).items()]
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, group.known())}\n\n{EXPLAINED}",
            verdicts=verdicts,
            sections=[
                *reencoded_sections(group),
                Section("What was run", "Dyck-1 at the published size.", [Table(PROVENANCE, rows)]),
            ],
        )


STUDY = ReencodedNotLost()
