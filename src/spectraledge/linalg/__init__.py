"""Matrix functions on ``(..., m, n)`` tensors: polar factors, proximal steps, ranks, geometry."""

from spectraledge.linalg.normalisers import frobenius_norm, normaliser_value
from spectraledge.linalg.polar import polar_factor, polar_polynomial
from spectraledge.linalg.proximal import published_step, soft_threshold_singular_values
