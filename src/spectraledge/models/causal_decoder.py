"""A pre-LayerNorm decoder with a causal mask and logits at every position.

Xu (2026), arXiv 2604.07380 and 2602.16967: the encoder of the modular tasks with a causal mask,
for bracket depths. Blocks start as exact copies of one another, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spectraledge.models.base import check_heads, check_positive, seeded
from spectraledge.models.encoder import EncoderBlock
from spectraledge.models.lines import Lines, Stream, before, sees, up_to_last

__all__ = ["CausalDecoder", "CausalDecoderSpec"]


class CausalDecoder(nn.Module):
    """Tokens ``(B, T)`` to logits ``(B, T, classes)``.

    Padding stands at the end of a row, so that the causal mask keeps it from being seen, and has
    no label; no other mask is needed.

    Args:
        spec: Sizes.
        vocabulary: Number of tokens, padding included.
        length: Number of positions T that are used.
        classes: Number of logits.
    """

    def __init__(self, spec: CausalDecoderSpec, vocabulary: int, length: int, classes: int) -> None:
        super().__init__()
        width = spec.width
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Parameter(torch.randn(max(spec.positions, length), width))
        self.blocks = nn.ModuleList(
            EncoderBlock(width, spec.heads, spec.mlp_width) for _ in range(spec.layers)
        )
        for block in self.blocks[1:]:
            block.load_state_dict(self.blocks[0].state_dict())
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T classes"]:
        """Logits of every position."""
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[-1]]
        return self._logits(x, before(x))

    def streams(
        self, tokens: Int[Tensor, "B T"], labelled: Bool[Tensor, "B T"]
    ) -> tuple[Stream, ...]:
        """The rows up to their last labels; equal beginnings have equal activations."""
        return (Stream(tokens, up_to_last(labelled), shared=True),)

    def packed_forward(self, streams: Sequence[Lines]) -> Float[Tensor, "L T classes"]:
        """Logits of packed lines, as `forward` has them at the positions that they hold."""
        (lines,) = streams
        x = self.token_embedding(lines.tokens) + self.position_embedding[lines.places]
        return self._logits(x, sees(lines, lines, causal=True))

    def _logits(self, x: Tensor, seen: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, seen)
        return self.head(self.final_norm(x))


@dataclass(frozen=True)
class CausalDecoderSpec:
    """Sizes of `CausalDecoder`; the defaults are the published ones.

    Args:
        width: Residual width.
        layers: Number of blocks.
        heads: Attention heads; divides `width`.
        mlp_width: Hidden width of the MLP.
        positions: Rows of the position embedding; more than a task uses is allowed, and published.

    Raises:
        ValueError: For sizes below 1 or heads that do not divide the width.

    Example:
        >>> model = CausalDecoderSpec().build(vocabulary=3, length=24, classes=13, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        273421
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    mlp_width: int = 256
    positions: int = 48

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_heads(owner, self.width, self.heads)
        check_positive(
            owner, layers=self.layers, mlp_width=self.mlp_width, positions=self.positions
        )

    def build(self, *, vocabulary: int, length: int, classes: int, seed: int) -> nn.Module:
        """A freshly initialised model with identical blocks."""
        with seeded(seed):
            return CausalDecoder(self, vocabulary, length, classes)
