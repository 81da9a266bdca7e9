"""Matrix functions on ``(..., m, n)`` tensors: polar factors, proximal steps, ranks, geometry."""

from spectraledge.linalg.geometry import (
    angular_step,
    radial_part,
    tangential_fraction,
    tangential_part,
)
from spectraledge.linalg.heads import merge_heads, qk_circuit_singular_values, split_heads
from spectraledge.linalg.normalisers import Normaliser, frobenius_norm, normaliser_value
from spectraledge.linalg.polar import PolarMethod, polar_factor, polar_polynomial
from spectraledge.linalg.proximal import (
    ProximalMethod,
    published_step,
    soft_threshold_singular_values,
)
from spectraledge.linalg.rows import Halley, Polynomial, Row
from spectraledge.linalg.schedules import (
    Schedule,
    cans,
    evaluate,
    gain,
    halley,
    muon,
    newton_schulz,
    polar_express,
)
from spectraledge.linalg.spectra import (
    entropy_rank,
    nuclear_norm,
    nuclear_rank,
    numerical_rank,
    participation_ratio,
    singular_values,
    stable_rank,
    threshold_rank,
)
from spectraledge.linalg.subdifferential import (
    distance_to_subdifferential,
    fan_diameter,
    fan_dimension,
    fan_fraction,
    regrow_margin,
    subdifferential_rank,
    tangent_alignment,
)

__all__ = [
    "Halley",
    "Normaliser",
    "PolarMethod",
    "Polynomial",
    "ProximalMethod",
    "Row",
    "Schedule",
    "angular_step",
    "cans",
    "distance_to_subdifferential",
    "entropy_rank",
    "evaluate",
    "fan_diameter",
    "fan_dimension",
    "fan_fraction",
    "frobenius_norm",
    "gain",
    "halley",
    "merge_heads",
    "muon",
    "newton_schulz",
    "normaliser_value",
    "nuclear_norm",
    "nuclear_rank",
    "numerical_rank",
    "participation_ratio",
    "polar_express",
    "polar_factor",
    "polar_polynomial",
    "published_step",
    "qk_circuit_singular_values",
    "radial_part",
    "regrow_margin",
    "singular_values",
    "soft_threshold_singular_values",
    "split_heads",
    "stable_rank",
    "subdifferential_rank",
    "tangent_alignment",
    "tangential_fraction",
    "tangential_part",
    "threshold_rank",
]
