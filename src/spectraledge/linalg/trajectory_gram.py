"""Inner products of the points of a trajectory: all that principal component analysis needs.

A trajectory W_0, ..., W_{T-1} of D numbers each has at most T - 1 directions, so its principal
components follow from T x T inner products (Gram matrix) at any D. The first point is kept beside
the displacements, in one symmetric matrix of *products*::

    products[0, 0] = <W_0, W_0>
    products[0, t] = <W_0, W_t - W_0>              t >= 1
    products[s, t] = <W_s - W_0, W_t - W_0>        s, t >= 1

Products of disjoint sets of parameters add up to the products of their union, and products of the
first points are a leading block, so one pass serves every matrix, layer and window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

__all__ = [
    "Products",
    "TrajectoryGram",
    "cross_products",
    "displacement_gram",
    "gram_without_decayed_start",
    "gram_without_start",
    "trajectory_products",
]

Products = Float64[Tensor, "*batch T T"]
COLUMNS = 8192  # taken at once: few enough to stay in the cache
ROOM = 16  # points that lie in one piece of memory


class TrajectoryGram:
    """Products of a trajectory that grows by one point at a time, ``(R, T, T)`` float64.

    A point costs the products with all points before it; these are taken in float64, a few columns
    at a time, and no float64 copy of a point is kept. The points themselves are copied, sixteen
    after one another in memory: gathering them anew for every product took half of the time, and
    moving all of them to a larger piece of memory a fifth. Points that are too long for that may be
    added as their `CountSketch`, which is linear.

    Cost: ``R T D`` multiplications for the T-th point, and the memory of up to T + 15 points;
    what it takes beside training is in ``benchmarks/trajectory_analysis.py``.

    Example:
        >>> gram = TrajectoryGram()
        >>> for point in ([[2.0, 0.0]], [[2.0, 1.0]], [[1.0, 2.0]]):
        ...     gram.add(torch.tensor(point))
        >>> gram.products.tolist()
        [[[4.0, 0.0, -2.0], [0.0, 1.0, 2.0], [-2.0, 2.0, 5.0]]]
    """

    def __init__(self) -> None:
        self.products: Products = torch.zeros(1, 0, 0, dtype=torch.float64)
        self._shapes: list[tuple[int, ...]] = []
        self._kept: list[list[Tensor]] = []  # of each piece, blocks (R, ROOM, D_i) of points

    @property
    def points(self) -> int:
        """Number of points T."""
        return self.products.shape[-1]

    def add(self, *pieces: Float[Tensor, "R _"]) -> None:
        """Append a point.

        Args:
            *pieces: Tensors ``(R, D_i)`` that together hold the point.

        Raises:
            ValueError: If the shapes are not those of the first point.
        """
        shapes = [tuple(p.shape) for p in pieces]
        if not self._shapes:
            self._shapes = shapes
            self.products = pieces[0].new_zeros(len(pieces[0]), 0, 0, dtype=torch.float64)
        if shapes != self._shapes:
            raise ValueError(f"expected pieces of shapes {self._shapes} as at first, got {shapes}")
        self._keep(pieces)
        self._grow()

    def _keep(self, point: tuple[Tensor, ...]) -> None:
        block, row = divmod(self.points, ROOM)
        if not self._kept:
            self._kept = [[] for _ in point]
        for kept, piece in zip(self._kept, point):
            if block == len(kept):
                kept.append(piece.new_empty(len(piece), ROOM, piece.shape[1]))
            kept[block][:, row] = piece

    def _grow(self) -> None:
        # Run by run, so that a run's numbers do not depend on how many others there are.
        rows = torch.stack([self._row(run) for run in range(len(self.products))])
        old, size = self.products, self.points + 1
        self.products = old.new_zeros(len(old), size, size)
        self.products[:, :-1, :-1] = old
        self.products[:, -1, :] = rows
        self.products[:, :, -1] = rows

    def _row(self, run: int) -> Tensor:
        """Products of the last point with all, and so of its displacement."""
        size, newest = self.points + 1, divmod(self.points, ROOM)
        row, square = self.products.new_zeros(size), self.products.new_zeros(())
        for kept in self._kept:
            blocks = [block[run] for block in kept]
            # A device that is not the CPU wants few large operations.
            width = COLUMNS if row.device.type == "cpu" else max(1, blocks[0].shape[1])
            room = row.new_empty(ROOM, min(width, blocks[0].shape[1]))
            for columns in zip(*(block.split(width, dim=1) for block in blocks)):
                moved = columns[newest[0]][newest[1]].double()
                if self.points:
                    moved = moved - columns[0][0]
                square += moved @ moved
                for part, block in zip(row.split(ROOM), columns):
                    own = room[: len(part), : block.shape[1]].copy_(block[: len(part)])
                    part += own @ moved
        if self.points:
            # <W_s, d> - <W_0, d>: off by 1e-16 |W| |d|, for one pass less; |d|^2 does not cancel.
            row[1:] -= row[0].clone()
            row[-1] = square
        return row


def trajectory_products(
    points: Sequence[Float[Tensor, "*batch D"]] | Float[Tensor, "T *batch D"],
) -> Products:
    """Products of a whole trajectory at once, faster than `TrajectoryGram` point by point.

    Args:
        points: T tensors ``(..., D)``, or one ``(T, ..., D)``; read a few columns at a time.

    Returns:
        ``(..., T, T)`` float64; equal to those of `TrajectoryGram` up to rounding in float64.

    Raises:
        ValueError: If there is no point.

    Cost: ``T^2 D`` multiplications; 0.4 s for 75 points of 290,401 numbers on one busy CPU core.

    Example:
        >>> trajectory_products([torch.tensor([2.0, 0.0]), torch.tensor([2.0, 1.0])]).tolist()
        [[4.0, 0.0], [0.0, 1.0]]
    """
    if not len(points):
        raise ValueError("expected at least one point, got none")
    return cross_products(points, points, points[0], (0, 0))


def cross_products(
    left: Sequence[Tensor] | Tensor,
    right: Sequence[Tensor] | Tensor,
    start: Tensor,
    first: tuple[int, int],
) -> Tensor:
    """Products of two stretches of a trajectory that begin at the points numbered `first`.

    Args:
        left: Points ``(..., D)``.
        right: Points of the same trajectory.
        start: Its first point, from which all others are taken.
        first: Numbers of the first point of each stretch.

    Returns:
        ``(..., left, right)`` float64.
    """

    def displaced(points: Sequence[Tensor] | Tensor, number: int, columns: slice) -> Tensor:
        block = torch.stack([p[..., columns] for p in points], dim=-2).double()
        skipped = int(number == 0)  # the first point stands for itself
        block[..., skipped:, :] -= start[..., columns].double().unsqueeze(-2)
        return block

    total = start.new_zeros(*start.shape[:-1], len(left), len(right), dtype=torch.float64)
    for begin in range(0, start.shape[-1], COLUMNS):
        columns = slice(begin, begin + COLUMNS)
        a = displaced(left, first[0], columns)
        total += a @ (a if left is right else displaced(right, first[1], columns)).mT
    return total


def displacement_gram(products: Products) -> Products:
    """Gram matrix of the displacements ``W_t - W_0``; that of W_0 itself is 0."""
    gram = products.clone()
    gram[..., 0, :] = 0.0
    gram[..., :, 0] = 0.0
    return gram


def gram_without_decayed_start(
    products: Products, remaining: Float64[Tensor, "*batch T"]
) -> Products:
    """Gram matrix of ``W_t - r_t W_0``, where r_t of the first point has survived its decay.

    Args:
        products: ``(..., T, T)``.
        remaining: r_t in [0, 1], e.g. ``(1 - lr wd)^t``; all ones take nothing away but W_0.

    Returns:
        ``(..., T, T)`` float64, zero in the first row where r_0 = 1.

    Source: arXiv:2602.16746 finds one dominant direction; that decay of W_0 alone draws an exactly
    straight line, which this takes out, is derived here.

    Example:
        >>> decay = 0.5 ** torch.arange(3, dtype=torch.float64)
        >>> points = decay[:, None] * torch.ones(4)
        >>> gram_without_decayed_start(trajectory_products(points), decay).abs().max().item()
        0.0
    """
    gram, along = displacement_gram(products), _along_start(products)
    lost = 1 - remaining
    cross = lost.unsqueeze(-1) * along.unsqueeze(-2)
    square = products[..., :1, :1]
    return gram + cross + cross.mT + square * lost.unsqueeze(-1) * lost.unsqueeze(-2)


def gram_without_start(products: Products) -> Products:
    """Gram matrix of the parts of the displacements that are orthogonal to W_0.

    Needs no decay rate, unlike `gram_without_decayed_start`, but also takes out what else moved
    along W_0.

    Returns:
        ``(..., T, T)`` float64, zero in the first row.
    """
    along = _along_start(products)
    unit = along / products[..., :1, 0].sqrt()
    removed = unit.unsqueeze(-1) * unit.unsqueeze(-2)
    return displacement_gram(products) - torch.where(products[..., :1, :1] == 0, 0.0, removed)


def _along_start(products: Products) -> Tensor:
    along = products[..., 0, :].clone()
    along[..., 0] = 0.0
    return along
