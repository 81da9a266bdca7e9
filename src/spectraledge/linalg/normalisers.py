"""Normalisers: numbers N at least as large as the largest singular value, cheap to compute.

A schedule works on singular values divided by N, so the tighter N, the smaller the singular
values it still brings to 1. All bounds are computed from ``Y = W / ||W||_F`` and its Gram matrix,
which keeps them safe for matrices of norm 1e-30 and leaves the Gram matrix to the first row.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.names import check_name

__all__ = ["Normaliser", "frobenius_norm", "normaliser_value"]

Normaliser = Literal["frobenius", "gram", "power"]

MARGIN = 1.01
POWER_MARGIN = 1.05
POWER_ITERATIONS = 30


def frobenius_norm(matrix: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch"]:
    """Frobenius norm, summed in float64: exact for float32 norms down to 1e-38.

    Args:
        matrix: ``(..., m, n)``.

    Returns:
        ``||W||_F`` in float64, not finite if the matrix is not.
    """
    return torch.linalg.vector_norm(matrix, dim=(-2, -1), dtype=torch.float64)


def normaliser_value(
    matrix: Float[Tensor, "*batch m n"], normaliser: Normaliser = "gram"
) -> Float[Tensor, "*batch"]:
    r"""Upper bound N of the largest singular value.

    Definition: with ``F = ||W||_F``,
    ``frobenius``: ``1.01 F``, loose by about ``sqrt(n)/2`` for a Gaussian matrix;
    ``gram``: ``1.01 ||W^T W||_F^{1/2} = 1.01 (sum_i sigma_i^4)^{1/4}``, between sigma_1 and F,
    for free because the first row of a schedule needs ``W^T W`` anyway;
    ``power``: 1.05 times the estimate of 30 power iterations from a fixed start, accepted only if
    ``N^2 I - W^T W`` has a Cholesky factor. Otherwise the estimate was too low and ``gram`` takes
    its place, so the bound holds for every matrix.

    Args:
        matrix: ``(..., m, n)``, any scale.
        normaliser: ``"frobenius"``, ``"gram"`` or ``"power"``.

    Returns:
        N in float64, the unit of the matrix; 0 for a zero matrix, not finite for a non-finite one.

    Raises:
        ValueError: If the normaliser is unknown.

    Example:
        >>> W = torch.diag(torch.tensor([3.0, 4.0]))
        >>> normaliser_value(W, "frobenius").item(), round(normaliser_value(W, "power").item(), 3)
        (5.05, 4.2)
    """
    norm, _, gram = unit_gram(matrix)
    return norm * relative_bound(gram, normaliser)


def as_tall(matrix: Tensor) -> Tensor:
    """The matrix or its transpose, whichever has at least as many rows as columns."""
    return matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mT


def unit_gram(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """F in float64, the tall ``Y = W/F`` and the small ``Y^T Y``; dtype at least float32."""
    norm = frobenius_norm(matrix)
    dtype = torch.promote_types(matrix.dtype, torch.float32)
    # The smallest normal number instead of 0: a zero matrix divided by it stays zero.
    divisor = norm.to(dtype).clamp(min=torch.finfo(dtype).tiny)
    unit = as_tall(matrix).to(dtype) / divisor[..., None, None]
    return norm, unit, unit.mT @ unit


def relative_bound(gram: Tensor, normaliser: str) -> Tensor:
    """``N / ||W||_F`` in float64 from the Gram matrix of the unit matrix."""
    check_name("normaliser", normaliser, get_args(Normaliser))
    fourth = frobenius_norm(gram)  # sum of the fourth powers of the singular values, rooted
    if normaliser == "frobenius":
        return MARGIN * torch.where(fourth.isfinite(), (fourth > 0).double(), fourth)
    bound = MARGIN * fourth.sqrt()
    return bound if normaliser == "gram" else _certified_power(gram, bound)


def _certified_power(gram: Tensor, fallback: Tensor) -> Tensor:
    size = gram.shape[-1]
    index = torch.arange(size, dtype=gram.dtype, device=gram.device)
    vector = torch.cos(index**2).expand(gram.shape[:-1]).unsqueeze(-1)
    tiny = torch.finfo(gram.dtype).tiny
    for _ in range(POWER_ITERATIONS):
        vector = vector / vector.norm(dim=-2, keepdim=True).clamp(min=tiny)
        vector = gram @ vector
    square = POWER_MARGIN**2 * vector.norm(dim=-2)  # of a unit vector: at most sigma_1^2
    eye = torch.eye(size, dtype=gram.dtype, device=gram.device)
    _, failed = torch.linalg.cholesky_ex(square[..., None] * eye - gram)
    return torch.where(failed == 0, square.squeeze(-1).double().sqrt(), fallback)
