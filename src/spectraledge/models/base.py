"""What the laboratory asks of a model: a recipe that builds a plain module from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import nn

__all__ = ["ModelSpec", "check_heads", "check_positive", "seeded"]


@runtime_checkable
class ModelSpec(Protocol):
    """Recipe for one run's model. To train your own module, write a frozen dataclass like this.

    The module maps tokens ``(B, T)`` int64 to logits ``(B, classes)``. It must be free of
    in-place state (no batch-norm statistics) since all runs share one skeleton.
    """

    def build(self, *, vocabulary: int, length: int, classes: int, seed: int) -> nn.Module:
        """Return a freshly initialised module; the same seed gives the same weights."""
        ...

    def __hash__(self) -> int:
        """Equal recipes hash alike, as frozen dataclasses do."""
        ...


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run torch's own initialisers from `seed`, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def check_positive(owner: str, **values: int) -> None:
    """Raise unless every value is a positive integer.

    Raises:
        ValueError: Naming the owner, the field and the value.
    """
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{owner}: expected {name} >= 1, got {value}")


def check_heads(owner: str, width: int, heads: int) -> None:
    """Raise unless `heads` divides `width`.

    Raises:
        ValueError: Naming both values.
    """
    check_positive(owner, width=width, heads=heads)
    if width % heads:
        raise ValueError(f"{owner}: expected width divisible by heads, got {width=} and {heads=}")
