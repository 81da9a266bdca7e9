"""Functional, mixed or compression: does the class of the edge belong to the task?

The paper names three classes without a rule. Here a stated rule is applied to every run of every
task, with its margins, and what else could set the class stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.spectral_edge.edge_class import RULE_WORDS
from spectraledge.experiments.spectral_edge.edge_study import EdgeStudy, Groups
from spectraledge.experiments.spectral_edge.universality_claims import universality_claims
from spectraledge.experiments.spectral_edge.universality_sections import universality_sections
from spectraledge.report import Section, Verdict

__all__ = ["STUDY", "UniversalityClasses"]


@dataclass(frozen=True)
class UniversalityClasses(EdgeStudy):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/universality_classes"
    title: ClassVar[str] = "Does the class of the spectral edge belong to the task?"
    explained: ClassVar[str] = RULE_WORDS

    def claims(self, groups: Groups) -> list[Verdict]:
        """The published class of each task."""
        return universality_claims(groups)

    def sections(self, groups: Groups) -> list[Section]:
        """Numbers and class of every run, and the flow of the gap."""
        return universality_sections(groups)


STUDY = UniversalityClasses()
