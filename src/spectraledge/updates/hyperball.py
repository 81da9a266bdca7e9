"""Steps of fixed length on the sphere of the initial norm, whatever the optimizer proposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range
from spectraledge.updates.matrix_stacks import matrix_stacks

__all__ = ["Hyperball"]


@dataclass(frozen=True)
class Hyperball(Update):
    """W ← R (W₋ − η R u/‖u‖_F) / ‖W₋ − η R u/‖u‖_F‖_F, with R = ‖W₀‖_F, u the optimizer's step.

    η = rate · lr is the angle, in radians and to first order, by which a matrix turns in one
    step. Put it right after the optimizer, and nothing that moves the same matrices after it: it
    takes W₋ to be what it left behind at the previous step, kept in its state, and u to be all
    that happened since. Where nothing happened, and at a step that does not follow its own last
    one (the first inside `During`), it leaves the matrix alone. The part ``norm`` of the
    displacement is what it changed in the optimizer's step.

    Source: Wen et al. (2026), "Hyperball Optimization", arXiv 2606.16899.

    Args:
        rate: Multiplies the learning rate of these matrices, >= 0; 0 holds them still.
        on: Group of matrices.

    Raises:
        ValueError: For a negative or non-finite rate; at ``init`` for a group with tensors that
            are not matrices.
    """

    rate: float = 1.0
    on: str = "qk"

    part: ClassVar[str | None] = "norm"

    def __post_init__(self) -> None:
        check_range("Hyperball", rate=self.rate)

    @property
    def compiled(self) -> bool:
        """Traceable, but compiled code copies slices in slow loops: eager is faster."""
        return False

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together."""
        return {"stacks": matrix_stacks("Hyperball", self.on, layout, groups)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Initial norms, the matrices, and the step at which they were taken."""
        stacks = matrix_stacks("Hyperball", self.on, layout, groups)
        matrices = {stack.key("previous"): stack.read(theta) for stack in stacks}
        norm = torch.cat([stack.norms(theta) for stack in stacks], dim=1)
        taken = torch.zeros(theta.shape[0], 1, dtype=torch.float64, device=theta.device)
        return {"norm": norm, "taken": taken, **matrices}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Replace the optimizer's step, in place."""
        follows = (clock.step - state["taken"] == 1) & (clock.lr > 0)
        tiny = torch.finfo(torch.float64).tiny
        for stack in hyper["stacks"]:
            before, radius = state[stack.key("previous")], state["norm"][:, stack.place]
            now = stack.read(theta)
            step = before - now
            size = frobenius_norm(step)
            length = (hyper["rate"] * clock.lr * radius / size.clamp_min(tiny)).to(theta.dtype)
            landed = torch.addcmul(before, length[..., None, None], step, value=-1)
            ratio = (radius / frobenius_norm(landed).clamp_min(tiny)).to(theta.dtype)
            chosen = follows & (size > 0) & size.isfinite()
            before.copy_(torch.where(chosen[..., None, None], landed * ratio[..., None, None], now))
            stack.write_(theta, before, chosen)
        state["taken"].copy_(clock.step.expand_as(state["taken"]))
