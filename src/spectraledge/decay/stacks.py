"""Stacks: blocks of equal shape, collected from many parameters into one batched call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Piece", "Rate", "stack_rates", "stack_views", "stacks"]

Rate = float | Tensor  # a tensor where the optimizer keeps its learning rate on the device

# A stack needs about four copies of itself; 2^25 float32 entries are 128 MiB.
LARGEST_STACK = 2**25


@dataclass(frozen=True)
class Piece:
    """One strip of one parameter: its key in the state, its view ``(..., m, n)``, its rate."""

    key: str
    view: Tensor
    rate: Rate

    @property
    def count(self) -> int:
        """Number of matrices in the view."""
        return self.view.shape[:-2].numel()


def stacks(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces with equal matrix shape, dtype and device, at most `LARGEST_STACK` entries a group.

    Args:
        pieces: Any pieces; those with a rate of exactly zero are left out.

    Yields:
        Groups that may be computed in one call, a piece never divided.
    """
    alike: dict[tuple[object, ...], list[Piece]] = defaultdict(list)
    for piece in pieces:
        if isinstance(piece.rate, Tensor) or piece.rate != 0.0:
            view = piece.view
            alike[*view.shape[-2:], view.dtype, view.device].append(piece)
    for group in alike.values():
        chunk: list[Piece] = []
        for piece in group:
            if chunk and sum(p.view.numel() for p in (*chunk, piece)) > LARGEST_STACK:
                yield chunk
                chunk = []
            chunk.append(piece)
        yield chunk


def stack_views(group: Sequence[Piece]) -> Tensor:
    """All matrices of a group, ``(count, m, n)``, in at least float32 (a copy)."""
    shape = group[0].view.shape[-2:]
    dtype = torch.promote_types(group[0].view.dtype, torch.float32)
    return torch.cat([piece.view.reshape(-1, *shape) for piece in group]).to(dtype)


def stack_rates(group: Sequence[Piece]) -> Tensor:
    """The rate of every matrix of a group, ``(count,)`` float64; no synchronisation."""
    device = group[0].view.device
    if all(isinstance(piece.rate, float) for piece in group):
        rates = [piece.rate for piece in group for _ in range(piece.count)]
        return torch.tensor(rates, dtype=torch.float64, device=device)
    scalars = [
        torch.as_tensor(piece.rate, dtype=torch.float64, device=device).expand(piece.count)
        for piece in group
    ]
    return torch.cat(scalars)
