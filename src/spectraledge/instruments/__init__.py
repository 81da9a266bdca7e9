"""Instruments: pure measurements of windows of snapshots, one a file."""

from spectraledge.instruments.ablation import Ablation
from spectraledge.instruments.attention_structure import AttentionStructure, attention_measures
from spectraledge.instruments.base import (
    Differentiable,
    Instrument,
    Measurement,
    Output,
    Window,
    instrument_key,
    stacked,
)
from spectraledge.instruments.commutator_defect import CommutatorDefect
from spectraledge.instruments.curvature import Curvature
from spectraledge.instruments.curvature_alignment import CurvatureAlignment
from spectraledge.instruments.decay_geometry import DecayGeometry
from spectraledge.instruments.depth_composition import DepthComposition
from spectraledge.instruments.edge_alarm import EdgeAlarm, edge_alarm_of
from spectraledge.instruments.edge_importance import EdgeImportance
from spectraledge.instruments.edge_noise import EdgeNoise
from spectraledge.instruments.fourier_structure import FourierStructure
from spectraledge.instruments.functional_coordinate import FunctionalCoordinate
from spectraledge.instruments.functional_response import FunctionalResponse
from spectraledge.instruments.functional_site import FunctionalSite
from spectraledge.instruments.gap_flow import GapFlow
from spectraledge.instruments.hindsight import Hindsight
from spectraledge.instruments.input_probe import InputProbe
from spectraledge.instruments.logit_response import LogitResponse, component_effects
from spectraledge.instruments.module_alignment import curvature_alignment_of
from spectraledge.instruments.module_commutators import DefectReading, commutator_defect_of
from spectraledge.instruments.module_curvature import curvature_of
from spectraledge.instruments.module_problem import ModuleProblem
from spectraledge.instruments.module_projection import subspace_projection_of
from spectraledge.instruments.observer import Observer
from spectraledge.instruments.parameter_norm import ParameterNorm
from spectraledge.instruments.part_effect import PartEffect
from spectraledge.instruments.perturbation_curve import (
    PerturbationCurve,
    directional_curvature,
    perturbation_curve,
)
from spectraledge.instruments.positional_fourier import PositionalFourier
from spectraledge.instruments.probe import Probe
from spectraledge.instruments.probe_fits import probe_scores
from spectraledge.instruments.representation_probe import RepresentationProbe
from spectraledge.instruments.representations import attention_of, representations_of
from spectraledge.instruments.saved_trajectory import TrajectoryReading, trajectory_of
from spectraledge.instruments.scale_invariance import (
    ScaleInvariance,
    ScaleTest,
    scale_invariance_of,
)
from spectraledge.instruments.singular_probe import SingularProbe
from spectraledge.instruments.spectral_edge import SpectralEdge
from spectraledge.instruments.structure_curve import StructureCurve
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
    "AttentionStructure",
    "CommutatorDefect",
    "Curvature",
    "CurvatureAlignment",
    "DecayGeometry",
    "DefectReading",
    "DepthComposition",
    "Differentiable",
    "EdgeAlarm",
    "EdgeImportance",
    "EdgeNoise",
    "FourierStructure",
    "FunctionalCoordinate",
    "FunctionalResponse",
    "FunctionalSite",
    "GapFlow",
    "Hindsight",
    "InputProbe",
    "Instrument",
    "LogitResponse",
    "Measurement",
    "ModuleProblem",
    "Observer",
    "Output",
    "ParameterNorm",
    "PartEffect",
    "PerturbationCurve",
    "PositionalFourier",
    "Probe",
    "RepresentationProbe",
    "ScaleInvariance",
    "ScaleTest",
    "SingularProbe",
    "SpectralEdge",
    "StructureCurve",
    "SubspaceProjection",
    "TrajectoryPCA",
    "TrajectoryReading",
    "UpdateDecomposition",
    "UpdateWindow",
    "WeightSpectrum",
    "WholeRunProjection",
    "Window",
    "attention_measures",
    "attention_of",
    "commutator_defect_of",
    "component_effects",
    "curvature_alignment_of",
    "curvature_of",
    "directional_curvature",
    "edge_alarm_of",
    "instrument_key",
    "perturbation_curve",
    "probe_scores",
    "representations_of",
    "scale_invariance_of",
    "stacked",
    "subspace_projection_of",
    "trajectory_of",
    "whole_run_projections",
]
