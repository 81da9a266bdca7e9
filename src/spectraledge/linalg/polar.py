"""Polar factors: the orthogonal directions ``U V^T`` of a matrix, exactly or by matrix products.

The polar factor is the gradient of the nuclear norm. Every polynomial method applies an odd
function f to the singular values, ``X = U f(S) V^T``, and is exact where f = 1. Small singular
values, below the normaliser divided by the gain of the schedule, get f < 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.normalisers import (
    Normaliser,
    as_tall,
    frobenius_norm,
    relative_bound,
    unit_gram,
)
from spectraledge.linalg.rows import Row
from spectraledge.linalg.schedules import (
    Schedule,
    halley,
    newton_schulz,
    polar_express,
)
from spectraledge.names import check_name

__all__ = ["PolarMethod", "polar_factor", "polar_polynomial"]

PolarMethod = Literal["svd", "newton_schulz", "polar_express", "halley", "published"]

PUBLISHED_STEPS = 5
PUBLISHED_EPS = 1e-8
SCHEDULES = {
    "newton_schulz": (newton_schulz, 30),
    "polar_express": (polar_express, 8),
    "halley": (halley, 3),
}


def polar_factor(
    matrix: Float[Tensor, "*batch m n"],
    *,
    method: PolarMethod = "svd",
    steps: int | None = None,
    normaliser: Normaliser = "frobenius",
    dtype: torch.dtype | None = None,
    fp32_head: int = 4,
) -> Float[Tensor, "*batch m n"]:
    r"""Polar factor of a matrix, or the approximation ``U f(S) V^T`` a schedule makes of it.

    Definition: ``U_r V_r^T`` of ``W = U S V^T``, r the numerical rank (``svd``);
    ``p(W/N)`` with the composed odd polynomial p of a schedule (all others).
    ``published`` is five cubic Newton-Schulz steps on ``W/(||W||_F + 1e-8)``: f is at most
    ``7.59 sigma/||W||_F``, so for a 128 x 128 Gaussian matrix it points along W itself to 0.5 %.

    Args:
        matrix: ``(..., m, n)``, any scale; tall and wide cost the same.
        method: ``svd`` (exact), ``newton_schulz`` (cubics, default 30), ``polar_express``
            (quintics, default 8), ``halley`` (one rational step and 3 cubics), ``published``.
        steps: Number of rows (``halley``: of cubics); only for the three schedules.
        normaliser: See `normaliser_value`; only for the three schedules.
        dtype: Number type of the rows after the first `fp32_head`; by default that of the matrix.
        fp32_head: How many rows run in at least float32. The first four carry most of the gain,
            which lifts bfloat16 rounding noise into the null space; 0 shows the damage.

    Returns:
        ``(..., m, n)``, dtype of the matrix, spectral norm about 1. A zero matrix gives zeros. A
        non-finite matrix gives zeros too, so that a step along it does nothing; the others in
        the batch are not affected.

    Raises:
        ValueError: If the method or normaliser is unknown, or steps is given to a method that has
            a fixed number.

    Cost: in 128^3 products per square matrix: 2 (``newton_schulz``) or 3 (``polar_express``) a
    row, ``halley`` 8 and a Cholesky inverse (worth 4 at n = 128 on CPU), ``svd`` about 30.

    Source: cubic: Bjorck, Bowie 1971; quintic: arXiv:2505.16932; ``published``: the released code
    of "Grokking by Rank Collapse" (Ji, Song 2025). Differs from it: the Gram side follows the
    shape (it raises for non-square matrices), and reductions are in float64.

    Example:
        >>> W = torch.diag(torch.tensor([2.0, 0.1, 0.0]))
        >>> polar_factor(W).diagonal().tolist()
        [1.0, 1.0, 0.0]
    """
    check_name("method", method, get_args(PolarMethod))
    if steps is not None and method not in SCHEDULES:
        raise ValueError(
            f"method {method!r} has no steps, got steps={steps}; leave it out or choose one of "
            f"{', '.join(SCHEDULES)}"
        )
    if method == "svd":
        return _exact(matrix)
    if method == "published":
        value, schedule = frobenius_norm(matrix) + PUBLISHED_EPS, newton_schulz(PUBLISHED_STEPS)
        return polar_polynomial(matrix, value, schedule, dtype=dtype, fp32_head=fp32_head)
    build, default = SCHEDULES[method]
    schedule = build(default if steps is None else steps)
    _, unit, gram = unit_gram(matrix)
    factor = polar_polynomial(
        unit,
        relative_bound(gram, normaliser),
        schedule,
        gram=gram,
        dtype=dtype or matrix.dtype,
        fp32_head=fp32_head,
    )
    return _oriented_as(matrix, factor).to(matrix.dtype)


def polar_polynomial(
    matrix: Float[Tensor, "*batch m n"],
    normaliser_value: Float[Tensor, "*#batch"],
    schedule: Schedule | Sequence[Row],
    *,
    gram: Float[Tensor, "*batch q q"] | None = None,
    dtype: torch.dtype | None = None,
    fp32_head: int = 4,
) -> Float[Tensor, "*batch m n"]:
    r"""Apply the composed function of a schedule to the singular values of ``matrix / N``.

    Definition: ``X = U f(S/N) V^T`` with f of `evaluate`. No branch depends on data.

    Args:
        matrix: ``(..., m, n)``.
        normaliser_value: N, one per matrix, at least the largest singular value; see
            `normaliser_value`. A larger N lowers the slope ``gain/N`` of f at zero.
        schedule: Rows of polynomials or Halley steps.
        gram: ``matrix^T matrix`` on its small side, if the caller has it; saves one product.
        dtype: Number type of the rows after the first `fp32_head`; by default that of the matrix.
        fp32_head: How many rows run in at least float32.

    Returns:
        X, dtype of the matrix; zeros where N is zero or not finite.

    Example:
        >>> W = torch.diag(torch.tensor([2.0, 0.1]))
        >>> polar_polynomial(W, torch.tensor(2.0), newton_schulz(1)).diagonal().tolist()[0]
        1.0
    """
    head = torch.promote_types(matrix.dtype, torch.float32)
    tiny = torch.finfo(head).tiny
    value = normaliser_value.double().broadcast_to(matrix.shape[:-2])[..., None, None]
    scale = value.clamp(min=tiny).nan_to_num(nan=inf, posinf=inf).to(head)
    # Divided by an infinite N, a non-finite matrix is 0 or NaN; it goes through as zeros.
    X = _batch(as_tall(matrix).to(head) / scale)
    A = None if gram is None else _batch(gram.to(head) / (scale**2).clamp(min=tiny))
    for index, row in enumerate(schedule):
        stage = head if index < fp32_head else (dtype or matrix.dtype)
        X, A = row.apply(X.to(stage), A if A is None else A.to(stage)), None
    return _oriented_as(matrix, X.reshape(as_tall(matrix).shape)).to(matrix.dtype)


def _batch(matrix: Tensor) -> Tensor:
    finite = matrix.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    return finite.reshape(-1, *matrix.shape[-2:])


def _oriented_as(matrix: Tensor, tall: Tensor) -> Tensor:
    return tall if matrix.shape[-2] >= matrix.shape[-1] else tall.mT


def _exact(matrix: Tensor) -> Tensor:
    work = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    safe = torch.where(frobenius_norm(work).isfinite()[..., None, None], work, 0.0)
    U, S, Vh = torch.linalg.svd(safe, full_matrices=False)
    # Directions of zero singular values are arbitrary: the subgradient of least norm drops them.
    cutoff = max(matrix.shape[-2:]) * torch.finfo(work.dtype).eps * S[..., :1]
    kept = (cutoff < S).to(work.dtype)
    return ((U * kept[..., None, :]) @ Vh).to(matrix.dtype)
