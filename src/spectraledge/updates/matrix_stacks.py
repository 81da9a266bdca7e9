"""The matrices of a group inside flat parameters, equal shapes stacked for one operation each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Groups, group_names

__all__ = ["MatrixStack", "matrix_stacks"]


@dataclass(frozen=True)
class MatrixStack:
    """K matrices of one shape inside flat parameters ``(R, P)``, to be treated as one tensor.

    Args:
        starts: Columns at which the parameters begin.
        heads: Blocks of rows that each parameter is cut into, each a matrix of its own.
        rows: Rows of one matrix.
        columns: Columns of one matrix.
        first: Number of matrices of the group in earlier stacks.
    """

    starts: tuple[int, ...]
    heads: int
    rows: int
    columns: int
    first: int

    @property
    def count(self) -> int:
        """Number of matrices K."""
        return self.heads * len(self.starts)

    @property
    def place(self) -> slice:
        """Where this stack lies among one number per matrix of the group ``(R, M)``."""
        return slice(self.first, self.first + self.count)

    def key(self, name: str) -> str:
        """Name of a state tensor that belongs to this stack, e.g. ``momentum_128x64``."""
        return f"{name}_{self.rows}x{self.columns}"

    def read(self, flat: Tensor) -> Tensor:
        """A copy of the matrices, ``(R, K, rows, columns)``."""
        return torch.cat(self._views(flat), dim=1)

    def norms(self, flat: Tensor) -> Tensor:
        """Frobenius norms ``(R, K)`` float64, without a copy of the matrices."""
        return torch.cat([frobenius_norm(view) for view in self._views(flat)], dim=1)

    def scale_(self, flat: Tensor, factors: Tensor) -> None:
        """Multiply each matrix by a number, in place; 1 leaves every bit alone.

        Args:
            flat: ``(R, P)``, changed.
            factors: ``(R, K)``.
        """
        pieces = factors.to(flat.dtype)[..., None, None].split(self.heads, dim=1)
        for view, piece in zip(self._views(flat), pieces):
            view.mul_(piece)

    def write_(self, flat: Tensor, matrices: Tensor, chosen: Tensor) -> None:
        """Put matrices back, in place.

        Args:
            flat: ``(R, P)``, changed.
            matrices: ``(R, K, rows, columns)``.
            chosen: ``(R, K)`` bool; elsewhere every bit stays as it is, whatever `matrices` holds.
        """
        pieces = matrices.split(self.heads, dim=1)
        masks = chosen[..., None, None].split(self.heads, dim=1)
        for view, piece, mask in zip(self._views(flat), pieces, masks):
            view.copy_(torch.where(mask, piece, view))

    def _views(self, flat: Tensor) -> list[Tensor]:
        size = self.heads * self.rows * self.columns
        shape = (-1, self.heads, self.rows, self.columns)
        return [flat[:, start : start + size].view(shape) for start in self.starts]


def matrix_stacks(
    owner: str, on: str, layout: Layout, groups: Groups, heads: int = 1
) -> tuple[MatrixStack, ...]:
    """The matrices of a group, equal shapes together.

    Args:
        owner: Name of the update that asks, for messages.
        on: Name of the group.
        layout: Names and shapes of the parameters.
        groups: The groups that the model offers.
        heads: Cut the rows of each parameter into this many matrices.

    Returns:
        One stack per shape, in order of shape; inside a stack in order of the group.

    Raises:
        ValueError: For an unknown or empty group, or one with tensors that are not matrices or do
            not divide into heads.
    """
    names = group_names(owner, on, groups)
    shapes = dict(zip(layout.names, layout.shapes))
    divided = f" whose rows divide into heads={heads}" if heads > 1 else ""
    for name in names:
        if len(shapes[name]) != 2 or shapes[name][0] % heads:
            raise ValueError(
                f"{owner}: expected matrices{divided}, got {name} of shape {shapes[name]} in "
                f"group {on!r}"
            )
    places = [(layout.span(name).start, *shapes[name]) for name in names]
    ordered = sorted(places, key=lambda place: place[1:])
    stacks: list[MatrixStack] = []
    for (rows, columns), same in groupby(ordered, key=lambda place: place[1:]):
        starts = tuple(start for start, *_ in same)
        stacks.append(MatrixStack(starts, heads, rows // heads, columns, _count(stacks)))
    return tuple(stacks)


def _count(stacks: Iterable[MatrixStack]) -> int:
    return sum(stack.count for stack in stacks)
