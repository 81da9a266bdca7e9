"""Stochastic gradient descent with heavy-ball momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Update):
    """v ← μ v + g, θ ← θ − lr · v, as in ``torch.optim.SGD`` without dampening.

    Args:
        momentum: μ, in [0, 1).

    Raises:
        ValueError: For a momentum out of range.
    """

    momentum: float = 0.0

    part: ClassVar[str | None] = "gradient"

    def __post_init__(self) -> None:
        check_range("SGD", high=1.0, momentum=self.momentum)

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Zero velocity."""
        return {"velocity": torch.zeros_like(theta)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place."""
        state["velocity"].mul_(hyper["momentum"].to(theta.dtype)).add_(gradient)
        theta.sub_(clock.lr.to(theta.dtype) * state["velocity"])
