"""Does the gap behind the edge close when a network generalises, and only then?

The published ``σ₂² − σ₃²`` before and at generalising, with the controls that it needs: no decay,
shuffled labels, other windows and cadences, and how much directions turn by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, MODULAR
from spectraledge.experiments.spectral_edge.edge_study import EdgeStudy, Groups
from spectraledge.experiments.spectral_edge.gap_claims import gap_claims
from spectraledge.experiments.spectral_edge.gap_numbers import GAP_NUMBERS
from spectraledge.experiments.spectral_edge.gap_sections import gap_sections
from spectraledge.experiments.spectral_edge.modular_numbers import MODULAR_NUMBERS
from spectraledge.experiments.spectral_edge.published_numbers import numbers_section
from spectraledge.report import Section, Verdict

__all__ = ["STUDY", "GapCompression"]


@dataclass(frozen=True)
class GapCompression(EdgeStudy):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/gap_compression"
    title: ClassVar[str] = "Does the gap behind the edge close when a network generalises?"
    explained: ClassVar[str] = (
        "σ₁ ≥ σ₂ ≥ … are the singular values of the last W displacements of the attention weights. "
        "The published decline is the largest σ₂² − σ₃² up to generalising over the last one; of "
        "runs that do not generalise, over the final one. Windows of two have no gap and are left "
        "out, where the published script put σ₂²."
    )

    def claims(self, groups: Groups) -> list[Verdict]:
        """Declines with their controls, ranks, rotations and the threshold."""
        return gap_claims(groups)

    def sections(self, groups: Groups) -> list[Section]:
        """Gaps over steps, declines by window, rotations beside their null, published numbers."""
        numbers = [
            section
            for task, own in ((DYCK, GAP_NUMBERS), (MODULAR, MODULAR_NUMBERS))
            if task in groups
            for section in numbers_section(own, groups[task])
        ]
        return [*gap_sections(groups), *numbers]


STUDY = GapCompression()
