"""Orthonormal bases of a few directions per weight matrix, and where to take them from."""

from spectraledge.block_basis.basis import BasisBlock, BlockBasis
from spectraledge.block_basis.builders import (
    displacement_basis,
    gradient_basis,
    random_basis,
    singular_basis,
    trajectory_basis,
)

__all__ = [
    "BasisBlock",
    "BlockBasis",
    "displacement_basis",
    "gradient_basis",
    "random_basis",
    "singular_basis",
    "trajectory_basis",
]
