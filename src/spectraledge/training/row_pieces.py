"""Batches cut into pieces of rows, where a Hessian-vector product of all of them takes too much."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.tasks import UNLABELLED
from spectraledge.training.network import VECTORS

__all__ = ["rows_at_a_time", "sum_of_pieces"]

# Numbers that a product may hold: 8 GiB in float32 if every position is needed, of which packing
# leaves less than half.
NUMBERS = 2**31
# Tensors as large as a layer's output that the value and each tangent hold, over all layers;
# measured on the published encoder-decoder of SCAN, 14 GB for 200 rows.
HELD = 10


def rows_at_a_time(layout: Layout, positions: int) -> int:
    """Rows of which a Hessian-vector product fits into memory.

    Args:
        layout: Of the parameters; each matrix has its rows as outputs.
        positions: Of a row.

    Returns:
        At least 1.

    Example:
        >>> rows_at_a_time(Layout(("weight",), ((1000, 4),)), positions=10)
        4294
    """
    outputs = sum(shape[0] for shape in layout.shapes if len(shape) == 2)
    each = HELD * (1 + VECTORS) * positions * max(outputs, 1)
    return max(1, NUMBERS // each)


def sum_of_pieces(
    function: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, labels: Tensor, rows: int
) -> Tensor:
    """A linear function of a batch's mean loss, from pieces of so many rows.

    The mean over labels of a batch is ``Σ_c (n_c / n)`` times the mean over the ``n_c`` labels of
    piece c, and so is its Hessian.

    Args:
        function: Of tokens and labels of a piece, ``(R, ...)``.
        tokens: ``(R, B, T)``.
        labels: ``(R, B, *outputs)``.
        rows: Most rows of a piece, >= 1.

    Returns:
        As the function of the whole batch, up to the order of sums; exactly that if one piece
        holds it.
    """
    if tokens.shape[1] <= rows:
        return function(tokens, labels)
    whole = _labelled(labels)
    parts = []
    for own_tokens, own_labels in zip(tokens.split(rows, 1), labels.split(rows, 1)):
        found = function(own_tokens, own_labels)
        share = _labelled(own_labels) / whole
        share = share.to(found).view(-1, *[1] * (found.ndim - 1))
        # A run's rows without a label have no mean, and add nothing.
        parts.append(torch.where(share > 0, share * found, torch.zeros_like(found)))
    return torch.stack(parts).sum(0)


def _labelled(labels: Tensor) -> Tensor:
    """Labels of each run, ``(R,)``."""
    return (labels != UNLABELLED).flatten(1).sum(1).double()
