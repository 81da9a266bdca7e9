"""Functional, mixed or compression: does the class of the edge belong to the task?

The paper names three classes without a rule. Here a stated rule is applied to every run of every
task, with its margins, and what else could set the class stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.dyck_probes import probe_group
from spectraledge.experiments.spectral_edge.edge_runs import edge_groups
from spectraledge.experiments.spectral_edge.edge_study import EdgeStudy, Groups
from spectraledge.experiments.spectral_edge.universality_claims import universality_claims
from spectraledge.experiments.spectral_edge.universality_coordinates import depth_claims
from spectraledge.experiments.spectral_edge.universality_sections import universality_sections
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import answer_words, scaled_verdicts
from spectraledge.report import Page, Section, Verdict
from spectraledge.series import CLASS_RULE

__all__ = ["STUDY", "UniversalityClasses"]


@dataclass(frozen=True)
class UniversalityClasses(EdgeStudy):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/universality_classes"
    title: ClassVar[str] = "Does the class of the spectral edge belong to the task?"
    explained: ClassVar[str] = CLASS_RULE

    def page(self, known: Known, scale: Scale) -> Page:
        """The page of the shared runs, and what runs of `reencoded_not_lost` say of depth."""
        page, probes = super().page(known, scale), probe_group(known, scale)
        verdicts = [*page.verdicts, *scaled_verdicts(depth_claims(probes), scale)]
        anything = probes.known() or any(
            group.known() for group in edge_groups(known, scale).values()
        )
        summary = f"{answer_words(verdicts, anything)}\n\n{self.explained}"
        return replace(page, verdicts=verdicts, summary=summary)

    def claims(self, groups: Groups) -> list[Verdict]:
        """The published class of each task."""
        return universality_claims(groups)

    def sections(self, groups: Groups) -> list[Section]:
        """Numbers and class of every run, and the flow of the gap."""
        return universality_sections(groups)


STUDY = UniversalityClasses()
