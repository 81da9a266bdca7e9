"""Is the late edge flat under perturbation and yet critical when it is removed?

The published ablation and curves, with removals that take the same share of the weights, with
curvature against random directions, and with steps from small to as long as the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.spectral_edge.edge_study import EdgeStudy, Groups
from spectraledge.experiments.spectral_edge.flat_claims import flat_claims
from spectraledge.experiments.spectral_edge.flat_sections import flat_sections
from spectraledge.report import Section, Verdict

__all__ = ["STUDY", "FlatYetCritical"]


@dataclass(frozen=True)
class FlatYetCritical(EdgeStudy):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/flat_yet_critical"
    title: ClassVar[str] = "Is the late edge flat, and yet fatal to remove?"
    explained: ClassVar[str] = (
        "Removing the edge takes the components of the attention weights θ along v₁ and v₂, and "
        "with them the share f of their norm. The published control removes two random directions, "
        "which hold √(2/p) of the norm, next to nothing. The matched control removes a random "
        "direction that holds the same share f; beside it weights are shrunk as much, moved as "
        "far, and freed only of what they moved along the edge."
    )

    def claims(self, groups: Groups) -> list[Verdict]:
        """Removal against its controls, curvature, and what perturbations do."""
        return flat_claims(groups)

    def sections(self, groups: Groups) -> list[Section]:
        """Removals by phase, curvature and divergence by direction."""
        return flat_sections(groups)


STUDY = FlatYetCritical()
