"""Instruments: pure measurements of windows of snapshots, one a file."""

from spectraledge.instruments.ablation import Ablation
from spectraledge.instruments.base import (
    Differentiable,
    Instrument,
    Measurement,
    Observer,
    Output,
    Window,
    instrument_key,
    stacked,
)
from spectraledge.instruments.commutator_defect import CommutatorDefect
from spectraledge.instruments.curvature import Curvature, curvature_of
from spectraledge.instruments.curvature_alignment import CurvatureAlignment
from spectraledge.instruments.decay_geometry import DecayGeometry
from spectraledge.instruments.fourier_structure import FourierStructure
from spectraledge.instruments.functional_response import FunctionalResponse, component_effects
from spectraledge.instruments.functional_site import FunctionalSite
from spectraledge.instruments.hindsight import Hindsight
from spectraledge.instruments.module_commutators import DefectReading, commutator_defect_of
from spectraledge.instruments.perturbation_curve import (
    PerturbationCurve,
    directional_curvature,
    perturbation_curve,
)
from spectraledge.instruments.probe import Probe
from spectraledge.instruments.saved_trajectory import TrajectoryReading, trajectory_of
from spectraledge.instruments.scale_invariance import (
    ScaleInvariance,
    ScaleTest,
    scale_invariance_of,
)
from spectraledge.instruments.spectral_edge import SpectralEdge
from spectraledge.instruments.subspace_projection import (
    SubspaceProjection,
    whole_run_projections,
)
from spectraledge.instruments.trajectory_pca import TrajectoryPCA
from spectraledge.instruments.update_decomposition import UpdateDecomposition
from spectraledge.instruments.update_window import UpdateWindow
from spectraledge.instruments.weight_spectrum import WeightSpectrum
from spectraledge.instruments.whole_run_projection import WholeRunProjection

__all__ = [
    "Ablation",
    "CommutatorDefect",
    "Curvature",
    "CurvatureAlignment",
    "DecayGeometry",
    "DefectReading",
    "Differentiable",
    "FourierStructure",
    "FunctionalResponse",
    "FunctionalSite",
    "Hindsight",
    "Instrument",
    "Measurement",
    "Observer",
    "Output",
    "PerturbationCurve",
    "Probe",
    "ScaleInvariance",
    "ScaleTest",
    "SpectralEdge",
    "SubspaceProjection",
    "TrajectoryPCA",
    "TrajectoryReading",
    "UpdateDecomposition",
    "UpdateWindow",
    "WeightSpectrum",
    "WholeRunProjection",
    "Window",
    "commutator_defect_of",
    "component_effects",
    "curvature_of",
    "directional_curvature",
    "instrument_key",
    "perturbation_curve",
    "scale_invariance_of",
    "stacked",
    "trajectory_of",
    "whole_run_projections",
]
