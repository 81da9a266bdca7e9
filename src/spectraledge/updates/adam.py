"""Adam without weight decay: AdamW is `WeightDecay` followed by `Adam`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range

__all__ = ["Adam"]


@dataclass(frozen=True)
class Adam(Update):
    """θ ← θ − lr · m̂ / (√v̂ + ε), with bias-corrected moments m̂ and v̂.

    m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
    Source: Kingma and Ba (2015), in the form of ``torch.optim.Adam``.

    Args:
        beta1: Decay of the first moment, in [0, 1).
        beta2: Decay of the second moment, in [0, 1).
        epsilon: Added to the root, >= 0.

    Raises:
        ValueError: For numbers out of range.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    part: ClassVar[str | None] = "gradient"

    def __post_init__(self) -> None:
        check_range("Adam", high=1.0, beta1=self.beta1, beta2=self.beta2)
        check_range("Adam", epsilon=self.epsilon)

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Zero moments."""
        return {"mean": torch.zeros_like(theta), "square": torch.zeros_like(theta)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place."""
        numbers = _numbers(hyper, clock).to(theta.dtype)
        weight1, keep2, weight2, step_size, root, epsilon = numbers.split(1, dim=1)
        mean, square = state["mean"], state["square"]
        mean.add_(weight1 * (gradient - mean))
        square.mul_(keep2).add_(weight2 * gradient.square())
        theta.sub_(step_size * mean / (square.sqrt() / root + epsilon))


def _numbers(hyper: Mapping[str, Any], clock: Clock) -> Tensor:
    """What all parameters of a run share, ``(R, 6)`` float64."""
    # One tensor is made of them because Inductor writes a concatenation to memory; single numbers
    # it computes again at every parameter, powers included, which takes most of the step's time.
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    step_size = clock.lr / (1 - beta1**clock.step)
    root = (1 - beta2**clock.step).sqrt()
    return torch.cat([1 - beta1, beta2, 1 - beta2, step_size, root, hyper["epsilon"]], dim=1)
