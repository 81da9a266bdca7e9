"""Mini-batches as a function of (seed, step, salt), never as a stream with state."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["draw", "generator"]


def generator(*key: object) -> torch.Generator:
    """Random generator seeded by a digest of the key.

    Args:
        *key: Anything with a stable ``repr``, e.g. seed, step and purpose.

    Returns:
        A CPU generator; equal keys give equal streams on every machine.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    # 63 bits, since torch reads the seed as a signed integer.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@lru_cache(maxsize=256)
def _order(seed: int, epoch: int, salt: str, size: int) -> Tensor:
    return torch.randperm(size, generator=generator("order", seed, epoch, salt))


def draw(size: int, batch_size: int, *, seed: int, step: int, salt: str, sampling: str) -> Tensor:
    """Positions ``(batch_size,)`` in a training set of `size` examples.

    Args:
        size: Number of training examples.
        batch_size: How many positions to draw.
        seed: Seed of the run.
        step: Which batch, >= 0.
        salt: Purpose; measuring uses another salt than training and so cannot disturb it.
        sampling: ``epochs`` concatenates random orders of the whole set; ``replacement`` draws
            each position independently.

    Returns:
        int64 positions in ``[0, size)``.
    """
    if sampling == "replacement":
        chance = generator("replacement", seed, step, salt)
        return torch.randint(size, (batch_size,), generator=chance)
    start, stop = step * batch_size, (step + 1) * batch_size
    pieces = []
    for epoch in range(start // size, (stop - 1) // size + 1):
        begin = epoch * size
        order = _order(seed, epoch, salt, size)
        pieces.append(order[max(start - begin, 0) : stop - begin])
    return torch.cat(pieces)
