"""Weight decay only where the optimizer's step already shrinks the weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range, group_spans

__all__ = ["CautiousWeightDecay"]


@dataclass(frozen=True)
class CautiousWeightDecay(Update):
    """w ← w − lr · strength · 1(u · w₋ ≥ 0) · w₋, with w₋ before the optimizer's step − lr · u.

    Put it right after the optimizer, and nothing that moves the same parameters after it: it
    takes w₋ to be what it left behind at the previous step, kept in its state, and u to be all
    that happened since. A step lost in the rounding of w counts as zero, where decay applies. At
    a step that does not follow its own last one (the first inside `During`) u is unknown, and
    nothing decays.

    Source: Chen et al. (2025), "Cautious Weight Decay", arXiv 2510.12402.

    Args:
        strength: Decay per unit learning rate, >= 0.
        on: Group of parameters.

    Raises:
        ValueError: For a negative or non-finite strength; for an unknown group at ``init``.
    """

    strength: float
    on: str = "qk"

    part: ClassVar[str | None] = "weight_decay"

    def __post_init__(self) -> None:
        check_range("CautiousWeightDecay", strength=self.strength)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """Columns of the group."""
        return {"spans": group_spans("CautiousWeightDecay", self.on, layout, groups)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """The group's parameters, and the step at which they were taken."""
        spans = group_spans("CautiousWeightDecay", self.on, layout, groups)
        return {
            "previous": torch.cat([theta[:, there] for there, _ in spans], dim=1),
            "taken": torch.zeros(theta.shape[0], 1, dtype=torch.float64, device=theta.device),
        }

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place."""
        amount = clock.lr * hyper["strength"] * (clock.step - state["taken"] == 1)
        rate = amount.to(theta.dtype)
        for there, here in hyper["spans"]:
            now, before = theta[:, there], state["previous"][:, here]
            # Signs, since the product of two small numbers may vanish.
            agrees = (before - now).sign() * before.sign() >= 0
            now.copy_(torch.where(agrees & (rate > 0), now - rate * before, now))
            before.copy_(now)
        state["taken"].copy_(clock.step.expand_as(state["taken"]))
