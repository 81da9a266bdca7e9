"""Amplify the slow part of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range, group_spans

__all__ = ["Grokfast"]


@dataclass(frozen=True)
class Grokfast(Update):
    """h ← α h + (1 − α) g, g ← g + λ h: the gradient plus λ times its running mean h.

    Put it before the optimizer. At its first step h = g, as in the published code, so the first
    gradients are amplified by 1 + λ instead of by next to nothing.

    Source: Lee et al. (2024), "Grokfast", arXiv 2405.20233, the filter Grokfast-EMA.

    Args:
        alpha: Decay α of the running mean, in [0, 1).
        amplification: λ, >= 0.
        on: Group of parameters.

    Raises:
        ValueError: For numbers out of range; for an unknown group at ``init``.
    """

    alpha: float = 0.98
    amplification: float = 2.0
    on: str = "all"

    part: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_range("Grokfast", high=1.0, alpha=self.alpha)
        check_range("Grokfast", amplification=self.amplification)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """Columns of the group."""
        return {"spans": group_spans("Grokfast", self.on, layout, groups)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """No mean yet."""
        spans = group_spans("Grokfast", self.on, layout, groups)
        size = sum(here.stop - here.start for _, here in spans)
        return {
            "slow": theta.new_zeros(theta.shape[0], size),
            "started": torch.zeros(theta.shape[0], 1, dtype=torch.float64, device=theta.device),
        }

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Filter the gradient, in place."""
        newcomer = torch.where(state["started"] > 0, 1 - hyper["alpha"], 1.0).to(theta.dtype)
        amplification = (clock.active * hyper["amplification"]).to(theta.dtype)
        for there, here in hyper["spans"]:
            slope, slow = gradient[:, there], state["slow"][:, here]
            slow.add_(newcomer * (slope - slow))
            slope.add_(amplification * slow)
        state["started"].fill_(1.0)
