"""Hold the Frobenius norm of matrices on a prescribed course."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update
from spectraledge.updates.matrix_stacks import matrix_stacks

__all__ = ["NormClamp"]


@dataclass(frozen=True)
class NormClamp(Update):
    """W ← W · ‖W₀‖_F factor(t) / ‖W‖_F on the matrices of one group; W₀ is the initial matrix.

    Put it last. ``NormClamp((0,), (1.0,))`` holds the initial norm, so that `LowRank` followed by
    it is spectral pressure on the sphere; a table that follows the norm of another run gives a
    run its effective learning rate without its decay. A matrix that is zero stays zero.

    Args:
        steps: Step numbers >= 0, increasing.
        factors: Norm at these steps in units of the initial one, > 0. In between, the logarithm
            of the factor is linear in the step; before the first and after the last it is
            constant.
        on: Group of matrices.

    Raises:
        ValueError: For a table that is empty, uneven, not increasing or not positive; at
            ``init`` for a group with tensors that are not matrices.
    """

    steps: tuple[int, ...]
    factors: tuple[float, ...]
    on: str = "qk"

    part: ClassVar[str | None] = "norm"

    @property
    def compiled(self) -> bool:
        """Traceable, but compiled code copies slices in slow loops: eager is faster."""
        return False

    def __post_init__(self) -> None:
        steps, factors = self.steps, self.factors
        if len(steps) != len(factors) or not steps:
            raise ValueError(
                f"NormClamp: expected one factor per step and at least one, got steps={steps} and "
                f"factors={factors}"
            )
        if steps[0] < 0 or any(b <= a for a, b in pairwise(steps)):
            raise ValueError(f"NormClamp: expected increasing steps >= 0, got steps={steps}")
        if not all(isinstance(f, float) and 0 < f < math.inf for f in factors):
            raise ValueError(
                f"NormClamp: expected positive finite floats, got factors={factors}; write 1.0 "
                "for 1"
            )

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """The matrices, equal shapes together, and the steps of the table."""
        knots = torch.tensor(self.steps, dtype=torch.float64, device=theta.device)
        return {"stacks": matrix_stacks("NormClamp", self.on, layout, groups), "knots": knots}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Initial norms."""
        stacks = matrix_stacks("NormClamp", self.on, layout, groups)
        return {"norm": torch.cat([stack.norms(theta) for stack in stacks], dim=1)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Rescale, in place."""
        target = state["norm"] * _factor(clock.step, hyper["knots"], hyper["factors"])
        for stack in hyper["stacks"]:
            norm = stack.norms(theta)
            chosen = (clock.active > 0) & (norm > 0) & norm.isfinite()
            stack.scale_(theta, torch.where(chosen, target[:, stack.place] / norm, 1.0))


def _factor(step: Tensor, knots: Tensor, factors: Tensor) -> Tensor:
    """The table at one step, ``(R, 1)``: log-linear between the knots, constant outside."""
    course = factors.log()
    passed = ((step - knots[:-1]) / knots.diff()).clamp(0.0, 1.0)
    return (course[:, :1] + (passed * course.diff()).sum(dim=1, keepdim=True)).exp()
