"""The pre-LayerNorm encoder of the execution-subspace literature.

Xu (2026), arXiv 2602.16746: two tokens, no mask, exact GELU, logits read at position 0, and
blocks that start as exact copies of one another. The copies matter for comparing layers along a
trajectory, so they are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spectraledge.models.attention import attend
from spectraledge.models.base import check_heads, check_positive, seeded
from spectraledge.models.savings import ReadOutBlock, first_projections, residual_at_read_out

__all__ = ["PreNormEncoder", "PreNormEncoderSpec"]


class EncoderAttention(nn.Module):
    """Attention with a fused query-key-value projection, rows in that order, with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.output.bias)


class EncoderMLP(nn.Module):
    """``down(gelu(up x))`` with the exact GELU and biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last axis."""
        return self.down(F.gelu(self.up(x)))


class EncoderBlock(nn.Module):
    """Attention and MLP, each behind a LayerNorm and added to the residual stream."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = EncoderAttention(width, heads)
        self.mlp = EncoderMLP(width, hidden)
        self.attention_norm = nn.LayerNorm(width)
        self.mlp_norm = nn.LayerNorm(width)

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of a residual stream."""
        fused = self.attention.qkv(self.attention_norm(x))
        query, key, value = fused.chunk(3, dim=-1)
        return query, key, value

    def finish(
        self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None
    ) -> Tensor:
        """Residual stream after attention over the given projections, and after the MLP."""
        mixed = attend(query, key, value, self.attention.heads, seen=seen)
        x = x + self.attention.output(mixed)
        return x + self.mlp(self.mlp_norm(x))

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """Residual stream after the block, every position; all see all without a mask."""
        return self.finish(x, *self.projections(x), seen)

    def read_out(self, x: Tensor) -> Tensor:
        """Position 0 only: values of all positions, keys of all but one, the rest of one.

        Softmax is unchanged when all keys of a query move alike, so keys are taken relative to
        the first, which is then zero, and their bias drops out.

        Args:
            x: Residual stream ``(B, T, width)``.

        Returns:
            Residual stream after the block, ``(B, 1, width)``.
        """
        normal = self.attention_norm(x)
        width = x.shape[-1]
        query_weight, key_weight, value_weight = self.attention.qkv.weight.split(width)
        query_bias, _, value_bias = self.attention.qkv.bias.split(width)
        own, others = normal[:, :1], normal[:, 1:]
        query = F.linear(own, query_weight, query_bias)
        key = F.pad(F.linear(others - own, key_weight), (0, 0, 1, 0))
        value = F.linear(normal, value_weight, value_bias)
        return self.finish(x[:, :1], query, key, value)


class PreNormEncoder(nn.Module):
    """Tokens ``(B, T)`` to logits ``(B, classes)`` read at position 0.

    `forward` makes the same two exact savings as `ScaleInvariantDecoder`; `naive_forward` none.

    Args:
        spec: Sizes.
        vocabulary: Number of tokens.
        length: Number of positions T.
        classes: Number of logits.
    """

    read_out_position = 0

    def __init__(
        self, spec: PreNormEncoderSpec, vocabulary: int, length: int, classes: int
    ) -> None:
        super().__init__()
        width = spec.width
        self.position_embedding = nn.Parameter(torch.randn(length, width) / width**0.5)
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            EncoderBlock(width, spec.heads, spec.mlp_width) for _ in range(spec.layers)
        )
        for block in self.blocks[1:]:
            block.load_state_dict(self.blocks[0].state_dict())
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B classes"]:
        """Logits read at position 0."""
        blocks = cast(list[ReadOutBlock], list(self.blocks))
        first = first_projections(
            tokens, self.token_embedding, self.position_embedding, blocks[0].projections
        )
        x = residual_at_read_out(blocks, first, slice(0, 1))
        return self.head(self.final_norm(x.squeeze(-2)))

    def naive_forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B classes"]:
        """The same logits without the savings: every position, every example."""
        x = self.token_embedding(tokens) + self.position_embedding
        for block in self.blocks:
            x = block(x)
        return self.head(self.final_norm(x[:, 0]))


@dataclass(frozen=True)
class PreNormEncoderSpec:
    """Sizes of `PreNormEncoder`; the defaults are the published fast regime.

    Args:
        width: Residual width.
        layers: Number of blocks (the published slow regime has 3).
        heads: Attention heads; divides `width`.
        mlp_width: Hidden width of the MLP.

    Raises:
        ValueError: For sizes below 1 or heads that do not divide the width.

    Example:
        >>> model = PreNormEncoderSpec().build(vocabulary=97, length=2, classes=97, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        290401
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    mlp_width: int = 256

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_heads(owner, self.width, self.heads)
        check_positive(owner, layers=self.layers, mlp_width=self.mlp_width)

    def build(self, *, vocabulary: int, length: int, classes: int, seed: int) -> nn.Module:
        """A freshly initialised model with identical blocks."""
        with seeded(seed):
            return PreNormEncoder(self, vocabulary, length, classes)
