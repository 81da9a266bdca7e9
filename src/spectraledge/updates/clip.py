"""Global gradient-norm clipping, run by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spectraledge.updates.base import Clock, State, Update, check_range

__all__ = ["ClipGradient"]


@dataclass(frozen=True)
class ClipGradient(Update):
    """g ← g · min(1, norm / (‖g‖₂ + 1e-6)), as ``torch.nn.utils.clip_grad_norm_``.

    Args:
        norm: Largest allowed norm of a run's whole gradient, > 0.

    Raises:
        ValueError: For a norm that is not positive.
    """

    norm: float = 1.0

    part: ClassVar[str | None] = None

    @property
    def compiled(self) -> bool:
        """Inductor (torch 2.13) cannot schedule a norm of every run beside what follows it."""
        return False

    def __post_init__(self) -> None:
        check_range("ClipGradient", low=1e-30, norm=self.norm)

    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Scale the gradient, in place."""
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True, dtype=torch.float64)
        gradient.mul_((hyper["norm"] / (norm + 1e-6)).clamp(max=1.0).to(gradient.dtype))
