"""Rows of a padded batch packed into lines, so that positions of no account cost nothing.

A line holds the positions of several rows, side by side and without padding; attention is kept
inside a row by a mask. Where a position depends on nothing but the tokens up to its own, rows
share what they begin with: their positions form a tree, and one sees its ancestors. The same
layers run on lines as on rows, and loss and gradient stay what they are, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

__all__ = ["Answers", "Lines", "PackedModel", "Packing", "Stream", "before", "sees", "up_to_last"]


class Stream(NamedTuple):
    """One of the sequences that a row consists of.

    Args:
        tokens: Token ids ``(B, T)``.
        needed: Positions that something with a label depends on.
        shared: Whether rows share what they begin with, since a position depends on nothing but
            the tokens up to its own.
    """

    tokens: Int[Tensor, "B T"]
    needed: Bool[Tensor, "B T"]
    shared: bool


class Lines(NamedTuple):
    """Needed positions of a stream in L lines of T slots.

    Args:
        tokens: Token id in each slot, ``(L, T)``.
        places: Its position in its rows.
        first: First of the rows that it belongs to; -1 in empty slots.
        last: Last of them, numbered so that they follow each other; -2 in empty slots.
    """

    tokens: Int[Tensor, "L T"]
    places: Int[Tensor, "L T"]
    first: Int[Tensor, "L T"]
    last: Int[Tensor, "L T"]


class Packing(NamedTuple):
    """A batch of rows in lines.

    Args:
        streams: Lines of every stream of the model, with the same rows in the same line; the
            last has the logits.
        answers: Slot of every output of every row, counted through the lines, ``(B, outputs)``;
            any where there is no label.
    """

    streams: tuple[Lines, ...]
    answers: Int[Tensor, "B outputs"]


@runtime_checkable
class PackedModel(Protocol):
    """A model with logits at every position that can be run on lines."""

    def streams(self, tokens: Tensor, labelled: Tensor) -> tuple[Stream, ...]:
        """Sequences of rows ``(B, T)``, given which of their outputs have a label.

        The last one's positions are the outputs.
        """
        ...

    def packed_forward(self, streams: Sequence[Lines]) -> Tensor:
        """Logits ``(L, T, classes)`` of the last stream."""
        ...


class Answers(nn.Module):
    """Logits of a packing for every output of every row; meaningless where there is no label.

    Args:
        model: A `PackedModel`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, packing: Packing) -> Tensor:
        """Logits ``(B, outputs, classes)``."""
        model: Any = self.model
        return model.packed_forward(packing.streams).flatten(0, 1)[packing.answers]


def before(x: Tensor) -> Tensor:
    """Positions up to each position of ``(..., T, width)``, ``(T, T)``."""
    length = x.shape[-2]
    return torch.ones(length, length, dtype=torch.bool, device=x.device).tril()


def up_to_last(labelled: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """Positions up to the last label of each row: what causal attention needs."""
    return labelled.flip(-1).cummax(-1).values.flip(-1)


def sees(
    query: Lines, key: Lines, *, causal: bool = False, readable: Tensor | None = None
) -> Bool[Tensor, "L Q K"]:
    """Which slots of a line a slot sees: those of its own row.

    Args:
        query: Slots that look.
        key: Slots that are looked at.
        causal: Whether later positions are hidden.
        readable: Slots that may be seen at all, ``(L, K)``; all if None.

    Returns:
        The mask. An empty slot sees everything, so that its softmax is finite; nothing sees it.
    """
    row = query.first.unsqueeze(-1)
    seen = (key.first.unsqueeze(-2) <= row) & (row <= key.last.unsqueeze(-2))
    if causal:
        seen = seen & (key.places.unsqueeze(-2) <= query.places.unsqueeze(-1))
    if readable is not None:
        seen = seen & readable.unsqueeze(-2)
    return seen | (row < 0)
