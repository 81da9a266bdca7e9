"""Runs on Dyck-1 whose representations and attention are read, and their curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    NO_DECAY,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.instruments import (
    AttentionStructure,
    DepthComposition,
    FunctionalCoordinate,
    FunctionalResponse,
    PositionalFourier,
    RepresentationProbe,
    SpectralEdge,
)
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.training import At, Every, RunSpec

__all__ = [
    "ATTENTION",
    "COMPOSITION",
    "COORDINATE",
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
# The first three are those of the smoke runs.
PROBED_STEPS = (24, 48, 72, 200, 500, 1000, 1400, 2500, 3900)
# Short of the runs of `decay_release`, whose rows lack some of the probes.
STEPS = 3900
INSTRUMENTS: tuple[Measured, ...] = (
    (EDGE, Every(1)),
    (ATTENTION, Every(1)),
    (PROBE, At(PROBED_STEPS)),
    (RESPONSE, At(PROBED_STEPS)),
    (COORDINATE, At(PROBED_STEPS)),
    (POSITIONS, At(PROBED_STEPS)),
    (COMPOSITION, At(PROBED_STEPS)),
)
probe_curve = CurveNames([PROBE, ATTENTION, RESPONSE, COORDINATE, POSITIONS, EDGE, COMPOSITION])


def probe_regime(scale: Scale) -> EdgeRegime:
    """Dyck-1 of the scale, shorter than the runs of the edge, whose rows lack the probes."""
    regime = edge_regimes(scale)[DYCK]
    return replace(regime, steps=min(STEPS, regime.steps - regime.record_every))


def probe_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """Runs with decay and without, of equal length."""
    regime = probe_regime(scale)
    return {DECAY: regime.runs(), NO_DECAY: regime.runs(regime.chain(0.0))}


def probe_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known and were probed."""
    needed = probe_curve(ATTENTION, "step")
    rows: Mapping[str, Mapping[int, Row]] = {
        condition: {s: r for s, r in by_seed(known, runs).items() if needed in r.curves}
        for condition, runs in probe_runs(scale).items()
    }
    return EdgeGroup(DYCK, probe_regime(scale), rows)
