"""Spectral dynamics of training: low-rank decay, a grokking laboratory, and instruments.

The names here are for use in any training loop and need only torch, numpy and scipy. The
laboratory (`spectraledge.training`, `spectraledge.lab`, `spectraledge.experiments`) and the
reports are imported from their own packages; the latter need the extra ``lab``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectraledge.decay import LowRankDecay, low_rank_decay_
    from spectraledge.instruments import (
        DecayGeometry,
        FourierStructure,
        ModuleProblem,
        Probe,
        SpectralEdge,
        SubspaceProjection,
        TrajectoryPCA,
        UpdateDecomposition,
        WeightSpectrum,
        commutator_defect_of,
        curvature_alignment_of,
        curvature_of,
        edge_alarm_of,
        scale_invariance_of,
        subspace_projection_of,
        trajectory_of,
    )
    from spectraledge.linalg import (
        entropy_rank,
        nuclear_norm,
        nuclear_rank,
        participation_ratio,
        polar_factor,
        soft_threshold_singular_values,
        stable_rank,
        threshold_rank,
    )
else:

    def __getattr__(name: str) -> Any:
        # Looked up when asked for, so that the command line says --help without importing torch.
        for package in ("decay", "instruments", "linalg") if name in __all__ else ():
            module = import_module(f"{__name__}.{package}")
            if name in module.__all__:
                return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DecayGeometry",
    "FourierStructure",
    "LowRankDecay",
    "ModuleProblem",
    "Probe",
    "SpectralEdge",
    "SubspaceProjection",
    "TrajectoryPCA",
    "UpdateDecomposition",
    "WeightSpectrum",
    "commutator_defect_of",
    "curvature_alignment_of",
    "curvature_of",
    "edge_alarm_of",
    "entropy_rank",
    "low_rank_decay_",
    "nuclear_norm",
    "nuclear_rank",
    "participation_ratio",
    "polar_factor",
    "scale_invariance_of",
    "soft_threshold_singular_values",
    "stable_rank",
    "subspace_projection_of",
    "threshold_rank",
    "trajectory_of",
]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return [*globals(), *__all__]
