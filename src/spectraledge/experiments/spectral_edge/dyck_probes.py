"""Runs on Dyck-1 whose representations and attention are read, and their curves."""

from __future__ import annotations

from dataclasses import replace

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    NO_DECAY,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, measured_group
from spectraledge.experiments.study import Known
from spectraledge.instruments import (
    AttentionStructure,
    DepthComposition,
    FunctionalCoordinate,
    FunctionalResponse,
    Instrument,
    PositionalFourier,
    RepresentationProbe,
    SpectralEdge,
)
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.training import At, Every, RunSpec

__all__ = [
    "ATTENTION",
    "COMPOSITION",
    "COORDINATE",
    "EMBEDDED",
    "EMBEDDING_POSITIONS",
    "EMBEDDING_PROBE",
    "INSTRUMENTS",
    "PROBE",
    "PROBED_STEPS",
    "RESPONSE",
    "probe_curve",
    "probe_group",
    "probe_regime",
    "probe_runs",
]

PROBE, ATTENTION = RepresentationProbe(), AttentionStructure()
RESPONSE, COORDINATE = FunctionalResponse(), FunctionalCoordinate()
POSITIONS, EDGE, COMPOSITION = PositionalFourier(), SpectralEdge(), DepthComposition()
# What goes into the first block: the embeddings of tokens and positions.
EMBEDDED = "blocks.0:input"
EMBEDDING_PROBE = RepresentationProbe(modules=(EMBEDDED,), readers=("linear",))
EMBEDDING_POSITIONS = PositionalFourier(modules=(EMBEDDED,))
# Of published scripts, some take snapshots by their number, some by their step, and those of the
# response are one later. The first three are those of the smoke runs.
SMOKE_STEPS = (24, 48, 72)
PROBED_STEPS = (*SMOKE_STEPS, 200, 500, 600, 1400, 2000, 3900, 5000)
RESPONDED_STEPS = (*SMOKE_STEPS, 200, 300, 500, 600, 1400, 3900, 4000)
# Longer than the other runs of the edge, whose rows lack the probes.
STEPS = 5100
_BY_PROBED: tuple[Instrument, ...] = (
    PROBE, EMBEDDING_PROBE, COORDINATE, POSITIONS, EMBEDDING_POSITIONS, COMPOSITION,
)  # fmt: skip
INSTRUMENTS: tuple[Measured, ...] = (
    (EDGE, Every(1)),
    (ATTENTION, Every(1)),
    (RESPONSE, At(RESPONDED_STEPS)),
    *((instrument, At(PROBED_STEPS)) for instrument in _BY_PROBED),
)
probe_curve = CurveNames([EDGE, ATTENTION, RESPONSE, *_BY_PROBED])


def probe_regime(scale: Scale) -> EdgeRegime:
    """Dyck-1 of the scale, of another length than the runs of the edge."""
    regime = edge_regimes(scale)[DYCK]
    steps = regime.steps - regime.record_every if scale == "smoke" else STEPS
    return replace(regime, steps=steps)


def probe_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """Runs with decay and without, of equal length."""
    regime = probe_regime(scale)
    return {DECAY: regime.runs(), NO_DECAY: regime.runs(regime.chain(0.0))}


def probe_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known and were probed."""
    needed = probe_curve(ATTENTION, "step")
    return measured_group(known, DYCK, probe_regime(scale), probe_runs(scale), needed)
