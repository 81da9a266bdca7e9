"""Batched, chainable updates: each changes the gradient or the parameters of R runs at once."""

from spectraledge.updates.adam import Adam
from spectraledge.updates.anti_low_rank import AntiLowRank
from spectraledge.updates.base import Clock, Groups, State, Update
from spectraledge.updates.bases import (
    InitialBasis,
    PastBasis,
    RandomBasis,
    SingularBasis,
    TrajectoryBasis,
    reference_runs_of,
)
from spectraledge.updates.basis import ATTENTION, Basis
from spectraledge.updates.cautious_weight_decay import CautiousWeightDecay
from spectraledge.updates.chain import Chain, chain
from spectraledge.updates.clip import ClipGradient
from spectraledge.updates.during import During
from spectraledge.updates.edge_basis import EdgeBasis
from spectraledge.updates.grokfast import Grokfast
from spectraledge.updates.hold_norm import HoldNorm
from spectraledge.updates.hyperball import Hyperball
from spectraledge.updates.inject_tail import InjectTail
from spectraledge.updates.kick import Kick, OrthogonalNoise
from spectraledge.updates.low_rank import LowRank
from spectraledge.updates.muon import Muon
from spectraledge.updates.norm_clamp import NormClamp
from spectraledge.updates.orthogonal_gradient import OrthogonalGradient
from spectraledge.updates.project_gradient import BoostParallel, ProjectGradient, ScaleGradient
from spectraledge.updates.project_update import ProjectUpdate
from spectraledge.updates.ramp_strength import RampStrength, RampStrengthAtEvent
from spectraledge.updates.ramp_strength_at_edge import RampStrengthAtEdge
from spectraledge.updates.random_direction import RandomDirection
from spectraledge.updates.reference_trajectories import trajectories_from
from spectraledge.updates.restart_at import RestartAt
from spectraledge.updates.sgd import SGD
from spectraledge.updates.truncate_rank import TruncateRank
from spectraledge.updates.weight_decay import WeightDecay

__all__ = [
    "ATTENTION",
    "SGD",
    "Adam",
    "AntiLowRank",
    "Basis",
    "BoostParallel",
    "CautiousWeightDecay",
    "Chain",
    "ClipGradient",
    "Clock",
    "During",
    "EdgeBasis",
    "Grokfast",
    "Groups",
    "HoldNorm",
    "Hyperball",
    "InitialBasis",
    "InjectTail",
    "Kick",
    "LowRank",
    "Muon",
    "NormClamp",
    "OrthogonalGradient",
    "OrthogonalNoise",
    "PastBasis",
    "ProjectGradient",
    "ProjectUpdate",
    "RampStrength",
    "RampStrengthAtEdge",
    "RampStrengthAtEvent",
    "RandomBasis",
    "RandomDirection",
    "RestartAt",
    "ScaleGradient",
    "SingularBasis",
    "State",
    "TrajectoryBasis",
    "TruncateRank",
    "Update",
    "WeightDecay",
    "chain",
    "reference_runs_of",
    "trajectories_from",
]
