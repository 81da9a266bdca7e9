"""Low-rank decay at one matrix: what it leaves open, what balances it, where it would overshoot."""

from __future__ import annotations

import torch
from torch import Tensor

from spectraledge import linalg
from spectraledge.linalg import tangential_fraction, tangential_part

__all__ = ["fan", "overshoots", "stationarity", "turns"]


def fan(matrix: Tensor, amount: Tensor) -> dict[str, Tensor]:
    """Size of the subdifferential of the nuclear norm: what low-rank decay leaves open.

    Args:
        matrix: W ``(..., m, n)``, in the dtype in which it is stored.
        amount: tau ``(...,)``; singular values up to 3 tau count as zero.

    Returns:
        ``rank``, ``fan_dimension``, ``fan_fraction`` and ``fan_diameter`` ``(...,)`` float64.
    """
    rank = linalg.subdifferential_rank(matrix, amount)
    return {
        "rank": rank,
        "fan_dimension": linalg.fan_dimension(matrix, rank),
        "fan_fraction": linalg.fan_fraction(matrix, rank),
        "fan_diameter": linalg.fan_diameter(matrix, rank),
    }


def stationarity(base: Tensor, matrix: Tensor, amount: Tensor, rank: Tensor) -> dict[str, Tensor]:
    """Whether the base optimizer and low-rank decay balance at a matrix.

    Definition: W is a fixed point of ``W <- prox(W + D)`` iff ``G = D/tau`` lies in the
    subdifferential of ``||W||_*``. D is the mean base step, not the gradient, so that this holds
    for Adam. On the sphere, for scale-invariant matrices, only the tangential parts count.

    Args:
        base: D ``(..., m, n)``, mean step of everything but the low-rank decay.
        matrix: W ``(..., m, n)``, finite.
        amount: tau ``(...,)``.
        rank: Rank of W ``(...,)`` at which to read the subdifferential.

    Returns:
        ``subdifferential_distance`` and ``tangential_subdifferential_distance`` (0 at a fixed
        point), ``regrow_margin`` (above 1 the base step outgrows the decay in the null block),
        NaN where tau is zero, and ``tangent_alignment`` in [0, 1].
    """
    decaying = amount > 0
    tau = torch.where(decaying, amount, 1.0)
    G = base.double() / tau[..., None, None]
    distances = {
        "subdifferential_distance": linalg.distance_to_subdifferential(G, matrix, rank),
        "tangential_subdifferential_distance": linalg.distance_to_subdifferential(
            tangential_part(G, matrix), matrix, rank, tangential=True
        ),
        "regrow_margin": linalg.regrow_margin(base, matrix, tau, rank),
    }
    known = {name: torch.where(decaying, value, torch.nan) for name, value in distances.items()}
    return known | {"tangent_alignment": linalg.tangent_alignment(base, matrix, rank)}


def overshoots(matrix: Tensor, amount: Tensor) -> dict[str, Tensor]:
    """How far one step along the published direction or the polar factor would pass zero here.

    Definition: a step ``W - tau U f(S) V^T`` overshoots by ``max_i max(tau f(sigma_i) - sigma_i,
    0)``. The proximal step never does.

    Args:
        matrix: W ``(..., m, n)``, in the dtype in which it is stored.
        amount: tau ``(...,)``.

    Returns:
        ``overshoot_published`` (five cubic steps) and ``overshoot_polar`` (f = 1) in units of tau,
        in [0, 1]; NaN where tau is zero.
    """
    values = linalg.singular_values(matrix)
    relative = values / torch.where(amount > 0, amount, torch.nan)[..., None]
    return {
        f"overshoot_{name}": (f - relative).clamp(min=0).amax(-1)
        for name, f in _published_and_polar(values, matrix.dtype).items()
    }


def turns(matrix: Tensor) -> dict[str, Tensor]:
    """How much of the published direction, and of the polar factor, turns the matrix.

    Args:
        matrix: W ``(..., m, n)``, in the dtype in which it is stored.

    Returns:
        ``tangential_fraction_published`` (five cubic steps) and ``tangential_fraction_polar``:
        the sine of the angle to W, 0.098 and 0.53 for a Gaussian 128 x 128 matrix.
    """
    values = linalg.singular_values(matrix)
    spectrum = torch.diag_embed(values)
    return {
        f"tangential_fraction_{name}": tangential_fraction(torch.diag_embed(f), spectrum)
        for name, f in _published_and_polar(values, matrix.dtype).items()
    }


def _published_and_polar(values: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """f(sigma) of the two directions, from a diagonal matrix with the same singular values."""
    # Rounding decides which singular values the polar factor drops, so the stored dtype counts.
    spectrum = torch.diag_embed(values.nan_to_num(nan=0.0).to(dtype))
    factors = {
        "published": linalg.polar_factor(spectrum, method="published"),
        "polar": linalg.polar_factor(spectrum, method="svd"),
    }
    return {n: X.diagonal(dim1=-2, dim2=-1).double() for n, X in factors.items()}
