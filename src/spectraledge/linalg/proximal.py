"""Subtract an amount from every singular value, stopping at zero: one step of nuclear-norm decay.

The exact map is the proximal operator of ``amount * ||W||_*``. Written as a step it is
``W - amount * X`` with ``X = U f(S) V^T`` and ``f(sigma) = min(sigma/amount, 1)``. A step along
the polar factor (f = 1) overshoots: singular values below the amount bounce around zero for
ever. All methods here but `published_step` keep ``f(sigma) <= sigma/amount``.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.normalisers import (
    as_tall,
    frobenius_norm,
    normaliser_value,
    relative_bound,
    unit_gram,
)
from spectraledge.linalg.polar import polar_factor, polar_polynomial
from spectraledge.linalg.schedules import Schedule, gain, halley, polar_express
from spectraledge.names import check_name

__all__ = ["ProximalMethod", "published_step", "soft_threshold_singular_values"]

ProximalMethod = Literal["svd", "floored", "huber", "two_sign"]

HUBER_LEAST_STEPS = 8
TWO_SIGN_STEPS = 32


def soft_threshold_singular_values(
    matrix: Float[Tensor, "*batch m n"],
    amount: float | Float[Tensor, "*#batch"],
    *,
    method: ProximalMethod = "svd",
    steps: int | None = None,
    schedule: Schedule | None = None,
    dtype: torch.dtype | None = None,
    fp32_head: int = 4,
) -> Float[Tensor, "*batch m n"]:
    r"""Subtract `amount` from every singular value without passing zero.

    Definition, with t the amount:
    ``svd``: ``U max(S - t, 0) V^T``, the exact proximal operator of ``t ||W||_*``; exact zeros.
    ``floored``: ``W - t p(W/N)`` with a schedule p of gain G and ``N = max(gram bound, G t)``.
    The floor ``G t`` makes the slope of f at zero at most 1/t, so nothing overshoots, and once it
    is active ``sigma' = O(sigma^3)``: the tail dies faster than any exponential. Deviation from
    ``svd``: at most 0.21 t at the knee when ``G t >= N``; otherwise singular values below N/G are
    removed at the slower rate ``sigma t G/N`` a step (never too much).
    ``huber``: ``f = sigma / sqrt(sigma^2 + t^2)``, the gradient of
    ``sum_i sqrt(sigma_i^2 + t^2)``; smooth, at most 0.293 t from ``svd``.
    ``two_sign``: ``Q (B + B sign(B))/2`` with ``Q = polar(W)``, ``B = Q^T W - t I``; within 0.02 t
    of ``svd``, slow, an independent check of it without any decomposition.

    Args:
        matrix: ``(..., m, n)``.
        amount: t >= 0 in the unit of the singular values, one number or one per matrix.
        method: ``svd``, ``floored``, ``huber`` or ``two_sign``.
        steps: ``floored``: rows of Polar Express; by default the `halley` schedule on CPU (gain
            3182, f within 1 % of 1 above 5e-4 N) and 8 rows elsewhere (gain 6363). ``huber``:
            rows for the matrix stacked on ``t I``, at least 8; by default an eigendecomposition of
            the float64 Gram matrix. ``two_sign``: rows of both iterations, default 32.
        schedule: ``floored``: rows to use instead, e.g. ``halley(2, 5e-3)``; must satisfy
            ``p(x) <= G x`` on [0, 1] with its gain G, as every schedule of this package does.
        dtype: ``floored``: number type of the rows after the first `fp32_head`; default that of
            the matrix.
        fp32_head: ``floored``: how many rows run in at least float32.

    Returns:
        ``(..., m, n)``, dtype of the matrix, computed in at least float32. No singular value goes
        below ``-1e-6 t`` (in float32: plus rounding of the entries, 1e-7 of the norm). A
        non-finite matrix is returned unchanged; the others in the batch are not affected.

    Raises:
        ValueError: If the method is unknown, the amount is a negative number, or steps does not
            fit the method.

    Cost: four 128 x 128 float32 matrices on one CPU core (a batched product 0.17 ms): ``floored``
    2.5 ms, with 6 / 8 steps 3.6 / 4.9 ms, ``svd`` 5.8 ms.

    Source: ``svd``: Cai, Candes, Shen 2010; ``two_sign``: Cai, Osher 2013; the floor is derived
    here. Published low-rank decay takes the step of `published_step` instead.

    Example:
        >>> W = torch.diag(torch.tensor([2.0, 1.0, 0.3]))
        >>> soft_threshold_singular_values(W, 0.5).diagonal().tolist()
        [1.5, 0.5, 0.0]
    """
    check_name("method", method, get_args(ProximalMethod))
    if not isinstance(amount, Tensor) and amount < 0:
        raise ValueError(f"expected amount >= 0, got amount={amount}; decay cannot be negative")
    if method == "svd" and steps is not None:
        raise ValueError(f"method 'svd' is exact and has no steps, got steps={steps}; leave it out")
    if schedule is not None and (method != "floored" or steps is not None):
        raise ValueError(
            f"expected a schedule only for method 'floored' and without steps, got {method=} and "
            f"{steps=}; leave one of them out"
        )
    work = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    t = torch.as_tensor(amount, dtype=torch.float64, device=matrix.device)
    if method == "floored":
        rows = _rows(matrix, steps, schedule)
        result = _floored(work, t, rows, dtype or matrix.dtype, fp32_head)
        return result.to(matrix.dtype)
    finite = frobenius_norm(work).isfinite()[..., None, None]
    safe = torch.where(finite, work, 0.0)
    if method == "svd":
        result = _exact(safe, t)
    elif method == "huber":
        result = _huber(safe, t) if steps is None else _huber_stacked(safe, t, steps)
    else:
        result = _two_sign(safe, t, TWO_SIGN_STEPS if steps is None else steps)
    return torch.where(finite, result, work).to(matrix.dtype)


def published_step(
    matrix: Float[Tensor, "*batch m n"], amount: float | Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch m n"]:
    """The low-rank decay step as published, for reproduction; it overshoots and is not l1.

    Definition: ``W - amount * X5`` with X5 the ``published`` `polar_factor`. Singular values far
    below ``||W||_F/8`` decay exponentially at rate ``7.59 amount/||W||_F``; once
    ``||W||_F < 3.8 amount`` the iteration oscillates.

    Args:
        matrix: ``(..., m, n)``.
        amount: Number subtracted from a leading singular value, one or one per matrix.

    Returns:
        ``(..., m, n)``, dtype of the matrix; non-finite matrices are returned unchanged.

    Source: released code of "Grokking by Rank Collapse" (Ji, Song 2025).

    Example:
        >>> round(published_step(torch.eye(1), 0.1).item(), 4)
        0.9
    """
    t = torch.as_tensor(amount, dtype=torch.float64, device=matrix.device)
    return _step(matrix, t, polar_factor(matrix, method="published"))


def _rows(matrix: Tensor, steps: int | None, schedule: Schedule | None) -> Schedule:
    if schedule is not None:
        return schedule
    if steps is not None:
        return polar_express(steps)
    # A batched Cholesky inverse of small matrices is fast on CPU only.
    return halley() if matrix.device.type == "cpu" else polar_express(8)


def _step(matrix: Tensor, amount: Tensor, factor: Tensor) -> Tensor:
    return torch.addcmul(matrix, amount[..., None, None].to(matrix.dtype), factor, value=-1)


def _floored(
    matrix: Tensor, amount: Tensor, schedule: Schedule, dtype: torch.dtype, fp32_head: int
) -> Tensor:
    norm, unit, gram = unit_gram(matrix)
    tiny = torch.finfo(matrix.dtype).tiny
    floor = gain(schedule) * amount / norm.clamp(min=tiny)
    bound = torch.maximum(relative_bound(gram, "gram"), floor)
    factor = polar_polynomial(unit, bound, schedule, gram=gram, dtype=dtype, fp32_head=fp32_head)
    return _step(matrix, amount, factor if unit.shape == matrix.shape else factor.mT)


def _exact(matrix: Tensor, amount: Tensor) -> Tensor:
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    kept = (S - amount[..., None]).clamp(min=0).to(matrix.dtype)
    return (U * kept[..., None, :]) @ Vh


def _huber(matrix: Tensor, amount: Tensor) -> Tensor:
    """``W V g(L) V^T`` from the Gram matrix ``V L V^T``, ``g = 1 - t/sqrt(L + t^2)``."""
    tall = as_tall(matrix)
    wide = tall.double()
    square, V = torch.linalg.eigh(wide.mT @ wide)
    square, t = square.clamp(min=0), amount[..., None]
    root = torch.sqrt(square + t**2)
    # g without the difference of nearly equal numbers; 0 where both square and amount vanish.
    kept = square / (root * (root + t)).clamp(min=torch.finfo(torch.float64).tiny)
    result = (wide @ ((V * kept[..., None, :]) @ V.mT)).to(matrix.dtype)
    return result if tall.shape == matrix.shape else result.mT


def _huber_stacked(matrix: Tensor, amount: Tensor, steps: int) -> Tensor:
    """The top rows of the polar factor of ``[W; t I]``, whose squares are ``sigma^2 + t^2``."""
    if steps < HUBER_LEAST_STEPS:
        raise ValueError(
            f"expected at least {HUBER_LEAST_STEPS} steps for 'huber', got steps={steps}; with "
            "fewer, the polynomial exceeds 1 and singular values would pass zero"
        )
    tall = as_tall(matrix)
    eye = torch.eye(tall.shape[-1], dtype=matrix.dtype, device=matrix.device)
    block = (amount[..., None, None].to(matrix.dtype) * eye).expand(*tall.shape[:-2], -1, -1)
    stack = torch.cat([tall, block], dim=-2)
    factor = polar_polynomial(stack, normaliser_value(stack), polar_express(steps))
    factor = factor[..., : tall.shape[-2], :]
    return _step(matrix, amount, factor if tall.shape == matrix.shape else factor.mT)


def _two_sign(matrix: Tensor, amount: Tensor, steps: int) -> Tensor:
    tall, schedule = as_tall(matrix), polar_express(steps)
    Q = polar_polynomial(tall, normaliser_value(tall), schedule)
    product = Q.mT @ tall
    eye = torch.eye(tall.shape[-1], dtype=matrix.dtype, device=matrix.device)
    B = (product + product.mT) / 2 - amount[..., None, None].to(matrix.dtype) * eye
    sign = polar_polynomial(B, normaliser_value(B), schedule)
    result = Q @ (B + B @ sign) / 2
    return result if tall.shape == matrix.shape else result.mT
