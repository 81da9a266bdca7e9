"""Radial and tangential: what a step does to the length of a matrix and what to its direction.

If a function does not change under ``W -> a W``, only the part of a step orthogonal to W changes
the function to first order. Weight decay along W itself has no such part.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.normalisers import frobenius_norm

__all__ = ["angular_step", "radial_part", "tangential_fraction", "tangential_part"]

Matrices = Float[Tensor, "*batch m n"]
PerMatrix = Float[Tensor, "*batch"]


def radial_part(direction: Matrices, matrix: Matrices) -> Matrices:
    """Part of a direction along the matrix, ``(<D, W>/||W||_F^2) W``.

    Args:
        direction: D ``(..., m, n)``.
        matrix: W ``(..., m, n)``.

    Returns:
        ``(..., m, n)`` in the dtype of the direction; zero where W is zero. Inner products are
        summed in float64.

    Example:
        >>> radial_part(torch.ones(1, 2), torch.tensor([[2.0, 0.0]])).tolist()
        [[1.0, 0.0]]
    """
    unit = _unit(matrix)
    inner = (direction.double() * unit).sum((-2, -1), keepdim=True)
    return (inner * unit).to(direction.dtype)


def tangential_part(direction: Matrices, matrix: Matrices) -> Matrices:
    """Part of a direction orthogonal to the matrix, ``D - (<D, W>/||W||_F^2) W``.

    Args:
        direction: D ``(..., m, n)``.
        matrix: W ``(..., m, n)``.

    Returns:
        ``(..., m, n)`` in the dtype of the direction; all of D where W is zero.

    Example:
        >>> tangential_part(torch.ones(1, 2), torch.tensor([[2.0, 0.0]])).tolist()
        [[0.0, 1.0]]
    """
    wide = direction.double()
    return (wide - radial_part(wide, matrix)).to(direction.dtype)


def tangential_fraction(direction: Matrices, matrix: Matrices) -> PerMatrix:
    """Share of a direction that turns the matrix, ``||D_tangential||_F / ||D||_F``.

    Args:
        direction: D ``(..., m, n)``.
        matrix: W ``(..., m, n)``.

    Returns:
        Sine of the angle between D and W: 0 for weight decay, ``sqrt(1 - N1^2/(r F^2))`` for the
        polar factor of W. 0 for a zero direction. Float64.

    Example:
        >>> round(tangential_fraction(torch.ones(1, 2), torch.tensor([[2.0, 0.0]])).item(), 4)
        0.7071
    """
    whole = frobenius_norm(direction)
    return frobenius_norm(tangential_part(direction.double(), matrix)) / torch.where(
        whole == 0, 1.0, whole
    )


def angular_step(before: Matrices, after: Matrices) -> PerMatrix:
    """Angle between two matrices as vectors, what a step changes for a scale-invariant function.

    Definition: ``2 atan2(||u - v||, ||u + v||)`` of the unit vectors u, v, which is accurate for
    tiny angles where the arc cosine is not.

    Args:
        before: ``(..., m, n)``.
        after: ``(..., m, n)``.

    Returns:
        Radians in [0, pi], float64; 0 if both are zero, pi/2 if one is.

    Example:
        >>> round(angular_step(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1e-6]])).item(), 12)
        1e-06
    """
    u, v = _unit(before), _unit(after)
    return 2 * torch.atan2(frobenius_norm(u - v), frobenius_norm(u + v))


def _unit(matrix: Tensor) -> Tensor:
    norm = frobenius_norm(matrix)[..., None, None]
    return matrix.double() / torch.where(norm == 0, 1.0, norm)
