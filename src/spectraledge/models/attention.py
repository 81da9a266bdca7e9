"""Scaled dot-product attention for the short sequences of grokking tasks."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["attend"]

# Below this length one fused broadcast is faster than many tiny matrix products: at 3 positions
# the products are 3 x 32 x 3, far below the size at which a GEMM call pays for itself.
BROADCAST_LENGTH = 8


def attend(
    query: Float[Tensor, "B Q D"],
    key: Float[Tensor, "B K D"],
    value: Float[Tensor, "B K D"],
    heads: int,
    *,
    seen: Bool[Tensor, "... K"] | None = None,
) -> Float[Tensor, "B Q D"]:
    """Multi-head attention, softmax(q kᵀ / √d_h) v for each head, concatenated.

    Args:
        query: Projected queries; heads are consecutive slices of the last axis.
        key: Projected keys.
        value: Projected values.
        heads: Number of heads; divides D.
        seen: Which keys a query sees, at least one; ``(Q, K)``, or ``(B, Q, K)`` with Q or 1
            rows. All if None.

    Returns:
        The mixed values, heads concatenated.
    """
    q, k, v = (x.unflatten(-1, (heads, -1)) for x in (query, key, value))
    scale = q.shape[-1] ** -0.5
    if k.shape[-3] <= BROADCAST_LENGTH and seen is None:
        score = (q.unsqueeze(-3) * k.unsqueeze(-4)).sum(-1) * scale
        weight = torch.softmax(score, dim=-2)
        return (weight.unsqueeze(-1) * v.unsqueeze(-4)).sum(-3).flatten(-2)
    score = torch.einsum("bqhd,bkhd->bhqk", q, k) * scale
    if seen is not None:
        every = seen if seen.ndim == 2 else seen.unsqueeze(-3)
        score = score.masked_fill(~every, -torch.inf)
    return torch.einsum("bhqk,bkhd->bqhd", torch.softmax(score, dim=-1), v).flatten(-2)
