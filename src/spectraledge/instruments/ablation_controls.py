"""What to remove from a vector of weights: components along directions, and fair controls."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

__all__ = ["along", "matched_direction", "orthonormal_pair"]

Vectors = Float64[Tensor, "R D"]


def along(vector: Vectors, directions: Float64[Tensor, "R K D"]) -> Vectors:
    """The component ``Σ_k ⟨x, d_k⟩ d_k`` along orthonormal directions.

    Args:
        vector: x of each run.
        directions: Orthonormal d_k; NaN makes the component NaN.

    Returns:
        What to subtract for a vector orthogonal to every d_k.

    Example:
        >>> x = torch.tensor([[3.0, 4.0]]).double()
        >>> along(x, torch.tensor([[[1.0, 0.0]]]).double()).tolist()
        [[3.0, 0.0]]
    """
    shares = directions @ vector.unsqueeze(-1)
    return (shares.mT @ directions).squeeze(1)


def matched_direction(
    unit: Vectors, share: Float64[Tensor, "R 1"], random: Float64[Tensor, "R D"]
) -> Vectors:
    """A random unit direction that holds a given share of a vector's norm.

    Definition: ``q = f u + √(1 − f²) r`` with r the random vector made orthogonal to u and of unit
    length. Removing the component of ``x = ‖x‖ u`` along q removes exactly ``f ‖x‖``.

    Args:
        unit: u, the unit vector of x.
        share: f in [0, 1].
        random: Any vectors that are not multiples of u.

    Returns:
        q of each run.
    """
    rest = random - along(random, unit.unsqueeze(1))
    # Once more: the first subtraction leaves rounding along u, which f may be small against.
    rest = rest - along(rest, unit.unsqueeze(1))
    rest = rest / rest.norm(dim=-1, keepdim=True)
    return share * unit + (1 - share.square()).clamp(min=0).sqrt() * rest


def orthonormal_pair(first: Vectors, second: Vectors) -> Float64[Tensor, "R 2 D"]:
    """A basis of the plane of two vectors; Gaussian ones make a uniformly random plane."""
    start = first / first.norm(dim=-1, keepdim=True)
    rest = second - along(second, start.unsqueeze(1))
    return torch.stack([start, rest / rest.norm(dim=-1, keepdim=True)], 1)
