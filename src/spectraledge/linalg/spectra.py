"""How many directions a matrix uses: ranks and norms as functions of its singular values.

Every measure takes either the matrix or, by keyword, singular values computed once by
`singular_values`, so that one decomposition serves all of them. All are float64, all but
`nuclear_norm` are invariant to the scale of the matrix, and all give 0 for a zero matrix and NaN
for a non-finite one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.normalisers import frobenius_norm

__all__ = [
    "entropy_rank",
    "nuclear_norm",
    "nuclear_rank",
    "numerical_rank",
    "participation_ratio",
    "singular_values",
    "stable_rank",
    "threshold_rank",
]

Matrices = Float[Tensor, "*batch m n"]
Values = Float[Tensor, "*batch q"]
Measure = Float[Tensor, "*batch"]
Source = Matrices | None
Given = Values | None


def singular_values(matrix: Matrices) -> Values:
    """Singular values in float64, largest first.

    Args:
        matrix: ``(..., m, n)``.

    Returns:
        ``(..., min(m, n))``; NaN for matrices that are not finite.

    Example:
        >>> singular_values(torch.diag(torch.tensor([3.0, 4.0]))).tolist()
        [4.0, 3.0]
    """
    finite = frobenius_norm(matrix).isfinite()[..., None]
    values = torch.linalg.svdvals(torch.where(finite[..., None], matrix.double(), 0.0))
    return torch.where(finite, values, torch.nan)


def nuclear_norm(matrix: Source = None, *, singular_values: Given = None) -> Measure:
    """Sum of the singular values ``N1 = sum_i sigma_i``, in the unit of the matrix.

    Args:
        matrix: ``(..., m, n)``; leave it out when giving singular values.
        singular_values: ``(..., q)``, any order.

    Returns:
        N1 >= 0, float64.

    Raises:
        ValueError: If both or neither are given.

    Example:
        >>> nuclear_norm(torch.diag(torch.tensor([3.0, 4.0]))).item()
        7.0
    """
    return _values(matrix, singular_values).sum(-1)


def stable_rank(matrix: Source = None, *, singular_values: Given = None) -> Measure:
    """Stable rank ``sum_i sigma_i^2 / sigma_1^2``.

    Governed by the largest value: it falls whenever that one grows, nothing else changed.

    Args:
        matrix: ``(..., m, n)``; leave it out when giving singular values.
        singular_values: ``(..., q)``, any order.

    Returns:
        Between 1 and the rank, float64; about 33 for a default-initialised 128 x 128 layer.

    Raises:
        ValueError: If both or neither are given.

    Source: Rudelson, Vershynin 2007.

    Example:
        >>> stable_rank(torch.diag(torch.tensor([2.0, 1.0, 0.0]))).item()
        1.25
    """
    p = _scaled(_values(matrix, singular_values))
    return p.square().sum(-1)


def nuclear_rank(matrix: Source = None, *, singular_values: Given = None) -> Measure:
    """Nuclear rank ``N1^2 / F^2``, the rank measure in the geometry of nuclear-norm decay.

    The tangential part of the polar factor of a rank-r matrix has squared norm ``r - N1^2/F^2``.

    Args:
        matrix: ``(..., m, n)``; leave it out when giving singular values.
        singular_values: ``(..., q)``, any order.

    Returns:
        Between 1 and the rank (reached iff all non-zero values are equal), float64.

    Raises:
        ValueError: If both or neither are given.

    Example:
        >>> nuclear_rank(torch.diag(torch.tensor([2.0, 1.0, 0.0]))).item()
        1.8
    """
    p = _scaled(_values(matrix, singular_values))
    return _ratio(p.sum(-1).square(), p.square().sum(-1))


def entropy_rank(
    matrix: Source = None, *, singular_values: Given = None, squared: bool = False
) -> Measure:
    """Entropy rank ``exp(-sum_i p_i ln p_i)``, ``p_i = sigma_i/N1`` or ``sigma_i^2/F^2``.

    Args:
        matrix: ``(..., m, n)``; leave it out when giving singular values.
        singular_values: ``(..., q)``, any order.
        squared: Weigh by energies ``sigma_i^2/F^2`` instead of ``sigma_i/N1``.

    Returns:
        Between 1 and the rank, float64; k for k equal values.

    Raises:
        ValueError: If both or neither are given.

    Source: Roy, Vetterli 2007, "The effective rank".

    Example:
        >>> round(entropy_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0]))).item(), 6)
        2.0
    """
    p = _scaled(_values(matrix, singular_values))
    p = p.square() if squared else p
    total = p.sum(-1, keepdim=True)
    entropy = torch.special.entr(_ratio(p, total)).sum(-1)
    return torch.where(total.squeeze(-1) == 0, 0.0, entropy.exp())


def participation_ratio(matrix: Source = None, *, singular_values: Given = None) -> Measure:
    """Participation ratio ``(sum_i sigma_i^2)^2 / sum_i sigma_i^4``.

    From a matrix it is ``F^4 / ||W^T W||_F^2``, without any decomposition.

    Args:
        matrix: ``(..., m, n)``; leave it out when giving singular values.
        singular_values: ``(..., q)``, any order.

    Returns:
        Between 1 and the rank, float64.

    Raises:
        ValueError: If both or neither are given.

    Example:
        >>> round(participation_ratio(torch.diag(torch.tensor([2.0, 1.0, 0.0]))).item(), 4)
        1.4706
    """
    if matrix is not None and singular_values is None:
        peak = matrix.abs().amax(dim=(-2, -1), keepdim=True).double()
        unit = _ratio(matrix.double(), peak)
        small = unit if unit.shape[-2] <= unit.shape[-1] else unit.mT
        fourth = (small @ small.mT).square().sum((-2, -1))
        return _ratio(unit.square().sum((-2, -1)).square(), fourth)
    p = _scaled(_values(matrix, singular_values))
    return _ratio(p.square().sum(-1).square(), p.pow(4).sum(-1))


def threshold_rank(
    matrix: Source = None,
    threshold: float | Measure = 1e-2,
    *,
    relative: bool = True,
    singular_values: Given = None,
) -> Measure:
    """Number of singular values above a threshold.

    Definition: ``#{sigma_i > c sigma_1}`` (relative) or ``#{sigma_i > c}``; under decay of t a
    step, absolute ``c = 3 t`` is the noise floor.

    Args:
        matrix: ``(..., m, n)``; leave it out when giving singular values.
        threshold: c >= 0, one number or one per matrix.
        relative: Whether c multiplies the largest singular value.
        singular_values: ``(..., q)``, any order.

    Returns:
        Between 0 and ``min(m, n)``, a whole number in float64.

    Raises:
        ValueError: If both or neither are given.

    Example:
        >>> threshold_rank(torch.diag(torch.tensor([2.0, 1.0, 0.1])), 0.1).item()
        2.0
    """
    values = _values(matrix, singular_values)
    c = torch.as_tensor(threshold, dtype=torch.float64, device=values.device)[..., None]
    above = values > (c * values.amax(-1, keepdim=True) if relative else c)
    return torch.where(values.isnan().any(-1), torch.nan, above.double().sum(-1))


def numerical_rank(matrix: Matrices, *, singular_values: Given = None) -> Measure:
    """Number of singular values above rounding, ``#{sigma_i > max(m, n) eps sigma_1}``.

    Args:
        matrix: ``(..., m, n)``; its dtype gives eps.
        singular_values: Its singular values, if the caller has them.

    Returns:
        Between 0 and ``min(m, n)``, a whole number in float64.

    Example:
        >>> numerical_rank(torch.ones(4, 3)).item()
        1.0
    """
    cutoff = max(matrix.shape[-2:]) * torch.finfo(matrix.dtype).eps
    source = matrix if singular_values is None else None
    return threshold_rank(source, cutoff, singular_values=singular_values)


def _values(matrix: Tensor | None, given: Tensor | None) -> Tensor:
    if matrix is not None and given is None:
        return singular_values(matrix)
    if matrix is None and given is not None:
        return given.double()
    raise ValueError(
        f"expected a matrix or singular_values, got {'neither' if matrix is None else 'both'}; "
        "compute them once with singular_values(matrix) and pass them by keyword"
    )


def _scaled(values: Tensor) -> Tensor:
    """Divided by the largest, so that squares neither overflow nor vanish; zeros stay zeros."""
    return _ratio(values, values.amax(-1, keepdim=True))


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, with 0/0 = 0 and gradients that stay finite there."""
    zero = denominator == 0
    return torch.where(zero, 0.0, numerator / torch.where(zero, 1.0, denominator))
