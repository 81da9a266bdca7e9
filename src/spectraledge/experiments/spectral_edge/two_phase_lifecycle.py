"""Does the spectral edge turn from gradient to weight decay when a network generalises?

The published share of the gradient along ``v₁`` over windows of five displacements, and what is
needed to read it: exact parts, shares of single intervals, other windows and cadences, runs on
shuffled labels, which decay and cannot generalise, and runs without decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.spectral_edge.edge_study import EdgeStudy, Groups
from spectraledge.experiments.spectral_edge.lifecycle_claims import lifecycle_claims
from spectraledge.experiments.spectral_edge.lifecycle_sections import lifecycle_sections
from spectraledge.report import Section, Verdict

__all__ = ["STUDY", "TwoPhaseLifecycle"]


@dataclass(frozen=True)
class TwoPhaseLifecycle(EdgeStudy):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/two_phase_lifecycle"
    title: ClassVar[str] = "Does the spectral edge turn to weight decay when a network generalises?"
    explained: ClassVar[str] = (
        "The edge v₁ is the leading direction of the last W displacements of the attention "
        "weights. Along it the gradient's part (what Adam did) and the decay's part are known "
        "exactly, summed over the steps of each interval. A window of W displacements first lacks "
        "the first one, in which a network learns fastest, at step (W + 1) × cadence."
    )

    def claims(self, groups: Groups) -> list[Verdict]:
        """What the paper says of the split, and what windows explain."""
        return lifecycle_claims(groups)

    def sections(self, groups: Groups) -> list[Section]:
        """Accuracy, shares along the edge and of intervals, flips by window."""
        return lifecycle_sections(groups)


STUDY = TwoPhaseLifecycle()
