"""Muon: momentum whose singular values are all set to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from spectraledge.linalg import frobenius_norm, muon, polar_factor, polar_polynomial
from spectraledge.names import check_name
from spectraledge.snapshots import Layout
from spectraledge.updates.base import (
    Clock,
    Groups,
    State,
    Update,
    check_count,
    check_range,
    group_spans,
)
from spectraledge.updates.matrix_stacks import MatrixStack, matrix_stacks

__all__ = ["Muon", "MuonScale", "MuonSchedule"]

MuonScale = Literal["original", "match_rms"]
MuonSchedule = Literal["muon", "polar_express"]


@dataclass(frozen=True)
class Muon(Update):
    """W ← W − lr · scale · polar(m), m ← μ m + (1 − μ) g, on the matrices of one group.

    With ``nesterov`` the polar factor is that of μ m + (1 − μ) g. Put it before the optimizer of
    the other parameters: it sets the gradient of its matrices to zero, so that a following `Adam`
    with ``epsilon > 0`` leaves them, and its own moments of them, exactly alone.

    Source: Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks", in
    the form of ``torch.optim.Muon`` without weight decay. Differs from it: in float32 instead of
    bfloat16.

    Args:
        momentum: μ, in [0, 1).
        nesterov: Whether to look one step ahead.
        scale: ``original`` is √max(1, rows/columns); ``match_rms`` is 0.2 √max(rows, columns),
            which gives a step the root mean square of a typical Adam step (Liu et al. 2025,
            arXiv 2502.16982), so that Adam's learning rate fits.
        steps: Polynomials in the approximation of the polar factor, >= 1.
        schedule: ``muon``: Jordan's fixed quintic, which leaves singular values between 0.7 and
            1.2; ``polar_express``: optimal quintics, with 8 steps within rounding of 1.
        on: Group of matrices.

    Raises:
        ValueError: For numbers out of range or unknown names; at ``init`` for a group with
            tensors that are not matrices.
    """

    momentum: float = 0.95
    nesterov: bool = True
    scale: MuonScale = "original"
    steps: int = 5
    schedule: MuonSchedule = "muon"
    on: str = "qk"

    part: ClassVar[str | None] = "gradient"

    @property
    def compiled(self) -> bool:
        """Traceable, but compiled code copies slices in slow loops: eager is faster."""
        return False

    def __post_init__(self) -> None:
        check_range("Muon", high=1.0, momentum=self.momentum)
        check_count("Muon", steps=self.steps)
        check_name("scale", self.scale, get_args(MuonScale))
        check_name("schedule", self.schedule, get_args(MuonSchedule))

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together, and their columns."""
        return {
            "stacks": matrix_stacks("Muon", self.on, layout, groups),
            "spans": group_spans("Muon", self.on, layout, groups),
        }

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Zero momentum."""
        stacks = matrix_stacks("Muon", self.on, layout, groups)
        return {s.key("momentum"): torch.zeros_like(s.read(theta)) for s in stacks}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """One step, in place; consumes the gradient."""
        mu = hyper["momentum"].to(theta.dtype)[..., None, None]
        fresh = (1 - hyper["momentum"]).to(theta.dtype)[..., None, None]
        for stack in hyper["stacks"]:
            slope, mean = stack.read(gradient), state[stack.key("momentum")]
            mean.add_(fresh * (slope - mean))
            direction = self._polar(slope + mu * (mean - slope) if self.nesterov else mean)
            length = (clock.lr * self._scale(stack)).to(theta.dtype)[..., None, None]
            stepped = stack.read(theta) - length * direction
            stack.write_(theta, stepped, (clock.lr > 0).expand(-1, stack.count))
        for there, _ in hyper["spans"]:
            gradient[:, there].zero_()

    def _polar(self, matrices: Tensor) -> Tensor:
        if self.schedule == "muon":
            return polar_polynomial(matrices, frobenius_norm(matrices), muon(self.steps))
        return polar_factor(matrices, method="polar_express", steps=self.steps, normaliser="gram")

    def _scale(self, stack: MatrixStack) -> float:
        rows, columns = stack.rows, stack.columns
        if self.scale == "original":
            return max(1.0, rows / columns) ** 0.5
        return 0.2 * max(rows, columns) ** 0.5
