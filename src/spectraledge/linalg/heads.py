"""Attention heads: per-head blocks of a projection and the spectrum of the query-key circuit.

The logit of head h between tokens x and y is ``x^T M_h y`` with ``M_h = W_Q,h^T D W_K,h``. Rank
statements about attention concern M_h, not W_Q; both are worth reporting.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.spectra import singular_values

__all__ = ["merge_heads", "qk_circuit_singular_values", "split_heads"]


def split_heads(
    matrix: Float[Tensor, "*batch m n"], heads: int, *, axis: int = -2
) -> Float[Tensor, "*batch heads rows columns"]:
    """View a projection as one block per head.

    Args:
        matrix: ``(..., H*d_h, d)``, or ``(..., d, H*d_h)`` with ``axis=-1``.
        heads: Number of heads H.
        axis: -2 for query, key and value projections, -1 for the output projection.

    Returns:
        ``(..., H, d_h, d)``, or ``(..., H, d, d_h)``; a view.

    Raises:
        ValueError: If the axis is neither -2 nor -1, or its size is not divisible by heads.

    Example:
        >>> split_heads(torch.zeros(128, 64), 4).shape
        torch.Size([4, 32, 64])
    """
    if axis not in (-2, -1):
        raise ValueError(f"expected axis -2 (rows) or -1 (columns), got axis={axis}")
    size = matrix.shape[axis]
    if heads < 1 or size % heads:
        raise ValueError(
            f"expected a number of heads that divides axis {axis} of size {size}, got "
            f"heads={heads}; shape {tuple(matrix.shape)}"
        )
    split = matrix.unflatten(axis, (heads, size // heads))
    return split if axis == -2 else split.movedim(-2, -3)


def merge_heads(
    blocks: Float[Tensor, "*batch heads rows columns"], *, axis: int = -2
) -> Float[Tensor, "*batch m n"]:
    """Inverse of `split_heads`.

    Args:
        blocks: ``(..., H, d_h, d)``, or ``(..., H, d, d_h)`` with ``axis=-1``.
        axis: The axis that was split.

    Returns:
        ``(..., H*d_h, d)``, or ``(..., d, H*d_h)``.

    Example:
        >>> W = torch.arange(12.0).reshape(4, 3)
        >>> bool((merge_heads(split_heads(W, 2)) == W).all())
        True
    """
    return blocks.flatten(-3, -2) if axis == -2 else blocks.movedim(-3, -2).flatten(-2)


def qk_circuit_singular_values(
    query: Float[Tensor, "*batch m d"],
    key: Float[Tensor, "*batch k d"],
    heads: int,
    query_gain: Float[Tensor, "*batch g"] | None = None,
    key_gain: Float[Tensor, "*batch h"] | None = None,
) -> Float[Tensor, "*batch heads q"]:
    r"""Non-zero singular values of the query-key circuit of every head.

    Definition: ``M_h = W_Q,h^T diag(g_Q,h * g_K,h) W_K,h``, a ``d x d`` matrix of rank at most
    d_h. They are those of the ``d_h x d_h`` core ``R_Q R_K^T`` of the two QR factorisations. A
    full-width norm also divides by a token-dependent length, which is dropped; with rotary
    positions this is offset 0.

    Args:
        query: ``(..., H*d_h, d)`` query projection.
        key: Key projection, same shape; with fewer key heads than query heads (grouped-query
            attention), each key head serves the same number of consecutive query heads.
        heads: Number of query heads H.
        query_gain: Gain of the query norm, ``(..., H*d_h)`` or ``(..., d_h)`` shared by heads.
        key_gain: Gain of the key norm, likewise.

    Returns:
        ``(..., H, min(d_h, d))``, largest first, float64; NaN where an input is not finite.

    Raises:
        ValueError: If heads does not divide the query rows, the key heads do not fit, or a gain
            has a size that is neither that of a head nor that of all heads.

    Example:
        >>> qk_circuit_singular_values(2 * torch.eye(4), torch.eye(4), heads=2).tolist()
        [[2.0, 2.0], [2.0, 2.0]]
    """
    left = split_heads(query.double(), heads)
    size = left.shape[-2]
    if key.shape[-2] % size or heads % (key.shape[-2] // size):
        raise ValueError(
            f"expected key rows to be d_h={size} times a divisor of heads={heads}, got "
            f"{key.shape[-2]} rows; check heads and the order of query and key"
        )
    groups = key.shape[-2] // size
    right = split_heads(key.double(), groups)
    left = left * _gain(query_gain, heads, size, left)
    right = right * _gain(key_gain, groups, size, right)
    right = right.repeat_interleave(heads // groups, dim=-3)
    finite = (left.isfinite() & right.isfinite()).all(-1, keepdim=True).all(-2, keepdim=True)
    core = _triangle(torch.where(finite, left, 0.0)) @ _triangle(torch.where(finite, right, 0.0)).mT
    return singular_values(torch.where(finite, core, torch.nan))


def _gain(gain: Tensor | None, heads: int, size: int, like: Tensor) -> Tensor:
    if gain is None:
        return torch.ones((), dtype=like.dtype, device=like.device)
    if gain.shape[-1] == heads * size:
        return gain.double().unflatten(-1, (heads, size))[..., None]
    if gain.shape[-1] == size:
        return gain.double()[..., None, :, None]
    raise ValueError(
        f"expected a gain of size d_h={size} or H*d_h={heads * size}, got {gain.shape[-1]}"
    )


def _triangle(block: Tensor) -> Tensor:
    return torch.linalg.qr(block.mT, mode="r").R
