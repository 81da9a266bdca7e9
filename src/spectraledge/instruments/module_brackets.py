"""Brackets and checkpoints of a module that the laboratory did not train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spectraledge.instruments.commutators import Commutator, batch_pairs, commutators
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.snapshots import Layout

__all__ = ["flat_checkpoint", "module_brackets"]


def module_brackets(
    owner: str, closure: LossClosure, theta: Tensor, batches: Sequence[Any], pairs: int
) -> list[Commutator]:
    """Brackets of at most `pairs` pairs of batches; what two batches cannot make is left out.

    Args:
        owner: Who asks, for messages.
        closure: Loss of the module.
        theta: Its parameters ``(1, P)``.
        batches: Two at least.
        pairs: Most pairs.

    Returns:
        One for each pair.

    Raises:
        ValueError: For fewer than two batches, and as the closure does.
    """
    most = len(batches) * (len(batches) - 1) // 2
    if most < 1:
        raise ValueError(f"{owner}: expected two batches at least, got {len(batches)}")
    design = batch_pairs(min(pairs, most))
    used = 1 + max(index for a, b in design for index in a + b)
    return list(commutators(closure, theta, [(b, None) for b in batches[:used]], design))


def flat_checkpoint(
    owner: str, what: str, layout: Layout, theta: Tensor, state: Mapping[str, Tensor]
) -> Tensor:
    """Parameters of a state dictionary as one vector ``(1, P)``.

    Args:
        owner: Who asks, for messages.
        what: What the dictionary is, for messages.
        layout: Of the parameters.
        theta: Parameters of the module, for their dtype and device.
        state: The dictionary.

    Returns:
        The vector.

    Raises:
        ValueError: If it lacks a parameter, or one has another number of entries.
    """
    missing = [name for name in layout.names if name not in state]
    if missing:
        raise ValueError(
            f"{owner}: {what} has no {', '.join(missing[:3])}; pass state dictionaries of the "
            "same model"
        )
    for name, shape in zip(layout.names, layout.shapes):
        if tuple(state[name].shape) != shape:
            raise ValueError(
                f"{owner}: {what} has {name} of shape {tuple(state[name].shape)}, the model "
                f"{shape}; pass state dictionaries of the same model"
            )
    return torch.cat([state[n].detach().to(theta).flatten() for n in layout.names])[None]
