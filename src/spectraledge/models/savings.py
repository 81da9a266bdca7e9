"""Two savings that leave a read-out transformer's function exactly as it is.

Grokking models answer at one position and see few distinct (token, position) pairs. So the last
block needs queries, attention output and MLP at that position only, and the first block's
projections need computing once per distinct pair instead of once per example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ReadOutBlock", "first_projections", "residual_at_read_out"]


@runtime_checkable
class ReadOutBlock(Protocol):
    """A block that can be run whole, from given projections, or at the read-out only."""

    def __call__(self, x: Tensor) -> Tensor:
        """Residual stream after the block, every position."""
        ...

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of a residual stream."""
        ...

    def finish(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Residual stream at the positions of `x` and `query`."""
        ...

    def read_out(self, x: Tensor) -> Tensor:
        """Residual stream at the read-out position, ``(B, 1, width)``."""
        ...


def first_projections(
    tokens: Tensor,
    embedding: nn.Embedding,
    position: Tensor,
    projections: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
) -> tuple[Tensor, ...]:
    """Embedded tokens with the first block's queries, keys and values, each ``(B, T, width)``.

    Projects a ``(T, vocabulary)`` table and looks rows up in it, which costs T·vocabulary
    projections instead of T·B; with fewer examples than tokens it projects the examples.

    Args:
        tokens: Token ids ``(B, T)``.
        embedding: Token embedding.
        position: Position embedding ``(T, width)``.
        projections: Maps a residual stream to queries, keys and values.

    Returns:
        Residual stream, queries, keys, values.
    """
    vocabulary = embedding.num_embeddings
    if tokens.shape[0] <= vocabulary:
        x = embedding(tokens) + position
        return x, *projections(x)
    table = embedding.weight + position.unsqueeze(-2)
    rows = torch.cat([table, *projections(table)], dim=-1).flatten(0, 1)
    row = tokens + vocabulary * torch.arange(tokens.shape[1], device=tokens.device)
    return F.embedding(row, rows).chunk(4, dim=-1)


def residual_at_read_out(
    blocks: list[ReadOutBlock], first: tuple[Tensor, ...], at: slice
) -> Tensor:
    """Final residual stream ``(B, 1, width)`` at the read-out position.

    Args:
        blocks: The model's blocks.
        first: Residual stream, queries, keys and values of the first block.
        at: One-position slice that is read.

    Returns:
        The residual stream after the last block, at that position only.
    """
    x, query, key, value = first
    if len(blocks) == 1:
        return blocks[0].finish(x[:, at], query[:, at], key, value)
    x = blocks[0].finish(x, query, key, value)
    for block in blocks[1:-1]:
        x = block(x)
    return blocks[-1].read_out(x)
