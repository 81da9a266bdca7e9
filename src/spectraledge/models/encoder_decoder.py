"""A pre-LayerNorm encoder-decoder for translating one padded sequence into another.

Xu (2026), arXiv 2604.07380 and 2602.16967: the model of the SCAN experiments, with torch's layout
of an encoder-decoder (a norm behind each stack) and one more norm before the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spectraledge.models.attention import attend
from spectraledge.models.base import check_heads, check_positive, seeded
from spectraledge.models.encoder import EncoderAttention, EncoderMLP
from spectraledge.models.lines import Lines, Stream, before, sees, up_to_last

__all__ = ["EncoderDecoder", "EncoderDecoderSpec"]

PAD = 0
Seen = Bool[Tensor, "..."]


class EncoderLayer(nn.Module):
    """Self-attention and MLP, each behind a LayerNorm and added to the residual stream."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = EncoderAttention(width, heads)
        self.mlp = EncoderMLP(width, hidden)
        self.attention_norm = nn.LayerNorm(width)
        self.mlp_norm = nn.LayerNorm(width)

    def attended(self, x: Tensor, seen: Seen | None) -> Tensor:
        """What self-attention adds."""
        own = self.attention
        query, key, value = own.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        mixed = attend(query, key, value, own.heads, seen=seen)
        return own.output(mixed)

    def forward(self, x: Tensor, seen: Seen | None) -> Tensor:
        """Residual stream after the layer."""
        x = x + self.attended(x, seen)
        return x + self.mlp(self.mlp_norm(x))


class DecoderLayer(EncoderLayer):
    """Causal self-attention, attention to the encoder's output, and MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__(width, heads, hidden)
        self.cross_attention = EncoderAttention(width, heads)
        self.cross_norm = nn.LayerNorm(width)

    def forward(  # type: ignore[override]
        self, x: Tensor, seen: Seen | None, memory: Tensor, memory_seen: Seen | None
    ) -> Tensor:
        """Residual stream after the layer."""
        x = x + self.attended(x, seen)
        x = x + self._read(x, memory, memory_seen)
        return x + self.mlp(self.mlp_norm(x))

    def _read(self, x: Tensor, memory: Tensor, seen: Seen | None) -> Tensor:
        cross, width = self.cross_attention, x.shape[-1]
        weight, bias = cross.qkv.weight, cross.qkv.bias
        query = F.linear(self.cross_norm(x), weight[:width], bias[:width])
        key, value = F.linear(memory, weight[width:], bias[width:]).chunk(2, dim=-1)
        return cross.output(attend(query, key, value, cross.heads, seen=seen))


class EncoderDecoder(nn.Module):
    """Rows of source and decoder input ``(B, S + T)`` to logits ``(B, T, classes)``.

    Padding has id 0 and stands at the end of both parts. The encoder's queries see no padding; the
    decoder needs no mask of its own padding, since a causal mask keeps what comes later from what
    has a label.

    Args:
        spec: Sizes.
        vocabulary: Number of source tokens.
        length: Positions S + T.
        classes: Number of target tokens, and logits.

    Raises:
        ValueError: If there is no room for a decoder input behind the source.
    """

    def __init__(
        self, spec: EncoderDecoderSpec, vocabulary: int, length: int, classes: int
    ) -> None:
        super().__init__()
        if length <= spec.source_length:
            raise ValueError(
                f"EncoderDecoder: expected rows longer than source_length={spec.source_length}, "
                f"got length {length}"
            )
        width, sizes = spec.width, (spec.width, spec.heads, spec.mlp_width)
        self.source_length, self.masks_memory = spec.source_length, spec.masks_memory
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(spec.source_length, width)
        self.target_token_embedding = nn.Embedding(classes, width)
        self.target_position_embedding = nn.Embedding(length - spec.source_length, width)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(spec.layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(spec.layers))
        for stack in (self.encoder, self.decoder):
            for parameter in stack.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, rows: Int[Tensor, "B S+T"]) -> Float[Tensor, "B T classes"]:
        """Logits of every position of the decoder."""
        source, target = rows[:, : self.source_length], rows[:, self.source_length :]
        seen = (source != PAD).unsqueeze(-2)
        memory = self.token_embedding(source) + self.position_embedding.weight
        x = self.target_token_embedding(target) + self.target_position_embedding.weight
        return self._logits(memory, x, seen, before(x), seen if self.masks_memory else None)

    def streams(
        self, tokens: Int[Tensor, "B S+T"], labelled: Bool[Tensor, "B T"]
    ) -> tuple[Stream, ...]:
        """The source, without its padding if nothing sees that, and the target."""
        source, target = tokens[:, : self.source_length], tokens[:, self.source_length :]
        read = (source != PAD) if self.masks_memory else torch.ones_like(source, dtype=torch.bool)
        # Two targets with the same beginning read different sources: nothing is shared.
        return Stream(source, read, False), Stream(target, up_to_last(labelled), False)

    def packed_forward(self, streams: Sequence[Lines]) -> Float[Tensor, "L T classes"]:
        """Logits of packed lines, as `forward` has them at the positions that they hold."""
        source, target = streams
        memory = self.token_embedding(source.tokens) + self.position_embedding(source.places)
        x = self.target_token_embedding(target.tokens)
        x = x + self.target_position_embedding(target.places)
        seen = sees(source, source, readable=source.tokens != PAD)
        before = sees(target, target, causal=True)
        return self._logits(memory, x, seen, before, sees(target, source))

    def _logits(
        self, memory: Tensor, x: Tensor, seen: Seen, before: Seen, memory_seen: Seen | None
    ) -> Tensor:
        for layer in self.encoder:
            memory = layer(memory, seen)
        memory = self.encoder_norm(memory)
        for layer in self.decoder:
            x = layer(x, before, memory, memory_seen)
        return self.head(self.final_norm(self.decoder_norm(x)))


@dataclass(frozen=True)
class EncoderDecoderSpec:
    """Sizes of `EncoderDecoder`; the defaults are the published ones, but for the memory's mask.

    Args:
        width: Residual width.
        layers: Layers of the encoder, and of the decoder.
        heads: Attention heads; divides `width`.
        mlp_width: Hidden width of the MLP.
        source_length: Tokens of a row that belong to the source.
        masks_memory: Whether the decoder is kept from padding of the source; the published
            training code does not.

    Raises:
        ValueError: For sizes below 1 or heads that do not divide the width.

    Example:
        >>> model = EncoderDecoderSpec().build(vocabulary=16, length=61, classes=9, seed=0)
        >>> sum(p.numel() for p in model.parameters())
        3979529
    """

    width: int = 256
    layers: int = 3
    heads: int = 4
    mlp_width: int = 512
    source_length: int = 11
    masks_memory: bool = True

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_heads(owner, self.width, self.heads)
        check_positive(
            owner,
            layers=self.layers,
            mlp_width=self.mlp_width,
            source_length=self.source_length,
        )

    def build(self, *, vocabulary: int, length: int, classes: int, seed: int) -> nn.Module:
        """A freshly initialised model."""
        with seeded(seed):
            return EncoderDecoder(self, vocabulary, length, classes)
