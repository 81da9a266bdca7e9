"""The opposite of low-rank decay: add to every singular value alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm, polar_factor
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range
from spectraledge.updates.matrix_stacks import matrix_stacks

__all__ = ["AntiLowRank"]


@dataclass(frozen=True)
class AntiLowRank(Update):
    """W ← W + rate ‖W‖_F UVᵀ / ‖UVᵀ‖_F: flattens the spectrum, with a step as long as L2's.

    `LowRank` on its adaptive scale with the sign turned round; put it in the same place. The norm
    grows; follow it by `NormClamp` for flattening alone. Rate is ``strength · lr`` if coupled and
    ``strength`` otherwise. The polar factor UVᵀ is polynomial: within 1 % of exact for singular
    values above 5e-4 of the norm, shorter below; the length of the step is exact. A zero matrix
    stays zero.

    Args:
        strength: Relative step length per step (and per unit learning rate, if coupled), >= 0.
        on: Group of matrices.
        coupled: Whether the learning rate multiplies the strength.

    Raises:
        ValueError: For a negative or non-finite strength; at ``init`` for a group with tensors
            that are not matrices.
    """

    strength: float
    on: str = "qk"
    coupled: bool = True

    part: ClassVar[str | None] = "anti_low_rank"

    @property
    def compiled(self) -> bool:
        """Traceable, but compiled code copies slices in slow loops: eager is faster."""
        return False

    def __post_init__(self) -> None:
        check_range("AntiLowRank", strength=self.strength)

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together."""
        return {"stacks": matrix_stacks("AntiLowRank", self.on, layout, groups)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place."""
        rate = hyper["strength"] * (clock.lr if self.coupled else clock.active)
        tiny = torch.finfo(torch.float64).tiny
        for stack in hyper["stacks"]:
            matrices = stack.read(theta)
            # A Cholesky inverse of small matrices is fast on the CPU only.
            factor = polar_factor(matrices, method="halley" if theta.is_cpu else "polar_express")
            norm, size = frobenius_norm(matrices), frobenius_norm(factor)
            length = (rate * norm / size.clamp_min(tiny)).to(theta.dtype)
            moved = matrices + length[..., None, None] * factor
            stack.write_(theta, moved, (rate > 0) & (size > 0) & norm.isfinite())
