"""Exact brackets of batch pairs at a snapshot, as vectors to project."""

from __future__ import annotations

import torch
from torch import Tensor

from spectraledge.instruments.base import Differentiable, Window
from spectraledge.instruments.commutator_defect import SALT
from spectraledge.instruments.commutators import batch_pairs, commutators
from spectraledge.snapshots import Snapshot

__all__ = ["pair_brackets"]


def pair_brackets(owner: str, window: Window, pairs: int) -> tuple[Tensor, Tensor]:
    """Brackets ``H_B g_A - H_A g_B`` at the newest snapshot, on the batches of `CommutatorDefect`.

    Args:
        owner: Name of the instrument that asks, for the message.
        window: A window with a problem.
        pairs: J >= 1 pairs of measuring batches.

    Returns:
        Brackets ``(R, J, P)`` and the mean gradient of the pairs ``(R, P)``, float64.
        Instruments that look at one snapshot share the work.

    Raises:
        ValueError: If the window has no problem.

    Cost: for M batches M gradients and M(M - 1) + 1 Hessian-vector products.
    """
    if window.problem is None:
        raise ValueError(f"{owner} evaluates the model; pass Window(..., problem)")
    key = ("pair_brackets", pairs)
    if key not in window.shared:
        window.shared[key] = _brackets(window.problem, window.now, pairs)
    brackets, gradient = window.shared[key]
    return brackets, gradient


def _brackets(problem: Differentiable, now: Snapshot, pairs: int) -> tuple[Tensor, Tensor]:
    design = batch_pairs(pairs)
    count = 1 + max(index for a, b in design for index in a + b)
    batches = [problem.batch(now.step, f"{SALT}/{i}") for i in range(count)]
    found = list(commutators(problem, now.parameters, batches, design))
    gradients = [gradient for pair in found for gradient in pair.gradients]
    return torch.stack([pair.bracket for pair in found], 1), torch.stack(gradients, 1).mean(1)
