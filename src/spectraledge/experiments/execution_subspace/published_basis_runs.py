"""Runs of `published_basis`, and what is measured on them: two bases at the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import TRAJECTORY
from spectraledge.experiments.execution_subspace.regimes import PUBLISHED, REDUCED, SMOKE, Regime
from spectraledge.instruments import WholeRunProjection
from spectraledge.lab.plan import Measured, bare
from spectraledge.lab.reading_curves import curve_prefixes
from spectraledge.training import Every, RunSpec

__all__ = ["INSTRUMENTS", "PREFIXES", "REGIMES", "SO_FAR", "WHOLE", "published_basis_runs"]

WHOLE, SO_FAR = "whole run", "so far"
WHOLE_RUN = WholeRunProjection(TRAJECTORY)
INSTRUMENTS: tuple[Measured, ...] = ((TRAJECTORY, Every(500)), (WHOLE_RUN, Every(500)))
_OWN = curve_prefixes([bare(measured) for measured in INSTRUMENTS])
# What curves of each basis begin with.
PREFIXES = {WHOLE: _OWN[WHOLE_RUN], SO_FAR: _OWN[TRAJECTORY]}

# Seeds that no other study trains: a row of the ledger holds what was measured when it was made.
REGIMES: Mapping[Scale, Regime] = MappingProxyType({
    # Two measurements after the first, at which there is no trajectory so far.
    "smoke": replace(SMOKE, steps=1000, seeds=(200, 201)),
    "demo": replace(REDUCED, seeds=tuple(range(200, 205)), operations=("add", "x2_xy_y2")),
    "full": replace(PUBLISHED, seeds=(4, 5, 6), operations=("add", "x2_y2")),
})  # fmt: skip


def published_basis_runs(regime: Regime) -> dict[str, list[RunSpec]]:
    """One run a seed with the decay of the regime, by operation."""
    return {operation: regime.runs(operation) for operation in regime.operations}
