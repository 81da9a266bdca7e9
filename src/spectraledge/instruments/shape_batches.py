"""Matrices of equal shape measured together: one decomposition call instead of one per matrix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import WeightMatrix, check_kinds

__all__ = ["check_kinds", "map_by_shape"]


def map_by_shape(
    function: Callable[..., dict[str, Tensor]],
    matrices: Sequence[WeightMatrix],
    layout: Layout,
    *flats: Tensor,
) -> dict[str, Tensor]:
    """Apply a batched function to matrices of several shapes.

    Args:
        function: Takes one stack ``(*runs, k, m, n)`` per flat tensor, all of one shape, and
            returns named arrays ``(*axes, k)``; must treat matrices independently.
        matrices: Where the matrices live, at least one.
        layout: Layout of the flat tensors.
        *flats: Flat parameters or displacements ``(*runs, P)``.

    Returns:
        Named arrays ``(*axes, M)`` in the order of `matrices`.

    Example:
        >>> from spectraledge.weight_matrices import weight_matrices
        >>> layout = Layout(("a.query.weight", "a.key.weight"), ((2, 2), (1, 2)))
        >>> found = tuple(weight_matrices(layout).values())
        >>> total = lambda stack: {"sum": stack.sum((-2, -1))}
        >>> map_by_shape(total, found, layout, torch.arange(6.0))
        {'sum': tensor([6., 9.])}
    """
    views = [[matrix.view(flat, layout) for flat in flats] for matrix in matrices]
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for position, view in enumerate(views):
        groups[tuple(view[0].shape[-2:])].append(position)
    pieces = [
        function(*(torch.stack(same, dim=-3) for same in zip(*(views[p] for p in positions))))
        for positions in groups.values()
    ]
    order = torch.tensor([p for positions in groups.values() for p in positions]).argsort()
    return {name: torch.cat([p[name].cpu() for p in pieces], -1)[..., order] for name in pieces[0]}
