"""The scale-invariant decoder of the low-rank-decay literature.

Pre-RMSNorm blocks whose queries and keys are normalised again (QK-norm), so that the network's
function does not change when a query or key matrix is multiplied by a positive number. It is the
reference model of the low-rank-decay code (Ji and Song, 2025; Li, 2026, arXiv 2606.04405): two
blocks of width 128, four heads, no mask, and logits read at the last position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spectraledge.models.attention import attend
from spectraledge.models.base import check_heads, check_positive, seeded
from spectraledge.models.savings import ReadOutBlock, first_projections, residual_at_read_out

__all__ = ["RMSNorm", "ScaleInvariantDecoder", "ScaleInvariantDecoderSpec"]

# Small enough to leave scale invariance exact to rounding for every weight that training reaches.
NORM_FLOOR = 1e-12


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, x ↦ √n · x / max(‖x‖₂, 1e-12) · gain over groups of n.

    Args:
        width: Size of the last axis.
        groups: Number of equal slices of the last axis, each normalised by itself.
        gain: Whether each entry has a learned factor, initially 1.
    """

    def __init__(self, width: int, *, groups: int = 1, gain: bool = True) -> None:
        super().__init__()
        self.groups = groups
        self.gain = nn.Parameter(torch.ones(width)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis, group by group."""
        grouped = x.unflatten(-1, (self.groups, -1)) if self.groups > 1 else x
        square = grouped.square().sum(-1, keepdim=True).clamp_min(NORM_FLOOR**2)
        normal = grouped * (torch.rsqrt(square) * grouped.shape[-1] ** 0.5)
        normal = normal.flatten(-2) if self.groups > 1 else normal
        return normal if self.gain is None else normal * self.gain


class Attention(nn.Module):
    """Query, key, value and output projections with QK-norm; no biases."""

    def __init__(self, spec: ScaleInvariantDecoderSpec) -> None:
        super().__init__()
        width, self.heads = spec.width, spec.heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        groups = spec.heads if spec.qk_norm == "per_head" else 1
        normed = spec.qk_norm != "none"
        self.query_norm = RMSNorm(width, groups=groups, gain=spec.qk_gain) if normed else None
        self.key_norm = RMSNorm(width, groups=groups, gain=spec.qk_gain) if normed else None

    def queries(self, x: Tensor) -> Tensor:
        """Normalised queries."""
        query = self.query(x)
        return query if self.query_norm is None else self.query_norm(query)

    def keys(self, x: Tensor) -> Tensor:
        """Normalised keys."""
        key = self.key(x)
        return key if self.key_norm is None else self.key_norm(key)

    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend and project back to the residual stream."""
        return self.output(attend(query, key, value, self.heads))


class MLP(nn.Module):
    """``down(silu(up x))``, or ``down(silu(gate x) * up x)`` for SwiGLU; no biases."""

    def __init__(self, width: int, hidden: int, *, gated: bool) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False) if gated else None
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last axis."""
        hidden = F.silu(self.up(x)) if self.gate is None else F.silu(self.gate(x)) * self.up(x)
        return self.down(hidden)


class Block(nn.Module):
    """Attention and MLP, each behind an RMSNorm and added to the residual stream."""

    def __init__(self, spec: ScaleInvariantDecoderSpec) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(spec.width)
        self.attention = Attention(spec)
        self.mlp_norm = RMSNorm(spec.width)
        self.mlp = MLP(spec.width, spec.mlp_width, gated=spec.mlp == "swiglu")

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of a residual stream."""
        normal = self.attention_norm(x)
        attention = self.attention
        return attention.queries(normal), attention.keys(normal), attention.value(normal)

    def finish(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Residual stream after attention over the given projections, and after the MLP."""
        x = x + self.attention.mix(query, key, value)
        return x + self.mlp(self.mlp_norm(x))

    def forward(self, x: Tensor) -> Tensor:
        """Residual stream after the block, every position."""
        return self.finish(x, *self.projections(x))

    def read_out(self, x: Tensor) -> Tensor:
        """The last position only: keys and values of all, everything else of one."""
        normal = self.attention_norm(x)
        query = self.attention.queries(normal[:, -1:])
        key, value = self.attention.keys(normal), self.attention.value(normal)
        return self.finish(x[:, -1:], query, key, value)


class ScaleInvariantDecoder(nn.Module):
    """Tokens ``(B, T)`` to logits ``(B, classes)`` at the last position.

    `forward` makes two savings that do not change the function: the last block computes only the
    read-out position, and the first block projects each distinct (token, position) once instead
    of once per example. `naive_forward` makes neither.

    Args:
        spec: Sizes and variants.
        vocabulary: Number of tokens.
        length: Number of positions T.
        classes: Number of logits.
    """

    read_out_position = -1

    def __init__(
        self, spec: ScaleInvariantDecoderSpec, vocabulary: int, length: int, classes: int
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, spec.width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(length, spec.width))
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.final_norm = RMSNorm(spec.width)
        self.head = nn.Linear(spec.width, classes, bias=False)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B classes"]:
        """Logits at the last position."""
        blocks = cast(list[ReadOutBlock], list(self.blocks))
        first = first_projections(
            tokens, self.token_embedding, self.position_embedding, blocks[0].projections
        )
        x = residual_at_read_out(blocks, first, slice(-1, None))
        return self.head(self.final_norm(x.squeeze(-2)))

    def naive_forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B classes"]:
        """The same logits without the savings: every position, every example."""
        x = self.token_embedding(tokens) + self.position_embedding
        for block in self.blocks:
            x = block(x)
        return self.head(self.final_norm(x[:, -1]))


@dataclass(frozen=True)
class ScaleInvariantDecoderSpec:
    """Sizes and variants of `ScaleInvariantDecoder`; the defaults are the published model.

    Args:
        width: Residual width.
        layers: Number of blocks.
        heads: Attention heads; divides `width`.
        mlp: ``silu`` (published script) or ``swiglu`` (paper author's notebook).
        mlp_width: Hidden width of the MLP.
        qk_norm: ``full`` normalises the whole query before the head split, so that the whole
            matrix is scale invariant; ``per_head`` normalises each head, so that each head block
            is; ``none`` leaves queries and keys as they are, so that neither is.
        qk_gain: Whether QK-norm has a learned gain (a softmax temperature).

    Raises:
        ValueError: For sizes below 1, heads that do not divide the width, or unknown variants.

    Example:
        >>> spec = ScaleInvariantDecoderSpec()
        >>> model = spec.build(vocabulary=114, length=3, classes=114, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        423936
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    mlp: Literal["silu", "swiglu"] = "silu"
    mlp_width: int = 512
    qk_norm: Literal["full", "per_head", "none"] = "full"
    qk_gain: bool = True

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_heads(owner, self.width, self.heads)
        check_positive(owner, layers=self.layers, mlp_width=self.mlp_width)
        if self.mlp not in ("silu", "swiglu"):
            raise ValueError(f"{owner}: expected mlp 'silu' or 'swiglu', got {self.mlp!r}")
        if self.qk_norm not in ("full", "per_head", "none"):
            raise ValueError(
                f"{owner}: expected qk_norm 'full', 'per_head' or 'none', got {self.qk_norm!r}"
            )

    def build(self, *, vocabulary: int, length: int, classes: int, seed: int) -> nn.Module:
        """A freshly initialised model: torch's default linear init, embeddings N(0, 1)."""
        with seeded(seed):
            return ScaleInvariantDecoder(self, vocabulary, length, classes)
