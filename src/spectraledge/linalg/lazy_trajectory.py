"""Products of trajectories that do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spectraledge.linalg.trajectory_gram import Products, cross_products

__all__ = ["lazy_products_of_pieces", "lazy_trajectory_products"]


def lazy_trajectory_products(
    read: Callable[[int], Float[Tensor, "*batch D"]], count: int, *, held: int = 8
) -> Products:
    """Products of a trajectory that does not fit into memory, reading points more than once.

    Args:
        read: Gives point t ``(..., D)``, e.g. from a file.
        count: Number of points T, >= 1.
        held: How many points to read at once, >= 1; twice as many are in memory.

    Returns:
        ``(..., T, T)`` float64, as `trajectory_products`.

    Raises:
        ValueError: For a count or `held` below 1.

    Cost: each point is read ``T / (2 held)`` times.

    Example:
        >>> points = torch.eye(3)
        >>> lazy_trajectory_products(points.__getitem__, 3, held=1)[1].tolist()
        [-1.0, 2.0, 1.0]
    """
    (products,) = lazy_products_of_pieces(lambda t: (read(t),), count, held=held)
    return products


def lazy_products_of_pieces(
    read: Callable[[int], Sequence[Float[Tensor, "*batch _"]]], count: int, *, held: int = 8
) -> list[Products]:
    """`lazy_trajectory_products` of each of several pieces of every point, from the same readings.

    Args:
        read: Gives the pieces of point t, each ``(..., D_i)``.
        count: Number of points T, >= 1.
        held: How many points to read at once, >= 1.

    Returns:
        ``(..., T, T)`` float64 for each piece.

    Raises:
        ValueError: For a count or `held` below 1.
    """
    if count < 1 or held < 1:
        raise ValueError(f"expected count >= 1 and held >= 1, got count={count}, held={held}")
    starts = read(0)
    products = [
        start.new_zeros(*start.shape[:-1], count, count, dtype=torch.float64) for start in starts
    ]
    for i in range(0, count, held):
        left = [read(t) for t in range(i, min(i + held, count))]
        for j in range(i, count, held):
            right = left if i == j else [read(t) for t in range(j, min(j + held, count))]
            for n, (start, whole) in enumerate(zip(starts, products)):
                ours = [point[n] for point in left]
                block = cross_products(
                    ours, ours if right is left else [p[n] for p in right], start, (i, j)
                )
                whole[..., i : i + held, j : j + held] = block
                whole[..., j : j + held, i : i + held] = block.mT
    return products
