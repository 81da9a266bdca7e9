"""What happens when decay is released, halved, doubled or redirected once a network generalises?

Published: ω of 0, 1/2, 1 and 2 from step 1000 on, with a fresh optimizer. Here the optimizer goes
on as it was, and further arms ramp decay down, take it back, confine it to the edge or keep it off
the edge, and replace it in attention by low-rank decay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.release_claims import release_claims
from spectraledge.experiments.spectral_edge.release_runs import (
    INSTRUMENTS,
    release_group,
    released_runs,
)
from spectraledge.experiments.spectral_edge.release_sections import release_sections
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

__all__ = ["STUDY", "DecayRelease"]

EXPLAINED = (
    "All arms of a seed share initial weights, data and batches, and are one run until the step at "
    "which decay changes. Accuracies are means over the last five records, since single ones "
    "fall into bursts of the optimizer."
)


@dataclass(frozen=True)
class DecayRelease(Study):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/decay_release"
    title: ClassVar[str] = "What does decay do once a network has generalised?"
    until: ClassVar[Decision | None] = None
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every arm and seed; depends on nothing that is known."""
        for runs in released_runs(scale).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Doses, redirected decay, curves, and what was run."""
        group = release_group(known, scale)
        verdicts = scaled_verdicts(release_claims(group), scale)
        rows = [provenance_row(known, arm, runs) for arm, runs in released_runs(scale).items()]
        anything = any(group.rows.values())
        return Page(
            title=self.title,
            summary=f"{answer_words(verdicts, anything)}\n\n{EXPLAINED}",
            verdicts=verdicts,
            sections=[
                *release_sections(group),
                Section("What was run", "Dyck-1 at the published size.", [Table(PROVENANCE, rows)]),
            ],
        )


STUDY = DecayRelease()
