"""Remove the part of the gradient that only scales the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, group_names

__all__ = ["OrthogonalGradient"]


@dataclass(frozen=True)
class OrthogonalGradient(Update):
    """g ← ‖g‖ g⊥ / ‖g⊥‖ with g⊥ = g − (⟨w, g⟩ / ⟨w, w⟩) w, tensor by tensor.

    Put it before the optimizer. Where nothing is left of g but rounding (a tensor with one entry,
    a gradient along the weights) the result is zero. Zero weights leave the gradient as it is.

    Source: Prieto et al. (2025), "Grokking at the Edge of Numerical Stability", arXiv 2501.04697,
    the optimizer ⊥Grad. Differs from the published code, which scales rounding up to ‖g‖.

    Args:
        on: Group of parameters.

    Raises:
        ValueError: At ``init``, for an unknown group.
    """

    on: str = "all"

    part: ClassVar[str | None] = None

    @property
    def compiled(self) -> bool:
        """Traceable, but compiled code copies slices in slow loops: eager is faster."""
        return False

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """Columns of each tensor."""
        names = group_names("OrthogonalGradient", self.on, groups)
        return {"tensors": tuple(layout.span(name) for name in names)}

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Project the gradient, in place."""
        for span in hyper["tensors"]:
            slope = gradient[:, span]
            slope.copy_(_across(slope, theta[:, span]))
        # The weights of a diverged run may be infinite, which spoils its zero gradient.
        gradient[clock.active.squeeze(1) == 0] = 0.0


def _across(slope: Tensor, weights: Tensor) -> Tensor:
    """The part of the slope across the weights, as long as the slope; all ``(R, n)``."""
    inner = (slope * weights).sum(dim=1, keepdim=True, dtype=torch.float64)
    share = inner / _norm(weights).square().clamp_min(torch.finfo(torch.float64).tiny)
    across = torch.addcmul(slope, share.to(slope.dtype), weights, value=-1)
    whole, left = _norm(slope), _norm(across)
    # Share, product and difference are each rounded once, to half of eps of the slope.
    rounding = 4 * torch.finfo(slope.dtype).eps * whole
    return across.mul_(torch.where(left > rounding, whole / left, 0.0).to(slope.dtype))


def _norm(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
