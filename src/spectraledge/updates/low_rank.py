"""Low-rank decay as a link of the update chain: all chosen matrices of all runs at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from spectraledge.decay.amount import DecayMethod, DecayScale, check_method
from spectraledge.decay.functional import decay_step
from spectraledge.names import check_name
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_count, check_range
from spectraledge.updates.matrix_stacks import MatrixStack, matrix_stacks

__all__ = ["LowRank"]


@dataclass(frozen=True)
class LowRank(Update):
    """W ← W − τ U f(Σ/τ) Vᵀ: every singular value loses τ, and stops at zero.

    The decay of `spectraledge.decay.LowRankDecay`, for the batched trainer. Put it after the
    optimizer's step, as published. τ is ``rate`` on the ``absolute`` scale, ``rate · σ₁`` on the
    ``spectral`` one, and on the ``adaptive`` one such that the step is ``rate · ‖W‖_F`` long, with
    ``rate = strength · lr`` if coupled and ``strength`` otherwise.
    Source: Li (2026), arXiv 2606.04405; ``method="published", scale="absolute", coupled=False`` is
    the released code of Ji and Song (2025).

    Args:
        strength: Decay per step (and per unit learning rate, if coupled), >= 0.
        scale: ``adaptive``, ``absolute`` or ``spectral``.
        coupled: Whether the learning rate multiplies the strength.
        method: How the singular values are thresholded; see `spectraledge.decay`.
        every: Apply every so many steps, with the sum of the amounts, >= 1. With no gradient in
            between this is the same; it is cheaper by this factor.
        on: Group of parameters.
        heads: Cut the rows of each matrix into this many blocks, decayed one by one; right for
            per-head QK-norm. 1 decays whole matrices, right for full-width QK-norm.

    Raises:
        ValueError: For numbers out of range or unknown names; at ``init`` for a group with
            tensors that are not matrices or do not divide into heads.
    """

    strength: float
    scale: DecayScale = "adaptive"
    coupled: bool = True
    method: DecayMethod = "auto"
    every: int = 1
    on: str = "qk"
    heads: int = 1

    part: ClassVar[str | None] = "low_rank"

    @property
    def compiled(self) -> bool:
        """Polynomial methods at every step; decompositions and skipped steps run eagerly."""
        return self.every == 1 and self.method in ("auto", "floored", "published")

    def __post_init__(self) -> None:
        check_range("LowRank", strength=self.strength)
        check_count("LowRank", every=self.every, heads=self.heads)
        check_method(self.method)
        check_name("scale", self.scale, get_args(DecayScale))

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together."""
        return {"stacks": matrix_stacks("LowRank", self.on, layout, groups, self.heads)}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Rates that fell due since the last application, and the memory of the adaptive scale."""
        stacks = matrix_stacks("LowRank", self.on, layout, groups, self.heads)
        runs = theta.shape[0]
        rank = [min(stack.rows, stack.columns) for stack in stacks for _ in range(stack.count)]
        rho = torch.tensor(rank, dtype=torch.float64, device=theta.device)
        return {
            "due": torch.zeros(runs, 1, dtype=torch.float64, device=theta.device),
            "rho": rho.expand(runs, -1).clone(),
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
        state["due"].add_(hyper["strength"] * (clock.lr if self.coupled else clock.active))
        if self.every > 1 and clock.index % self.every:
            return
        for stack in hyper["stacks"]:
            self._decay_(theta, stack, state["due"], state["rho"][:, stack.place])
        state["due"].zero_()

    def _decay_(self, theta: Tensor, stack: MatrixStack, due: Tensor, rho: Tensor) -> None:
        rate = due.expand(rho.shape)
        decayed, memory = decay_step(stack.read(theta), rate, rho, self.scale, self.method)
        # A rate of zero must leave every bit alone, which a matrix decomposition would not.
        live = rate > 0
        rho.copy_(torch.where(live, memory, rho))
        stack.write_(theta, decayed, live)
