"""Instruments: pure measurements of windows of snapshots, one a file."""

from spectraledge.instruments.base import (
    Differentiable,
    Instrument,
    Observer,
    Output,
    Window,
    instrument_key,
    stacked,
)
from spectraledge.instruments.decay_geometry import DecayGeometry
from spectraledge.instruments.probe import Probe
from spectraledge.instruments.scale_invariance import (
    ScaleInvariance,
    ScaleTest,
    scale_invariance_of,
)
from spectraledge.instruments.weight_spectrum import WeightSpectrum

__all__ = [
    "DecayGeometry",
    "Differentiable",
    "Instrument",
    "Observer",
    "Output",
    "Probe",
    "ScaleInvariance",
    "ScaleTest",
    "WeightSpectrum",
    "Window",
    "instrument_key",
    "scale_invariance_of",
    "stacked",
]
