"""The subdifferential of the nuclear norm: what low-rank decay prescribes, and what it leaves open.

At ``W = U S V^T`` of rank r it is the set ``{U_r V_r^T + Z}`` with Z in the null block,
``U_r^T Z = 0``, ``Z V_r = 0``, ``||Z||_2 <= 1``: a single point at full rank (needle), a ball of
dimension ``(m-r)(n-r)`` otherwise (fan). Distances are closed forms, not optimisations.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.normalisers import frobenius_norm
from spectraledge.linalg.spectra import singular_values

__all__ = [
    "distance_to_subdifferential",
    "fan_diameter",
    "fan_dimension",
    "fan_fraction",
    "regrow_margin",
    "subdifferential_rank",
    "tangent_alignment",
]

Matrices = Float[Tensor, "*batch m n"]
PerMatrix = Float[Tensor, "*batch"]
Rank = int | Float[Tensor, "*#batch"]

NOISE_FACTOR = 3.0


def subdifferential_rank(
    matrix: Matrices, amount: float | Float[Tensor, "*#batch"] = 0.0
) -> PerMatrix:
    """Rank at which to read the subdifferential of a matrix under decay.

    Definition: ``#{sigma_i > max(3 t, max(m, n) eps sigma_1)}``. Under an optimizer such as Adam
    singular values of a few t are noise, so a count of non-zeros would always be full.

    Args:
        matrix: ``(..., m, n)``.
        amount: t >= 0, what one decay step subtracts; 0 gives the numerical rank.

    Returns:
        r in [0, min(m, n)], a whole number in float64; 0 for a non-finite matrix.

    Example:
        >>> subdifferential_rank(torch.diag(torch.tensor([1.0, 0.5, 0.1])), 0.05).item()
        2.0
    """
    values = singular_values(matrix)
    rounding = max(matrix.shape[-2:]) * torch.finfo(matrix.dtype).eps * values[..., :1]
    t = torch.as_tensor(amount, dtype=torch.float64, device=matrix.device)[..., None]
    return (values > torch.maximum(NOISE_FACTOR * t, rounding)).double().sum(-1)


def fan_dimension(matrix: Matrices, rank: Rank) -> PerMatrix:
    """Dimension of the subdifferential, ``(m - r)(n - r)``.

    Args:
        matrix: ``(..., m, n)``; only its shape counts.
        rank: r, one number or one per matrix.

    Returns:
        0 (needle) to ``m n`` (zero matrix), float64.

    Example:
        >>> fan_dimension(torch.zeros(5, 3), 2).item()
        3.0
    """
    m, n = matrix.shape[-2:]
    r = _per_matrix(rank, matrix)
    return (m - r) * (n - r)


def fan_fraction(matrix: Matrices, rank: Rank) -> PerMatrix:
    """Share of all directions that the decay leaves open, ``(1 - r/m)(1 - r/n)``.

    Args:
        matrix: ``(..., m, n)``; only its shape counts.
        rank: r, one number or one per matrix.

    Returns:
        0 (needle) to 1 (zero matrix), float64.

    Example:
        >>> fan_fraction(torch.zeros(4, 4), 2).item()
        0.25
    """
    m, n = matrix.shape[-2:]
    return fan_dimension(matrix, rank) / (m * n)


def fan_diameter(matrix: Matrices, rank: Rank) -> PerMatrix:
    """Frobenius diameter of the subdifferential, ``2 sqrt(min(m, n) - r)``.

    Args:
        matrix: ``(..., m, n)``; only its shape counts.
        rank: r, one number or one per matrix.

    Returns:
        0 (needle) to ``2 sqrt(min(m, n))``, float64.

    Example:
        >>> fan_diameter(torch.zeros(5, 3), 2).item()
        2.0
    """
    return 2 * torch.sqrt(min(matrix.shape[-2:]) - _per_matrix(rank, matrix))


def distance_to_subdifferential(
    direction: Matrices, matrix: Matrices, rank: Rank, *, tangential: bool = False
) -> PerMatrix:
    r"""Frobenius distance of a direction G to the subdifferential of ``||.||_*`` at W.

    Definition: with ``M = U_perp^T G V_perp`` and ``P(G) = G - U_perp M V_perp^T``,
    ``dist^2 = ||P(G) - U_r V_r^T||_F^2 + sum_j max(s_j(M) - 1, 0)^2``. It vanishes at a stationary
    point of ``L + lam ||W||_*`` for ``G = -grad L / lam``.

    A scale-invariant loss has no such point, its gradient being orthogonal to W. There, use
    ``tangential=True``, stationarity on the sphere: the target is ``U_r V_r^T - (N1/F^2) W_r``
    with N1 and F the nuclear and Frobenius norms of the rank-r part ``W_r``.

    Args:
        direction: G ``(..., m, n)``; with Adam the mean base step over a window divided by the
            amount, not the raw gradient.
        matrix: W ``(..., m, n)``, finite.
        rank: r, one number or one per matrix, see `subdifferential_rank`.
        tangential: Whether to compare along the sphere of constant norm.

    Returns:
        Distance >= 0, float64.

    Example:
        >>> W = torch.diag(torch.tensor([2.0, 0.0]))
        >>> distance_to_subdifferential(torch.diag(torch.tensor([1.0, 4.0])), W, 1).item()
        3.0
    """
    rotated, values, kept, null = _rotated(direction, matrix, rank)
    target = kept
    if tangential:
        leading = values * kept
        square = leading.square().sum((-2, -1), keepdim=True)
        slope = leading.sum((-2, -1), keepdim=True) / torch.where(square == 0, 1.0, square)
        target = kept - slope * leading
    tangent = ((rotated - target) * ~null).square().sum((-2, -1))
    excess = (torch.linalg.svdvals(rotated * null) - 1).clamp(min=0)
    return torch.sqrt(tangent + excess.square().sum(-1))


def regrow_margin(
    step: Matrices, matrix: Matrices, amount: float | Float[Tensor, "*#batch"], rank: Rank
) -> PerMatrix:
    """Whether a base step gives birth to a direction that the decay cannot remove.

    Definition: ``s_1(U_perp^T D V_perp) / t``. After the exact proximal step the rank grows iff
    this exceeds 1.

    Args:
        step: D ``(..., m, n)``, the step of the base optimizer, before the decay.
        matrix: W ``(..., m, n)`` before the step, finite.
        amount: t > 0, what the decay subtracts.
        rank: r, one number or one per matrix.

    Returns:
        0 (no step in the null block) upwards, float64.

    Example:
        >>> W = torch.diag(torch.tensor([2.0, 0.0]))
        >>> regrow_margin(torch.diag(torch.tensor([0.5, 0.25])), W, 0.5, 1).item()
        0.5
    """
    rotated, _, _, null = _rotated(step, matrix, rank)
    t = torch.as_tensor(amount, dtype=torch.float64, device=matrix.device)
    return torch.linalg.matrix_norm(rotated * null, ord=2) / t


def tangent_alignment(step: Matrices, matrix: Matrices, rank: Rank) -> PerMatrix:
    """Share of a step that keeps the rank, ``||P(D)||_F / ||D||_F``.

    Definition: P projects on the tangent space of the rank-r matrices at W, everything but the
    null block.

    Args:
        step: D ``(..., m, n)``.
        matrix: W ``(..., m, n)``, finite.
        rank: r, one number or one per matrix.

    Returns:
        0 (all in the null block) to 1 (none), float64; 0 for a zero step.

    Example:
        >>> W = torch.diag(torch.tensor([2.0, 0.0]))
        >>> tangent_alignment(torch.diag(torch.tensor([3.0, 4.0])), W, 1).item()
        0.6
    """
    rotated, _, _, null = _rotated(step, matrix, rank)
    whole = frobenius_norm(rotated)
    return frobenius_norm(rotated * ~null) / torch.where(whole == 0, 1.0, whole)


def _rotated(
    direction: Tensor, matrix: Tensor, rank: int | Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The direction in the singular basis of the matrix, and in that basis W, U_r V_r^T, null."""
    U, S, Vh = torch.linalg.svd(matrix.double(), full_matrices=True)
    rotated = U.mT @ direction.double() @ Vh.mT
    m, n = matrix.shape[-2:]
    r = _per_matrix(rank, matrix)[..., None, None]
    row = torch.arange(m, device=matrix.device)[:, None]
    column = torch.arange(n, device=matrix.device)
    values = torch.zeros_like(rotated)
    values.diagonal(dim1=-2, dim2=-1).copy_(S)
    kept = ((row == column) & (row < r)).double()
    return rotated, values, kept, (row >= r) & (column >= r)


def _per_matrix(rank: int | Tensor, matrix: Tensor) -> Tensor:
    r = torch.as_tensor(rank, dtype=torch.float64, device=matrix.device)
    return r.broadcast_to(matrix.shape[:-2])
