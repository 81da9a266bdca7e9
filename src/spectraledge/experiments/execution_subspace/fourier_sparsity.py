"""Do embeddings become Fourier-sparse where a network generalises, and before it does?

The published code holds a Fourier control, not in the figures, that pads modes over the p tokens to
the width of the model and applies them to the hidden axes of a principal direction. Here the modes
are those of the axis of tokens: of the embedding and of the attention circuits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.fourier_sparsity_page import (
    TITLE,
    fourier_sparsity_page,
)
from spectraledge.experiments.execution_subspace.fourier_sparsity_runs import (
    INSTRUMENTS,
    fourier_regime,
    fourier_runs,
)
from spectraledge.experiments.execution_subspace.regimes import UNTIL
from spectraledge.experiments.study import Known, Study
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.report import Page
from spectraledge.training import RunSpec

__all__ = ["STUDY", "FourierSparsity"]


@dataclass(frozen=True)
class FourierSparsity(Study):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/fourier_sparsity"
    title: ClassVar[str] = TITLE
    until: ClassVar[Decision | None] = UNTIL
    instruments: ClassVar[tuple[Measured, ...]] = INSTRUMENTS

    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Every condition and seed; depends on nothing that is known."""
        for runs in fourier_runs(fourier_regime(scale)).values():
            yield from runs

    def page(self, known: Known, scale: Scale) -> Page:
        """Frequencies over steps, at the end, and beside when the runs generalise."""
        return fourier_sparsity_page(known, scale)


STUDY = FourierSparsity()
